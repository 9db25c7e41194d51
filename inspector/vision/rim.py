"""The rim's centre to a tenth of a frame pixel: on the right circle its edges are straight lines.

The background network sees a twelfth of the frame's resolution. Unwrapped around its circle, the
rim's rings wobble by as much as the centre is off; each ray is shifted until it fits the mean of
all, and the circle follows the shifts. No ring has to be known, so this serves every cup type. The
radius stays as it was: a mean over all rays is exact enough, and which of the rings is outermost is
the network's to say.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.vision.circle_fit import COSINE, RAYS, SINE, circle_shift

_STEP = 1.0 / 600.0
"""Distance of samples along a ray, in radii: about a frame pixel."""
_REACH = 20
"""Samples on either side of the rim that are compared."""
_SEARCH = 8
"""Samples that a ray may be shifted, in each direction."""
_ROUNDS = 4
_SETTLED = 1e-4
"""A shift below which no further round is made, in radii: a fifteenth of a frame pixel."""
_EVERYWHERE = np.ones(RAYS, bool)
_OFFSETS = np.arange(-_REACH - _SEARCH, _REACH + _SEARCH + 1)
_EDGES = len(_OFFSETS) - 1
_SHIFTED = (np.arange(_EDGES)[:, None] - np.arange(-_SEARCH, _SEARCH + 1)) % _EDGES
"""Which edge of the mean lies on which of a ray, for each shift; what comes round is nought there."""


def off_centre(rgb: NDArray[np.uint8], x: float, y: float, radius: float) -> tuple[float, float]:
    """How far the rim's rings lie right of and below a circle, in pixels of the picture.

    Args:
        rgb: a whole cup, H×W×3 uint8, with at least 5 % of the radius around it.
        x: of the circle's centre, right to about 1 % of the radius.
        y: likewise.
        radius: the rim's.
    """
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    step = radius * _STEP
    reach = radius + step * _OFFSETS
    right, down = 0.0, 0.0
    for _ in range(_ROUNDS):
        column = (x + right + np.multiply.outer(COSINE, reach)).astype(np.float32)
        row = (y + down + np.multiply.outer(SINE, reach)).astype(np.float32)
        profile = cv2.remap(grey, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        shift = circle_shift(_shifts(profile.astype(np.float32)) * step, _EVERYWHERE)
        right, down = right + shift.x, down + shift.y
        if np.hypot(shift.x, shift.y) < _SETTLED * radius:
            break
    return right, down


def _shifts(profile: NDArray[np.float32]) -> NDArray[np.float64]:
    """How many samples outwards each ray lies from the mean of all, finer than a sample."""
    edges = np.diff(profile, axis=1)
    # Light differs around the rim; every ray counts the same.
    edges /= edges.std(axis=1, keepdims=True) + 1e-3
    mean = edges.mean(axis=0)
    mean[:_SEARCH] = mean[-_SEARCH:] = 0.0
    likeness = edges @ mean[_SHIFTED]
    best = likeness.argmax(axis=1).clip(1, 2 * _SEARCH - 1)
    before, at, after = (likeness[np.arange(RAYS), best + step] for step in (-1, 0, 1))
    curvature = before - 2.0 * at + after
    between = np.where(curvature < 0, 0.5 * (before - after) / np.minimum(curvature, -1e-9), 0.0)
    return np.asarray(best - _SEARCH + between, np.float64)
