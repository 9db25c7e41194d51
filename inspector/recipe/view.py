"""The cup image as a network reads it: in which size, and which of its patches show the cup."""

import cv2
import numpy as np
from numpy.typing import NDArray

SIZE = 384
"""Edge of the cup image in pixels."""
RIM_PX = 180.0
"""Radius of the rim in the cup image: 0.47 of its edge."""
MIDDLE = (SIZE - 1) / 2
"""Where the rim's centre is in the cup image, both ways."""


def network_view(image: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.uint8]:
    """A view of a cup, uint8 RGB, as rows×columns×3: averaged over the pixels it gives up."""
    if image.shape[:2] == (rows, columns):
        return image
    return np.asarray(cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)


def cup_patches(grid: tuple[int, int]) -> NDArray[np.int64]:
    """Which patches of a cup image any pixel of the cup lies in; all others are grey, whatever the cup.

    Args:
        grid: rows and columns of patches that the cup image is cut into.

    Returns:
        Their numbers, row by row.
    """
    down, across = (
        np.maximum(np.abs(np.arange(count) + 0.5 - count / 2) - 0.5, 0) * (SIZE / count)
        for count in grid
    )
    # A pixel more, as the view has: the rim's own pixels are half outside.
    return np.flatnonzero(np.hypot(down[:, None], across) < RIM_PX + 1)


def spread(kept: NDArray[np.int64], grid: tuple[int, int]) -> NDArray[np.int64]:
    """For each position of a map its row among the kept patches, behind the last for one left out."""
    places = np.full(grid[0] * grid[1], len(kept))
    places[kept] = np.arange(len(kept))
    return places
