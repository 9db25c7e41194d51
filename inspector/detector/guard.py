"""A stained picture among the clean ones, found before anything is learned from it.

Each picture is seen by a bank of the others (``memory_bank.leave_one_out``). What is printed, wet or scuffed
is hot in several of them; a stain is hot where no other picture ever is. So a position counts by how
much it exceeds the hottest position of all *other* pictures in its row (of a polar view: at its radius).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EXCEEDING = 6
"""Positions that must exceed: a drop or a speck of dust is a few, a stain that matters is more."""
_FLOOR, _DOUBT = 1.2, 11.0
"""The others' hottest is a matter of chance where they are few: 1.2 + 11/n times it is asked for. Chosen on
clean pictures and on such with painted stains (``inspector.detector.stains``); what it finds and how
often it cries wolf is measured by ``tests/measure/guard.py``."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A picture that looks stained, or unlike all others.

    Attributes:
        name: the picture's.
        excess: by what factor it exceeds all others where they differ most.
        where: row and column of its hottest position that does.
    """

    name: str
    excess: float
    where: tuple[int, int]


def suspects(maps: NDArray[np.float32], names: Sequence[str]) -> list[Suspect]:
    """The pictures that look stained, the worst first.

    Args:
        maps: n×h×w of ``leave_one_out``, n ≥ 2, D in [-2, 0].
        names: of the n pictures.

    Returns:
        Those that exceed all others 1.2 + 11/n times at six positions or more.
    """
    heat = -np.asarray(maps, np.float64)
    count = len(heat)
    hottest = heat.max(axis=2)
    found = []
    for number, name in enumerate(names):
        others = np.delete(hottest, number, axis=0).max(axis=0)
        excess = heat[number] / np.maximum(others[:, None], 1e-6)
        sixth = float(np.sort(excess, axis=None)[-min(EXCEEDING, excess.size)])
        if sixth > _FLOOR + _DOUBT / count:
            row, column = np.unravel_index(int(excess.argmax()), excess.shape)
            found.append(Suspect(name, sixth, (int(row), int(column))))
    return sorted(found, key=lambda one: -one.excess)
