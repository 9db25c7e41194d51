"""The shapes and materials of the four cup types, as what is rendered.

Lengths are in centimetres, z up from the table. A cup is one sheet turned around the z axis: its inner
surface from the middle of the base to the tucked end of the rolled rim.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

_BASE_HEIGHT: Final = 0.35
_ROLL: Final = 0.28
"""The rolled rim is so much wider than the wall's upper end."""
_SHOULDER: Final = 0.09
"""A stacking shoulder makes the wall so much wider."""
_LONGEST_PIECE: Final = 0.25
_FILLET_STEPS: Final = 9
_AROUND: Final = 720


@dataclass(frozen=True, slots=True)
class CupShape:
    """One cup type's shape and material.

    Attributes:
        height: of the rim over the table.
        rim_radius: of the rolled rim, before its shoulders widen it.
        base_radius: inner, where base and wall meet.
        shoulders: heights of the stacking shoulders, as parts of the cup's.
        colour: linear RGB reflectance.
        translucency: part of the light that is scattered through the wall, 0 to 1.
        roughness: GGX alpha of the surface.
        refraction: index of the plastic.
    """

    height: float
    rim_radius: float
    base_radius: float
    shoulders: tuple[float, ...]
    colour: tuple[float, float, float]
    translucency: float
    roughness: float
    refraction: float


SHAPES: Final = {
    "type-01": CupShape(11.0, 4.5, 3.1, (0.82,), (0.86, 0.885, 0.89), 0.42, 0.07, 1.70),
    "type-02": CupShape(12.3, 4.75, 2.85, (0.70, 0.74), (0.91, 0.90, 0.87), 0.10, 0.12, 1.55),
    "type-03": CupShape(8.6, 4.0, 2.95, (0.86,), (0.30, 0.66, 0.77), 0.38, 0.06, 1.70),
    "type-04": CupShape(10.2, 4.3, 3.3, (0.60, 0.88), (0.80, 0.66, 0.42), 0.05, 0.16, 1.52),
}


class _Corner(NamedTuple):
    """A corner of a profile before it is rounded: radius, height, and the fillet's length."""

    radius: float
    height: float
    fillet: float


class Mesh(NamedTuple):
    """A turned profile.

    Attributes:
        vertices: n×3.
        normals: n×3, into the cup.
        faces: m×3 vertex numbers.
    """

    vertices: NDArray[np.float32]
    normals: NDArray[np.float32]
    faces: NDArray[np.uint32]


def profile(shape: CupShape) -> Points:
    """The sheet's (radius, height), n×2, fine enough to be turned."""
    corners = [*_base(shape), *_wall(shape)]
    rounded = _rounded(corners)
    pieces = [rounded[:1]]
    for start, end in pairwise(rounded):
        count = max(1, int(np.ceil(np.linalg.norm(end - start) / _LONGEST_PIECE)))
        pieces.append(start + (end - start) * (np.arange(1, count + 1) / count)[:, None])
    fine = np.concatenate(pieces)
    moved = np.linalg.norm(np.diff(fine, axis=0), axis=1) > 1e-6
    kept: Points = fine[np.concatenate([[True], moved])]
    return kept


def arc_lengths(points: Points) -> NDArray[np.float64]:
    """Way along a profile from its start to each of its points."""
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    return np.concatenate([[0.0], np.cumsum(steps)])


def turned(points: Points) -> Mesh:
    """A profile turned all the way around, with smooth normals."""
    tangent = np.gradient(points, arc_lengths(points), axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    # Walking outwards, left is up on the base and inwards on the wall.
    inward = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    angle = np.linspace(0, 2 * np.pi, _AROUND + 1)
    below = np.arange(len(points) - 1)[:, None] * (_AROUND + 1) + np.arange(_AROUND)
    near, far = below.ravel(), below.ravel() + _AROUND + 1
    faces = np.concatenate(
        [np.stack([near, far, far + 1], axis=1), np.stack([near, far + 1, near + 1], axis=1)]
    )
    return Mesh(_spun(points, angle), _spun(inward, angle), faces.astype(np.uint32))


def _spun(flat: Points, angle: NDArray[np.float64]) -> NDArray[np.float32]:
    """(radius, height) n×2 at each angle: (n·angles)×3."""
    around = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    across = flat[:, None, :1] * around
    up = np.broadcast_to(flat[:, None, 1:], (*across.shape[:2], 1))
    return np.concatenate([across, up], axis=2).reshape(-1, 3).astype(np.float32)


def _base(shape: CupShape) -> list[_Corner]:
    """Gate dimple, a raised ring, and the gutter before the wall."""
    low, edge = _BASE_HEIGHT, shape.base_radius
    ring = edge * 0.62
    return [
        _Corner(0.0, low, 0),
        _Corner(0.14, low, 0.03),
        _Corner(0.19, low - 0.06, 0.03),
        _Corner(0.24, low, 0.03),
        _Corner(ring, low, 0.05),
        _Corner(ring + 0.05, low + 0.05, 0.04),
        _Corner(ring + 0.14, low + 0.05, 0.04),
        _Corner(ring + 0.19, low, 0.05),
        _Corner(edge - 0.35, low, 0.1),
        _Corner(edge - 0.12, low - 0.10, 0.12),
        _Corner(edge, low + 0.02, 0.1),
    ]


def _wall(shape: CupShape) -> list[_Corner]:
    """The tapered wall with its shoulders, and the rolled rim."""
    top, straight = shape.height, shape.rim_radius - _ROLL
    taper = (straight - shape.base_radius) / (top - _BASE_HEIGHT)
    widened = 0.0

    def radius(height: float) -> float:
        return shape.base_radius + taper * (height - _BASE_HEIGHT) + widened

    foot = _BASE_HEIGHT + 0.45
    corners = [_Corner(radius(foot), foot, 0.3)]
    for part in shape.shoulders:
        height = part * top
        corners.append(_Corner(radius(height - 0.14), height - 0.14, 0.08))
        widened += _SHOULDER
        corners.append(_Corner(radius(height), height, 0.08))
        corners.append(_Corner(radius(height + 0.30), height + 0.30, 0.1))
    end = radius(top)
    return [
        *corners,
        _Corner(radius(top - 0.35), top - 0.35, 0.2),
        _Corner(end, top - 0.10, 0.12),
        _Corner(end + 0.08, top + 0.02, 0.10),
        _Corner(end + 0.20, top + 0.03, 0.10),
        _Corner(end + 0.30, top - 0.06, 0.10),
        _Corner(end + 0.31, top - 0.22, 0.08),
        _Corner(end + 0.24, top - 0.32, 0),
    ]


def _rounded(corners: list[_Corner]) -> Points:
    """Each corner as a quadratic curve that leaves its legs at the fillet's length."""
    at = np.array([corner[:2] for corner in corners])
    points = [at[:1]]
    blend = np.linspace(0, 1, _FILLET_STEPS)[:, None]
    for before, corner, after, given in zip(at, at[1:], at[2:], corners[1:], strict=False):
        back, onward = before - corner, after - corner
        short = min(np.linalg.norm(back), np.linalg.norm(onward))
        fillet = min(given.fillet, 0.45 * float(short))
        start = corner + back / np.linalg.norm(back) * fillet
        end = corner + onward / np.linalg.norm(onward) * fillet
        points.append((1 - blend) ** 2 * start + 2 * blend * (1 - blend) * corner + blend**2 * end)
    return np.concatenate([*points, at[-1:]])
