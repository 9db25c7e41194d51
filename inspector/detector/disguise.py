"""Clean cups made to look like another type's: what stands in for types that nobody has pictures of.

A few types are little to learn from what all cups have in common. Of another material, of another shape and
mirrored, the same cups show how drops and wear look on many.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Random = np.random.Generator
Curve = NDArray[np.float64]
_GAIN, _TINT = (0.45, 1.15), (0.75, 1.25)
"""Brightness of a material and, on top, of each colour."""
_RING_TINT, _KNOTS = 0.2, 8
"""Spread of the rings' own brightness and colour, as a natural logarithm, at so many places up the wall."""
_STRETCH = 0.03
"""Spread of how far rings move up or down the wall, as a part of the view."""
_OWN = 0.25
"""How often cups keep their own material, and their own shape."""
_NOISE = 1.5
"""Grey levels of noise at most, on top of the camera's own."""


def disguised(views: NDArray[np.uint8], random: Random) -> NDArray[np.uint8]:
    """The same cups as another type's, all in the same way, each turned by an angle of its own.

    Args:
        views: n×R×K×3 uint8 RGB, polar, contrast 1.
        random: what they become.
    """
    rows, columns = views.shape[1:3]
    heights = np.arange(rows) / (rows - 1)
    mirrored = random.random() < 0.5
    if random.random() >= _OWN:
        heights = _stretched(heights, random)
    material = np.ones((rows, 1, 3), np.float32)
    if random.random() >= _OWN:
        material *= random.uniform(*_GAIN) * random.uniform(*_TINT, 3) * _ring_tints(rows, random)
    noise = random.uniform(0, _NOISE)
    from_row = np.repeat((heights * (rows - 1)).astype(np.float32)[:, None], columns, axis=1)
    from_column = np.tile(np.arange(columns, dtype=np.float32), (rows, 1))
    worn = np.empty_like(views)
    for number, view in enumerate(views):
        turned = np.roll(view, random.integers(columns), axis=1)
        if mirrored:
            turned = turned[:, ::-1]
        seen = cv2.remap(turned, from_column, from_row, cv2.INTER_LINEAR) * material
        seen += random.standard_normal(seen.shape, np.float32) * np.float32(noise)
        worn[number] = np.clip(np.round(seen), 0, 255)
    return worn


def _stretched(heights: Curve, random: Random) -> Curve:
    """Where each ring comes from, 0 … 1; none passes another."""
    moved = heights.copy()
    for wave in (1, 2, 3):
        moved += random.normal(0, _STRETCH / wave) * np.sin(np.pi * wave * heights)
    return np.maximum.accumulate(moved).clip(0, 1)


def _ring_tints(rows: int, random: Random) -> NDArray[np.float32]:
    """Factors R×1×3 that change smoothly from ring to ring."""
    knots = random.normal(0, _RING_TINT, (_KNOTS, 1, 3)).astype(np.float32)
    smooth = cv2.resize(knots, (1, rows), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.exp(smooth), np.float32)
