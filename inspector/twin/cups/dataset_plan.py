"""Which cups the data set of the paper's shape shows (§3): a pure function of the seed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from inspector.twin.cups.cup_types import cup_type_named
from inspector.twin.cups.defect_kinds import DefectKind

HELD_OUT_KIND: Final = DefectKind.RESIDUE
"""The kind of defect that no choice before the test may look at."""
_DATA_SET: Final = 3
"""Keeps the cups of the data set apart from those of an image set or a stream of the same seed."""


@dataclass(frozen=True, slots=True)
class Share:
    """What a data set holds of one cup type.

    Attributes:
        training_pictures: clean pictures to train on.
        training_cups: cups that they show: as many as pictures, or 1 that is photographed again and
            again.
        test_clean: clean test cups.
        test_defective: defective test cups, by kind.
        severities: lowest and highest of their defects; each kind is spread evenly over them.
    """

    training_pictures: int
    training_cups: int
    test_clean: int
    test_defective: Mapping[DefectKind, int]
    severities: tuple[float, float]


_DISTINCT: Final = {**dict.fromkeys(DefectKind, 3), DefectKind.MOULD: 11, DefectKind.CRACK: 10}
"""Type 01 has distinct defects such as mould and cracks (§3), and a few of every other kind."""
_FAINT: Final = {
    DefectKind.MOULD: 3,
    DefectKind.CRACK: 2,
    DefectKind.HOLE: 2,
    DefectKind.CHIP: 2,
    DefectKind.RESIDUE: 3,
    DefectKind.SCRATCH: 3,
    DefectKind.STAIN: 6,
}
"""Types 02 to 04 have patches of light brown or black that a person hardly sees (§3)."""

PAPER_SHARES: Final[Mapping[str, Share]] = {
    "type-01": Share(84, 84, 16, _DISTINCT, (0.4, 1.0)),
    "type-02": Share(5, 1, 11, _FAINT, (0.2, 0.8)),
    "type-03": Share(5, 1, 11, _FAINT, (0.2, 0.8)),
    "type-04": Share(3, 1, 11, _FAINT, (0.2, 0.8)),
}
"""245 pictures; the paper gives their number and the training pictures', the rest is our choice."""


class PlannedPicture(NamedTuple):
    """One picture of a data set: what ``draw_cup`` needs, and where it goes.

    Attributes:
        cup_type: name.
        part: ``train`` or ``test``.
        name: of the frame within the folder of its kind.
        seed: of the cup.
        take: which photograph of that cup.
        defect: None for a clean cup.
        severity: of the defect, in (0, 1].
    """

    cup_type: str
    part: str
    name: str
    seed: int
    take: int = 0
    defect: DefectKind | None = None
    severity: float = 1.0


def planned_pictures(
    seed: int, shares: Mapping[str, Share] = PAPER_SHARES
) -> tuple[PlannedPicture, ...]:
    """Every picture of a data set, type by type, the training pictures first.

    Args:
        seed: 0 or more; the same one plans the same pictures.
        shares: what each cup type, by name, has in the set.

    Raises:
        UnknownCupTypeError: there is no cup type of that name.
    """
    return tuple(
        picture for name, share in shares.items() for picture in _of_type(name, share, seed)
    )


def _of_type(cup_type: str, share: Share, seed: int) -> list[PlannedPicture]:
    random = np.random.default_rng((seed, cup_type_named(cup_type).number, _DATA_SET))

    def cup() -> int:
        return int(random.integers(2**62))

    cups = [cup() for _ in range(share.training_cups)]
    planned = [
        PlannedPicture(cup_type, "train", f"{n:03d}", cups[n % len(cups)], n // len(cups))
        for n in range(share.training_pictures)
    ]
    planned += [
        PlannedPicture(cup_type, "test", f"{n:03d}", cup()) for n in range(share.test_clean)
    ]
    for kind, count in share.test_defective.items():
        planned += [
            PlannedPicture(cup_type, "test", f"{n:03d}", cup(), 0, kind, severity)
            for n, severity in enumerate(_spread(share.severities, count, random))
        ]
    return planned


def _spread(
    severities: tuple[float, float], count: int, random: np.random.Generator
) -> list[float]:
    """One severity at random from each of ``count`` equal steps, in any order."""
    steps = random.permutation(count) + random.random(count)
    low, high = severities
    return [round(low + (high - low) * float(step) / count, 4) for step in steps]
