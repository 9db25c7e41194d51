"""The polar view: a cup unwrapped around its rings' centres, and a heat map of it folded back.

Rows are radii, from near the centre outwards to just beyond the rim; columns are angles, counter-clockwise
from the right. A cup is round: unwrapped, its rings lie in rows, its wall gets the pixels that the flat
base would waste, and a position means the same height on the cup all the way round.
"""

from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.recipe.view import MIDDLE, RIM_PX, SIZE
from inspector.vision.lean import UPRIGHT_CUP, Lean, ring_centres, ring_of

INNER, OUTER = 0.06, 1.02
"""First and last radius, as parts of the rim's."""
_AROUND = 2
"""Samples for each column along the outer rings, averaged: they have more pixels than the view columns."""
_COARSER = 3
"""So many pixels of the cup image lie between two places that a heat map is folded to."""
_CELL = 16
"""Columns of a view whose mean is one cell, in which the light is looked for."""
_WINDOW = 0.184
"""Share of a ring that light is the median of: with 0.27, a little fewer defects were told."""

Map = NDArray[np.float32]


def unrolled(
    rgb: NDArray[np.uint8],
    to_picture: NDArray[np.float64],
    shape: tuple[int, int],
    lean: Lean = UPRIGHT_CUP,
) -> NDArray[np.uint8]:
    """The cup's polar view.

    Args:
        rgb: the picture it is taken from; where it has more than twice the view's rows, several are averaged.
        to_picture: 2×3, takes (x, y, 1) of the 384×384 cup image to (x, y) of ``rgb``.
        shape: rows and columns of the view.
        lean: the cup's.

    Returns:
        rows×columns×3 uint8 RGB.
    """
    origin = to_picture @ (MIDDLE, MIDDLE, 1.0)
    # Unit circle to picture, row by row where right and down of it lead.
    to_rgb = RIM_PX * to_picture[:, :2].T
    rows, columns = shape
    pixels_a_row = (OUTER - INNER) * float(np.hypot(*to_rgb[0])) / rows
    along = max(1, int(pixels_a_row))
    radii = ring_radii(along * rows)
    centres = ring_centres(lean, radii) @ to_rgb + origin
    middle_ring = along * (rows // 2)

    def seen(rings: slice, around: int) -> NDArray[np.uint8]:
        rays = _rays(around * columns) @ to_rgb
        # A place is its ring's centre and radius times its ray: for each coordinate one product of matrices.
        x, y = (
            np.stack([radii[rings], centres[rings, axis]], 1).astype(np.float32)
            @ np.stack([rays[:, axis], np.ones(len(rays))]).astype(np.float32)
            for axis in (0, 1)
        )
        fine = cv2.remap(rgb, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        # Half-way between two samples lies their mean, which OpenCV finds five times as fast so.
        how = cv2.INTER_LINEAR if along == 1 else cv2.INTER_AREA
        return np.asarray(cv2.resize(fine, (columns, len(x) // along), interpolation=how), np.uint8)

    return np.concatenate([seen(slice(middle_ring), 1), seen(slice(middle_ring, None), _AROUND)])


def ring_radii(rows: int) -> NDArray[np.float64]:
    """Radii of the rows of a view or of a heat map, in rim radii."""
    return INNER + (OUTER - INNER) * (np.arange(rows) + 0.5) / rows


def contrasted(view: NDArray[np.uint8], contrast: float) -> NDArray[np.uint8]:
    """A polar view in even light, in which faint marks stand out: each pixel farther from its ring.

    A cup is round: what changes slowly along a ring is the lamps' light, which lies elsewhere on every
    cup, and the rest is print, drops and faults. Light is the median of a fifth of the ring around a
    place, so that a mark of less than half of that does not dim itself; the ring's mean stays, and with it
    the cup's own colour. Networks that were trained on photographs hardly answer to a mark a few grey
    levels deep.

    Args:
        view: rows×columns×3 uint8.
        contrast: so many times as far, each colour by itself, up to black and white.
    """
    rows, columns, _ = view.shape
    cells = max(3, columns // _CELL)
    aside = max(1, int(_WINDOW * cells / 2))
    light = _median_along(cv2.resize(view, (cells, rows), interpolation=cv2.INTER_AREA), aside)
    blur = max(aside | 1, 3)
    smooth = cv2.blur(_wrapped(light.astype(np.float32), blur), (blur, 1))[:, blur - 1 : 1 - blur]
    ring = cv2.reduce(light, 1, cv2.REDUCE_AVG, dtype=cv2.CV_32F).reshape(rows, 1, 3)
    margin = max(round(columns / cells), 1)
    taken = cv2.resize(contrast * smooth - ring, (columns + 2 * margin, rows))
    return np.asarray(
        cv2.addWeighted(view, contrast, taken[:, margin:-margin], -1, 0, dtype=cv2.CV_8U), np.uint8
    )


def _median_along(cells: NDArray[np.uint8], aside: int) -> NDArray[np.uint8]:
    """Median of each cell and its neighbours on its ring, by a sorting network that stops half-way.

    Args:
        cells: rows×cells×3 uint8.
        aside: neighbours on either side.
    """
    around = _wrapped(cells, aside)
    shifted = [around[:, first : first + cells.shape[1]] for first in range(2 * aside + 1)]
    for rank in range(aside + 1):
        for place in range(2 * aside, rank, -1):
            low, high = shifted[place - 1], shifted[place]
            shifted[place - 1], shifted[place] = np.minimum(low, high), np.maximum(low, high)
    return shifted[aside]


def _wrapped(around: NDArray[Any], by: int) -> NDArray[Any]:
    """With so many columns of either end put before the other."""
    return np.concatenate([around[:, -by:], around, around[:, :by]], axis=1)


def folded(heat: Map, lean: Lean = UPRIGHT_CUP) -> Map:
    """A polar heat map as one of the cup image.

    Args:
        heat: h×w, radius down, angle across.
        lean: that the cup was unrolled with.

    Returns:
        384×384 float32; what lies outside the rim has the map's least heat.
    """
    rows, columns = heat.shape
    # A heat map has few positions: a third of the pixels' rows and columns show all of it.
    edge = SIZE // _COARSER
    offset = (np.arange(edge, dtype=np.float32) - (edge - 1) / 2) * np.float32(_COARSER / RIM_PX)
    right, down = np.meshgrid(offset, offset)
    radius, angle = ring_of(right, down, lean)
    row = (radius - INNER) * np.float32(rows / (OUTER - INNER)) - np.float32(0.5)
    # One to the right, since the last column stands before the first as well.
    column = angle * np.float32(columns / (2 * np.pi)) + np.float32(0.5)
    flat = cv2.remap(
        _wrapped(heat, 1), column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    flat[radius > OUTER] = heat.min()
    return np.asarray(cv2.resize(flat, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR), np.float32)


@cache
def _rays(columns: int) -> NDArray[np.float64]:
    """Where each column looks, columns×2: right and down, of length 1."""
    angle = 2 * np.pi * (np.arange(columns) + 0.5) / columns
    # Rows of a picture count downwards.
    return np.stack([np.cos(angle), -np.sin(angle)], axis=-1)
