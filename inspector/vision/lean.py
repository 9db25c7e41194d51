"""How far a cup's base lies beside its rim, seen from the camera: in the polar view, rings are straight then.

A cup that leans, or stands beside the lens's axis, shows its rings about centres that move evenly from the
rim's to where its wall would end in a point. Unrolled around the rim's centre alone, a ring waves once
around the cup, by up to half a patch of what is compared, and no two cups wave alike.
"""

from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

_BLURS = (4.0, 4.0, 2.0, 1.0, 1.0)
"""Standard deviations, in rows, that the rounds look through: the coarse ones find far shifts."""
_LIGHT = 3
"""So many times a blur is light, not a ring, and taken out."""
_EDGE = 2
"""Rows at the middle left out: few pixels are unrolled to many there."""
_RIM = 0.9
"""Share of the rows looked at: the rim's own stand still and are the brightest of all."""
_DOUBT = 3.0
"""Deviations, in units of the median one, at which a pixel counts half: print, drops, faults."""
_FARTHEST = 0.1
"""No cup in the picture leans farther, in rim radii; beyond it the rings were not understood."""


class Lean(NamedTuple):
    """Where the rings' centres go towards the middle, in rim radii: right and down in the cup image.

    A ring of radius ρ has its centre (1 - ρ) times this beside the rim's.
    """

    x: float = 0.0
    y: float = 0.0


UPRIGHT_CUP = Lean()


def lean_of(view: NDArray[np.uint8], radii: NDArray[np.floating]) -> Lean:
    """Find the lean that makes the rings of a polar view straight.

    Gauss-Newton on the rows' shifts: what a pixel differs from its ring's median is explained by the
    ring's own slope, times a shift that goes once around. Light that differs from side to side is no
    slope along the radius and is filtered out first.

    Args:
        view: R×K×3 uint8, unrolled around the rim's centre; a hundred rows are enough.
        radii: R, of its rows, in rim radii, evenly spaced.

    Returns:
        The lean; none where no ring tells.
    """
    grey = cv2.cvtColor(view, cv2.COLOR_RGB2GRAY).astype(np.float32)
    rows, columns = grey.shape
    angle = 2 * np.pi * (np.arange(columns, dtype=np.float32) + 0.5) / columns
    once = np.stack([np.cos(angle), -np.sin(angle)])
    squares = np.stack([once[0] * once[0], once[0] * once[1], once[1] * once[1]])
    share = np.maximum(1 - radii, 0).astype(np.float32)[:, None]
    row, column = np.indices(grey.shape, np.float32)
    per_row = float(radii[1] - radii[0])
    first, behind = _EDGE, int(_RIM * rows)
    before, looked_at, after = (slice(first + step, behind + step) for step in (-1, 0, 1))
    shift = np.zeros(2)
    for blur in _BLURS:
        moved = row + share * (shift.astype(np.float32) @ once)
        straight = cv2.remap(
            _rings(rows, blur) @ grey,
            column,
            moved,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        ring = np.partition(straight, columns // 2, axis=1)[:, columns // 2]
        slope = 0.5 * (ring[after] - ring[before])[:, None] * share[looked_at]
        left = (straight - ring[:, None])[looked_at]
        usual = float(np.partition(np.abs(left), left.size // 2, axis=None)[left.size // 2]) + 1e-3
        weight = 1 / (1 + np.square(left / (_DOUBT * usual)))
        across, mixed, down = (slope * slope).T[0] @ (weight @ squares.T)
        pull = slope.T[0] @ ((weight * left) @ once.T)
        information = np.array([[across, mixed], [mixed, down]]) + np.eye(2)
        step = cv2.solve(information, pull.astype(np.float64)[:, None])[1].ravel()
        # A ring is only understood as far as it is blurred.
        shift -= step * min(1.0, 2 * blur / max(float(np.hypot(*step)), 1e-9))
    lean = Lean(float(shift[0]) * per_row, float(shift[1]) * per_row)
    return lean if np.hypot(*lean) <= _FARTHEST else UPRIGHT_CUP


def ring_centres(lean: Lean, radii: NDArray[np.floating]) -> NDArray[np.float32]:
    """R×2 (right, down): where the rings of these radii have their centres, in rim radii."""
    share = np.maximum(1 - np.asarray(radii), 0)
    return np.asarray(share[:, None] * np.array(lean), np.float32)


def ring_of(
    x: NDArray[np.float32], y: NDArray[np.float32], lean: Lean
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """On which ring a point lies, and at which angle: the inverse of :func:`ring_centres`.

    Args:
        x: right of the rim's centre, in rim radii.
        y: below it.
        lean: the cup's.

    Returns:
        Radius of the ring, in rim radii, and angle in radians, 0 … 2π, counter-clockwise from the right.
    """
    radius = np.sqrt(x * x + y * y)
    if lean != UPRIGHT_CUP:
        # |p - (1 - ρ)·lean| = ρ, solved for ρ; outside the rim nothing leans.
        beside_x, beside_y = x - lean.x, y - lean.y
        along = beside_x * lean.x + beside_y * lean.y
        rest = 1 - (lean.x**2 + lean.y**2)
        square = beside_x * beside_x + beside_y * beside_y
        ring = (along + np.sqrt(along * along + rest * square)) / rest
        radius = np.where(radius < 1, ring, radius)
        share = np.maximum(1 - radius, 0)
        x, y = x - share * lean.x, y - share * lean.y
    _, angle = cv2.cartToPolar(x, -y)
    return np.asarray(radius, np.float32), np.asarray(angle, np.float32)


@cache
def _rings(rows: int, blur: float) -> NDArray[np.float32]:
    """rows×rows: takes a view to its rings, blurred from row to row and without what is light."""
    own, light = (
        _along_radius(np.eye(rows, dtype=np.float32), each) for each in (blur, _LIGHT * blur)
    )
    return own - light


def _along_radius(grey: NDArray[np.float32], blur: float) -> NDArray[np.float32]:
    """Blurred from row to row alone."""
    size = 2 * int(2 * blur) + 1
    kernel = cv2.getGaussianKernel(size, blur, cv2.CV_32F)
    return np.asarray(cv2.sepFilter2D(grey, cv2.CV_32F, np.ones(1, np.float32), kernel), np.float32)
