"""A circle fitted to offsets along rays, robustly: what a chip or a drop has moved does not count."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

RAYS = 240
_angle = np.arange(RAYS) * (2.0 * np.pi / RAYS)
COSINE, SINE = np.cos(_angle), np.sin(_angle)
"""Directions of the rays, to the right and downwards."""
_DESIGN = np.stack([np.ones(RAYS), COSINE, SINE], axis=1)
_PRODUCTS = (_DESIGN[:, :, None] * _DESIGN[:, None, :]).reshape(RAYS, 9)
_RIDGE = 1e-9 * np.eye(3)
"""Only matters where hardly a ray is left."""
_ROUNDS = 8
_SETTLED = 5e-3
"""A change of the circle below which no further round is made, in the offsets' own unit."""
_LEAST_SPREAD = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class CircleShift:
    """How a circle must change to meet the edge that its rays have found.

    Attributes:
        radius: to add to the radius.
        x: to add to the centre.
        y: to add to the centre.
        weights: (rays,) 0 where a ray was left out, up to 1.
    """

    radius: float
    x: float
    y: float
    weights: NDArray[np.float64]


def circle_shift(offsets: NDArray[np.float64], seen: NDArray[np.bool_]) -> CircleShift:
    """Tukey-weighted least squares of offset = radius + x·cos + y·sin over the rays that see the edge.

    Args:
        offsets: (rays,) from the circle outwards to the edge.
        seen: (rays,) which of them count; at least three.
    """
    weights = seen.astype(np.float64)
    middle = int(seen.sum()) // 2
    solution: NDArray[np.floating] = np.zeros(3)
    for _ in range(_ROUNDS):
        before = solution
        information = (weights @ _PRODUCTS).reshape(3, 3) + _RIDGE
        # OpenCV's: of so few unknowns it takes a fifth of numpy's time.
        pull = ((weights * offsets) @ _DESIGN)[:, None]
        solution = cv2.solve(information, pull)[1].ravel()
        residual = offsets - _DESIGN @ solution
        spread = 1.4826 * float(np.partition(np.abs(residual[seen]), middle)[middle])
        reach = 4.0 * max(spread, _LEAST_SPREAD)
        near = np.maximum(1.0 - np.square(residual / reach), 0.0)
        weights = seen * (near * near)
        if np.abs(solution - before).max() < _SETTLED:
            break
    radius, x, y = (float(value) for value in solution)
    return CircleShift(radius, x, y, weights)
