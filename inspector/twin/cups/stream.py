"""An endless line of cups, each drawn afresh."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from inspector.core.errors import InspectorError
from inspector.twin.cups.cup_types import CupType, cup_type_named
from inspector.twin.cups.defect_kinds import DefectKind
from inspector.twin.cups.picture import CupPicture, draw_cup
from inspector.twin.cups.pose import KEPT_PROJECTIONS, Stance

_STREAM: Final = 2
"""Keeps a stream's cups apart from those of a data set of the same seed."""
_CUPS_PER_NEW_STANCE: Final = 24
_KINDS: Final = tuple(DefectKind)
_SEVERITIES: Final = (0.3, 1.0)


class DefectRateError(InspectorError):
    """The part of defective cups is outside 0 to 1."""


class CupStream(Iterator[CupPicture]):
    """Iterates over cups without end; no two are alike, and one seed gives one order of cups.

    Each cup is ``draw_cup`` of a seed of its own (``truth.seed``) in its stance (``truth.stance``), so
    any cup that went by can be drawn again, or drawn without its defect. Stances are a few that change
    by and by, for a new one costs as much time as the rest of a cup.

    Args:
        cup_type: one of ``CUP_TYPES`` or its name.
        seed: of the whole stream.
        defect_rate: part of the cups that have a defect, 0 to 1.

    Raises:
        UnknownCupTypeError: there is no cup type of that name.
        DefectRateError: the rate is outside 0 to 1.
    """

    def __init__(self, cup_type: CupType | str, seed: int, defect_rate: float = 0.15) -> None:
        if not 0 <= defect_rate <= 1:
            raise DefectRateError(f"defect rate is {defect_rate}", "give a number from 0 to 1")
        self._cup_type = cup_type_named(cup_type)
        self._defect_rate = defect_rate
        self._random = np.random.default_rng((seed, _STREAM))
        # One place is left for whoever else draws in this process.
        self._stances = [Stance.drawn(self._random) for _ in range(KEPT_PROJECTIONS - 1)]

    def __next__(self) -> CupPicture:
        """Draws the next cup."""
        random, stances = self._random, self._stances
        place = int(random.integers(len(stances)))
        if random.random() < 1 / _CUPS_PER_NEW_STANCE:
            stances[place] = Stance.drawn(random)
        seed = int(random.integers(2**62))
        kind = _KINDS[int(random.integers(len(_KINDS)))]
        severity = float(random.uniform(*_SEVERITIES))
        defective = random.random() < self._defect_rate
        return draw_cup(
            self._cup_type,
            seed,
            defect=kind if defective else None,
            severity=severity,
            stance=stances[place],
        )
