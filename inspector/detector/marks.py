"""Marks painted over clean cups, in the polar view: what an adapter learns to tell from water and wear.

Blots, rings of dried drops, hair lines, specks and missing pieces of any colour, from plain to hardly seen.
They are shapes of computer graphics: nothing of the twin's own defects is in them, and whoever tests with
the twin's does not test what was learned by heart.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.detector.stains import outline

FEWEST, MOST = 2, 5
"""Marks on one view."""
_COLOURS = np.array(
    [
        [60, 45, 30],
        [20, 20, 20],
        [120, 95, 50],
        [90, 110, 70],
        [150, 150, 140],
        [235, 235, 230],
        [200, 180, 120],
    ],
    np.float32,
)
"""Of coffee, soot, juice, mould, lime, milk and fat; each mark's is some way from one of them."""
_COLOUR_SPREAD = 15.0
_FINE = 3
"""Bits of a pixel that shapes are drawn with."""

Random = np.random.Generator
Cover = NDArray[np.float32]
"""R×K, how much of a mark lies over each pixel, 0 … 1."""


def marked(view: NDArray[np.uint8], random: Random, strength: float = 1.0) -> NDArray[np.uint8]:
    """The view with some marks painted over it.

    Args:
        view: R×K×3 uint8 RGB, polar, as it is before its contrast is raised.
        random: what and where.
        strength: of all marks together, 1 for as strong as they come, less for fainter.
    """
    picture = view.astype(np.float32)
    for _ in range(random.integers(FEWEST, MOST + 1)):
        cover = _KINDS[random.integers(len(_KINDS))](view.shape[:2], random)
        # Drawn anywhere around the cup: a mark goes on behind the last column.
        cover = np.roll(cover, random.integers(view.shape[1]), axis=1)
        colour = _COLOURS[random.integers(len(_COLOURS))] + random.normal(0, _COLOUR_SPREAD, 3)
        picture += strength * cover[..., None] * (colour - picture)
    return np.asarray(np.clip(np.round(picture), 0, 255), np.uint8)


def _blot(size: tuple[int, int], random: Random) -> Cover:
    """A soft blot; one in three only its edge, as a drop leaves it when it dries."""
    cover = np.zeros(size, np.float32)
    shape = outline(size, random, (0.02, 0.13))
    cv2.fillPoly(cover, [_fixed(shape)], 1.0, cv2.LINE_AA, _FINE)
    if random.random() < 1 / 3:
        cover = np.abs(_soft(cover, 1) - _soft(cover, 3)) * 3
    return _soft(cover, random.uniform(0.5, 3)).clip(0, 1) * np.float32(random.uniform(0.06, 0.5))


def _line(size: tuple[int, int], random: Random) -> Cover:
    """A thin line with bends."""
    cover = np.zeros(size, np.float32)
    steps = random.integers(2, 6)
    direction = random.uniform(0, 2 * np.pi) + np.cumsum(random.normal(0, 0.35, steps))
    length = random.uniform(4, 25, steps)
    path = np.cumsum(length[:, None] * np.stack([np.cos(direction), np.sin(direction)], 1), axis=0)
    cv2.polylines(cover, [_fixed(_place(size, random) + path)], False, 1.0, 1, cv2.LINE_AA, _FINE)
    return _soft(cover, random.uniform(0.4, 1.0)) * np.float32(random.uniform(0.15, 0.9))


def _specks(size: tuple[int, int], random: Random) -> Cover:
    """A few dots or many, near each other."""
    cover, place = np.zeros(size, np.float32), _place(size, random)
    for _ in range(random.integers(1, 25)):
        middle = _fixed(place + random.normal(0, (10, 6)))
        radius = int(random.uniform(0.7, 2.5) * (1 << _FINE))
        cv2.circle(cover, middle.tolist(), radius, 1.0, -1, cv2.LINE_AA, _FINE)
    return _soft(cover, random.uniform(0.4, 1.2)) * np.float32(random.uniform(0.15, 0.8))


def _missing(size: tuple[int, int], random: Random) -> Cover:
    """A piece broken out, every other one of the rim."""
    cover = np.zeros(size, np.float32)
    column, row = _place(size, random)
    if random.random() < 0.5:
        row = size[0] - random.uniform(2, 8)
    axes = (2 * random.uniform(4, 16), 2 * random.uniform(2, 8))
    cv2.ellipse(cover, ((column, row), axes, random.uniform(0, 30)), 1.0, -1)
    return _soft(cover, 0.7) * np.float32(random.uniform(0.5, 1))


_KINDS: tuple[Callable[[tuple[int, int], Random], Cover], ...] = (_blot, _line, _specks, _missing)


def _place(size: tuple[int, int], random: Random) -> NDArray[np.float64]:
    """Column and row: the column does not matter, since every mark is moved around the cup."""
    return np.array([size[1] / 2, random.uniform(0, size[0])])


def _soft(cover: Cover, blur: float) -> Cover:
    return np.asarray(cv2.GaussianBlur(cover, (0, 0), blur), np.float32)


def _fixed(points: NDArray[np.floating]) -> NDArray[np.int32]:
    """In the fixed point numbers that shapes are drawn with."""
    return np.round(points * (1 << _FINE)).astype(np.int32)
