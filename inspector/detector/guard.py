"""A stained picture among the clean ones, found and named before anything is taught from it.

A memory bank of the others sees each picture (``memory_bank.leave_one_out``): what no other picture has is
hot. A picture is suspected if it is far hotter than the others lead to expect, by either of two measures:

- it is twice as hot as midway between their middle and their hottest picture. A set whose pictures differ
  anyway, by water drops or print, so allows for more than one whose pictures are all alike. Heat is
  compared as a ratio: midway is a geometric mean;
- it is an outlier by the generalised extreme studentised deviate test (Rosner, 1983) on the logarithms,
  which finds smaller differences where there are enough pictures to tell how alike they are.

What is hot in every picture, as a rim is, makes all of them hot and none stand out. Comparing each position
with the same place of the others instead was tried and found no more, and fewer in five wet cups. Measures
and numbers were chosen on clean pictures and stains laid over them (``stains``); what they find of real
defects is measured by ``tests/measure/guard.py``. Pictures with the same stain excuse each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

TIMES_AS_HOT = 2.0
_SIGNIFICANCE = 0.001
"""With both, on the pictures and painted stains that they were chosen on: none of the clean sets of bottles
had a suspect, and of wet cups 3 % of sets of 5, 7 % of 20 and 1 % of 80; a stained one among them was
named in 81 to 98 %. Real defects on wet cups are mostly smaller (``docs/measurements/detector.md``)."""
_HOTTEST = 3
"""Positions averaged into a picture's heat: one alone is noise, a small stain has no more than a few."""
_MOST = 1 / 4
"""Share of the pictures that can be stained: the rest must tell what clean is."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A picture that is not like the others.

    Attributes:
        name: as given.
        score: how many times as hot it is as midway between the others' middle and their hottest.
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
        The hottest first; none among fewer than three pictures, where nobody can say which of them is the
        odd one.
    """
    if len(maps) < 3:
        return []
    distances = -np.asarray(maps, np.float64).reshape(len(maps), -1)
    heat = np.log(np.maximum(np.sort(distances, axis=1)[:, -_HOTTEST:].mean(axis=1), 1e-6))
    order = np.argsort(-heat)
    found: list[Suspect] = []
    standing_out = 0
    for rank in range(max(1, int(_MOST * len(maps)))):
        number, colder = order[rank], heat[order[rank + 1 :]]
        row, column = np.unravel_index(distances[number].argmax(), maps.shape[1:])
        score = float(np.exp(heat[number] - (np.median(colder) + colder.max()) / 2))
        found.append(Suspect(names[number], score, (int(row), int(column))))
        if score >= TIMES_AS_HOT or _chance(heat[number], colder) <= _SIGNIFICANCE:
            # Whatever is hotter than a suspect is one too: together they hid each other.
            standing_out = rank + 1
    return found[:standing_out]


def _chance(heat: float, colder: NDArray[np.float64]) -> float:
    """That the hottest of so many pictures is so far above the rest, were they all of a kind."""
    count = len(colder)
    spread = float(colder.std(ddof=1)) * np.sqrt(1 + 1 / count)
    if not spread:
        return float(heat <= colder.max())
    return float((count + 1) * student_t.sf((heat - colder.mean()) / spread, count - 1))
