"""What of a picture the networks compare, and a heat map of it brought back to what one looks at.

``upright``: the cup image; ``round``: the same, for networks that leave out what is beside the cup;
``polar``: the cup unwrapped around its rim's centre; ``whole``: the picture as it is, for things that are no
cups. Each is taken from the picture's own pixels in one step, so that a larger view shows more of it.
"""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.recipe.manifest import ViewEntry
from inspector.recipe.view import RIM_PX, SIZE
from inspector.vision.lean import UPRIGHT_CUP, Lean, lean_of
from inspector.vision.pixels import averaged, halvings
from inspector.vision.polar import INNER, OUTER, contrasted, folded, ring_radii, unrolled

UPRIGHT = ViewEntry()
"""The published view: the networks compare the cup image (§3)."""
GREY = 128
"""What lies outside the rim is filled with this, in all three colours."""
_RINGS = (112, 49)
"""Rows and columns that are enough to see how a cup leans: on 40 cups as good as twice as many columns."""


def pixels_a_radius(view: ViewEntry) -> float:
    """How many pixels of a picture the rim's radius should have, so that a view of it loses nothing.

    Cup images are made for whoever looks at them, whatever the networks compare: never fewer than theirs.
    """
    if view.kind == "polar":
        return max(view.rows / (OUTER - INNER), RIM_PX)
    return max(view.rows * RIM_PX / SIZE, RIM_PX)


def warped(
    picture: NDArray[np.uint8], to_picture: NDArray[np.float64], shape: tuple[int, int]
) -> NDArray[np.uint8]:
    """Crop, rotation and scale in one warp, of the picture halved while it has pixels enough.

    Args:
        picture: H×W or H×W×C uint8.
        to_picture: 2×3, takes (x, y, 1) of the 384×384 cup image to (x, y) of ``picture``.
        shape: rows and columns wanted of the same square.

    Returns:
        rows×columns, or rows×columns×C.
    """
    rows, columns = shape
    across, down = SIZE / columns, SIZE / rows
    # Pixel centres: that of pixel (0, 0) lies half a pixel inside the cup image's corner.
    to_cup_image = np.array(
        [[across, 0.0, 0.5 * across - 0.5], [0.0, down, 0.5 * down - 0.5], [0.0, 0.0, 1.0]]
    )
    matrix = to_picture @ to_cup_image
    times = halvings(float(np.sqrt(abs(np.linalg.det(matrix[:, :2])))))
    picture, matrix = averaged(picture, times), fewer(matrix, times)
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(
            picture, matrix, (columns, rows), flags=how, borderMode=cv2.BORDER_REPLICATE
        ),
        np.uint8,
    )


def fewer(to_picture: NDArray[np.float64], times: int) -> NDArray[np.float64]:
    """What led to a picture's pixels, leading to those of the same picture ``averaged``."""
    moved = to_picture / times
    moved[:, 2] += 0.5 / times - 0.5
    return moved


def upright(
    rgb: NDArray[np.uint8], to_picture: NDArray[np.float64], shape: tuple[int, int] = (SIZE, SIZE)
) -> NDArray[np.uint8]:
    """The cup image in any size: the cup as ``to_picture`` turns it, grey outside its rim.

    Args:
        rgb: H×W×3 uint8, the cup's part of the frame.
        to_picture: as :func:`warped` takes it.
        shape: rows and columns.
    """
    keep, fill = _rim(shape)
    image = warped(rgb, to_picture, shape)
    cv2.bitwise_and(image, keep, dst=image)
    cv2.bitwise_or(image, fill, dst=image)
    return image


def polar(
    rgb: NDArray[np.uint8],
    to_picture: NDArray[np.float64],
    shape: tuple[int, int],
    contrast: float = 1.0,
) -> tuple[NDArray[np.uint8], Lean]:
    """The cup unwrapped around its rings' centres.

    Args:
        rgb: as :func:`upright` takes it.
        to_picture: likewise.
        shape: rows and columns.
        contrast: see ``inspector.vision.polar.contrasted``.

    Returns:
        rows×columns×3 uint8, and how the cup leans.
    """
    rings = unrolled(rgb, to_picture, _RINGS)
    lean = lean_of(rings, ring_radii(len(rings)))
    view = unrolled(rgb, to_picture, shape, lean)
    return contrasted(view, contrast), lean


def whole(rgb: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """The picture as it is, H×W×3 uint8, in rows×columns: averaged where it loses pixels."""
    rows, columns = shape
    if rgb.shape[:2] == shape:
        return rgb
    smaller = rows <= rgb.shape[0] and columns <= rgb.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb, (columns, rows), interpolation=how), np.uint8)


def heat_on_cup(
    heat: NDArray[np.float32], view: ViewEntry, lean: Lean = UPRIGHT_CUP
) -> NDArray[np.float32]:
    """A heat map of a view, h×w, as one of what is looked at, float32.

    Args:
        heat: of the view.
        view: what it shows.
        lean: the cup's, for polar views.

    Returns:
        384×384 on the cup image; for whole pictures rows×columns of the view.
    """
    if view.kind == "polar":
        return folded(heat, lean)
    rows, columns = (view.rows, view.columns) if view.kind == "whole" else (SIZE, SIZE)
    return np.asarray(cv2.resize(heat, (columns, rows), interpolation=cv2.INTER_LINEAR), np.float32)


@cache
def _rim(shape: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Masks over an upright view, rows×columns×3: what is kept, and what is filled in beside it."""
    rows, columns = shape
    y = ((np.arange(rows) + 0.5) * (SIZE / rows) - SIZE / 2.0)[:, None]
    x = ((np.arange(columns) + 0.5) * (SIZE / columns) - SIZE / 2.0)[None, :]
    inside = (np.hypot(x, y) <= RIM_PX + 1.0)[..., None].repeat(3, 2)
    return np.where(inside, 255, 0).astype(np.uint8), np.where(inside, 0, GREY).astype(np.uint8)
