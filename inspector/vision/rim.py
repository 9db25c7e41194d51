"""The rim's centre to a tenth of a frame pixel: on the right circle its edges are straight lines.

The background network sees a twelfth of the frame's resolution. Unwrapped around its circle, the
rim's rings wobble by as much as the centre is off; each ray is shifted until it fits the mean of
all, and the circle follows the shifts. No ring has to be known, so this serves every cup type. The
radius stays as it was: a mean over all rays is exact enough, and which of the rings is outermost is
the network's to say.
"""

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.vision.circle_fit import COSINE, RAYS, SINE, circle_shift
from inspector.vision.outline import CupOutline

_STEP = 1.0 / 600.0
"""Distance of samples along a ray, in radii: about a frame pixel."""
_REACH = 20
"""Samples on either side of the rim that are compared."""
_SEARCH = 8
"""Samples that a ray may be shifted, in each direction."""
_ROUNDS = 4
_SETTLED_PX = 0.02
"""A shift below which no further round is made, in frame pixels."""
_OFFSETS = np.arange(-_REACH - _SEARCH, _REACH + _SEARCH + 1)


def recentred(outline: CupOutline, rgb: NDArray[np.uint8], left: int, top: int) -> CupOutline:
    """The outline with its centre moved to where the rim's rings are round.

    Args:
        outline: of a whole cup, its centre right to about 1 % of the radius.
        rgb: the cup's part of the frame, H×W×3 uint8, with at least 5 % of the radius around it.
        left: of ``rgb`` in the frame.
        top: of ``rgb`` in the frame.
    """
    x, y = outline.x - left, outline.y - top
    step = outline.radius * _STEP
    reach = outline.radius + step * _OFFSETS
    everywhere = np.ones(RAYS, bool)
    for _ in range(_ROUNDS):
        column = (x + np.multiply.outer(COSINE, reach)).astype(np.float32)
        row = (y + np.multiply.outer(SINE, reach)).astype(np.float32)
        profile = cv2.remap(rgb, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        shift = circle_shift(_shifts(profile.sum(axis=2, dtype=np.float32)) * step, everywhere)
        x, y = x + shift.x, y + shift.y
        if np.hypot(shift.x, shift.y) < _SETTLED_PX:
            break
    return replace(outline, x=x + left, y=y + top)


def _shifts(profile: NDArray[np.float32]) -> NDArray[np.float64]:
    """How many samples outwards each ray lies from the mean of all, finer than a sample."""
    edges = np.diff(profile, axis=1)
    # Light differs around the rim; every ray counts the same.
    edges /= edges.std(axis=1, keepdims=True) + 1e-3
    length = edges.shape[1]
    mean = edges.mean(axis=0)[_SEARCH : length - _SEARCH]
    likeness = np.stack(
        [edges[:, shift : length - 2 * _SEARCH + shift] @ mean for shift in range(2 * _SEARCH + 1)],
        axis=1,
    )
    best = likeness.argmax(axis=1).clip(1, 2 * _SEARCH - 1)
    before, at, after = (likeness[np.arange(RAYS), best + step] for step in (-1, 0, 1))
    curvature = before - 2.0 * at + after
    between = np.where(curvature < 0, 0.5 * (before - after) / np.minimum(curvature, -1e-9), 0.0)
    return np.asarray(best - _SEARCH + between, np.float64)
