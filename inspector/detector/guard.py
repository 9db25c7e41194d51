"""A stained picture among the clean ones, found and named before anything is taught from it.

A memory bank of the others sees each picture (``memory_bank.leave_one_out``): what no other picture has is
hot. A picture is suspected if it is at least twice as hot as the others lead to expect. What they lead to
expect lies midway between their middle and their hottest picture, so that a set whose pictures differ
anyway, by water drops or print, allows for more than one whose pictures are all alike; and what is hot in
every picture, as a rim is, counts for nobody. Heat is compared as a ratio: midway is a geometric mean.

Comparing each position with the same place of the others instead was tried and found fewer: in quiet places
chance alone makes large ratios. So did distances in units of the pictures' spread, which five pictures do
not tell. The numbers below were chosen on clean pictures and stains laid over them (``stains``); what they
find of real defects is measured by ``tests/measure/guard.py``. Two pictures with the same stain excuse
each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TIMES_AS_HOT = 2.0
"""On clean sets of 5, 20 and 80 pictures 0 % (bottles) and 1 to 5 % (wet cups) had any picture as hot."""
_HOTTEST = 3
"""Positions averaged into a picture's heat: one alone is noise, a small stain has no more than a few."""
_MOST = 1 / 4
"""Share of the pictures that can be stained: the rest must tell what clean is."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A picture that is not like the others.

    Attributes:
        name: as given.
        score: how many times as hot it is as the others lead to expect, at least 2.
        where: row and column of its hottest position, in the map.
    """

    name: str
    score: float
    where: tuple[int, int]


def suspects(maps: NDArray[np.float32], names: Sequence[str]) -> list[Suspect]:
    """The pictures that a person should look at before they are learned from.

    Args:
        maps: n×h×w of ``leave_one_out``, D of Eq. 1.
        names: of the n pictures.

    Returns:
        The most suspicious first; none among fewer than three pictures, where nobody can say which of
        them is the odd one.
    """
    if len(maps) < 3:
        return []
    distances = -np.asarray(maps, np.float64).reshape(len(maps), -1)
    heat = np.log(np.maximum(np.sort(distances, axis=1)[:, -_HOTTEST:].mean(axis=1), 1e-6))
    order = np.argsort(-heat)
    scores = np.zeros(max(1, int(_MOST * len(maps))))
    for rank in range(len(scores)):
        # Against colder pictures only: several stained ones do not hide each other.
        colder = heat[order[rank + 1 :]]
        scores[rank] = np.exp(heat[order[rank]] - (np.median(colder) + colder.max()) / 2)
    # A picture is at least as suspicious as any colder one.
    scores = np.maximum.accumulate(scores[::-1])[::-1]
    found = []
    for number, score in zip(order, scores, strict=False):
        if score >= TIMES_AS_HOT:
            row, column = np.unravel_index(distances[number].argmax(), maps.shape[1:])
            found.append(Suspect(names[number], float(score), (int(row), int(column))))
    return found
