"""The polar view: a cup unwrapped around its rim's centre, and a heat map of it folded back.

Rows are radii, from near the centre outwards to just beyond the rim; columns are angles, counter-clockwise
from the right. A cup is round: unwrapped, its rings lie in rows, its wall gets the pixels that the flat
base would waste, and a position means the same height on the cup all the way round.
"""

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

INNER, OUTER = 0.06, 1.02
"""First and last radius, as parts of the rim's."""
_OVERSAMPLING = 2
"""The remap goes to twice the size and is averaged down, so that nothing aliases."""

Map = NDArray[np.float32]


def unrolled(
    rgb: NDArray[np.uint8],
    points_in: Callable[[NDArray[np.floating]], NDArray[np.float64]],
    rim_px: float,
    middle: float,
    shape: tuple[int, int],
) -> NDArray[np.uint8]:
    """The cup's polar view.

    Args:
        rgb: the picture it is taken from.
        points_in: cup-image points, n×2 (x, y), to points of ``rgb``.
        rim_px: the rim's radius in the cup image.
        middle: its centre there, both ways.
        shape: rows and columns of the view.

    Returns:
        rows×columns×3 uint8 RGB.
    """
    origin, across, down = points_in(
        np.array([[middle, middle], [middle + rim_px, middle], [middle, middle + rim_px]])
    )
    # Cup image to picture is affine, and so is unit circle to picture.
    to_rgb = np.stack([across - origin, down - origin, origin], axis=1)
    places = cv2.transform(_unit_rays(shape), to_rgb)
    fine = cv2.remap(rgb, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    rows, columns = shape
    return np.asarray(cv2.resize(fine, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)


def contrasted(view: NDArray[np.uint8], contrast: float) -> NDArray[np.uint8]:
    """A polar view in which faint marks stand out: each pixel farther from its ring's median.

    A cup is round, so the median of a ring is the cup without mark, print or drop, in this picture's own
    light. Networks that were trained on photographs hardly answer to a mark a few grey levels deep.

    Args:
        view: rows×columns×3 uint8.
        contrast: so many times as far, each colour by itself, up to black and white; 1 changes nothing.
    """
    if contrast == 1:
        return view
    middle = view.shape[1] // 2
    ring = np.partition(view, middle, axis=1)[:, middle, None]
    rings = np.broadcast_to(ring, view.shape)
    return np.asarray(cv2.addWeighted(view, contrast, rings, 1 - contrast, 0), np.uint8)


def folded(heat: Map, rim_px: float, size: int) -> Map:
    """A polar heat map as one of the cup image.

    Args:
        heat: h×w, radius down, angle across.
        rim_px: the rim's radius in the cup image.
        size: the cup image's edge.

    Returns:
        size×size float32; what lies outside the rim has the map's least heat.
    """
    rows, columns = heat.shape
    row, column, inside = _cells((rows, columns), rim_px, size)
    around = np.concatenate([heat[:, -1:], heat, heat[:, :1]], axis=1)
    flat = cv2.remap(around, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(np.where(inside, flat, heat.min()), np.float32)


@cache
def _unit_rays(shape: tuple[int, int]) -> Map:
    """Where the fine view's pixels lie, in rim radii right of and below the centre; …×2."""
    rows, columns = shape[0] * _OVERSAMPLING, shape[1] * _OVERSAMPLING
    radius = INNER + (OUTER - INNER) * (np.arange(rows) + 0.5) / rows
    angle = 2 * np.pi * (np.arange(columns) + 0.5) / columns
    # Rows of a picture count downwards.
    directions = np.stack([np.cos(angle), -np.sin(angle)], axis=-1)
    return np.asarray(radius[:, None, None] * directions, np.float32)


@cache
def _cells(shape: tuple[int, int], rim_px: float, size: int) -> tuple[Map, Map, NDArray[np.bool_]]:
    """For each pixel of the cup image its row and (one to the right) column in the heat map."""
    offset = np.arange(size) - (size - 1) / 2
    radius = np.hypot(offset[None, :], offset[:, None]) / rim_px
    angle = np.arctan2(-offset[:, None], offset[None, :]) % (2 * np.pi)
    row = (radius - INNER) / (OUTER - INNER) * shape[0] - 0.5
    column = angle / (2 * np.pi) * shape[1] - 0.5 + 1
    return row.astype(np.float32), column.astype(np.float32), radius <= OUTER
