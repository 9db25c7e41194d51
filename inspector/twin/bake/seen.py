"""What of a cup's inner surface the camera sees."""

from typing import Final, NamedTuple

import numpy as np

from inspector.twin.bake.shapes import CupShape, arc_lengths, profile
from inspector.twin.cups.arrays import Floats, floats
from inspector.twin.cups.camera import CAMERA_HEIGHT_CM, FOCAL_LENGTH_PX

_BEYOND_RIM: Final = 64
"""Rows outside the silhouette: the table beside the cup."""
_GUTTER: Final = 0.12
"""Base and wall meet so far inside the base's radius, cm."""


class Profile(NamedTuple):
    """Which point of the inner surface the camera sees at each distance from the picture's centre.

    Attributes:
        rim_row: distance of the silhouette, pixels.
        base_row: distance at which base and wall meet.
        arc_cm: per row, way along the surface.
        radius_cm: per row, distance from the axis.
        height_cm: per row, over the table.
    """

    rim_row: float
    base_row: int
    arc_cm: Floats
    radius_cm: Floats
    height_cm: Floats


def seen_profile(shape: CupShape) -> Profile:
    """Rows are pixels of a cup in the middle of the picture, from the axis to just outside its rim."""
    points = profile(shape)
    distance = FOCAL_LENGTH_PX * points[:, 0] / (CAMERA_HEIGHT_CM - points[:, 1])
    silhouette = int(np.argmax(distance))
    points, distance = points[: silhouette + 1], distance[: silhouette + 1]
    arc = arc_lengths(profile(shape))[: silhouette + 1]
    outward = np.maximum.accumulate(distance)
    # What lies behind a nearer edge is not seen.
    seen = np.concatenate([[True], np.diff(outward) > 1e-4])
    outward, points, arc = outward[seen], points[seen], arc[seen]
    rim_row = float(outward[-1])
    row = np.minimum(np.arange(int(rim_row) + _BEYOND_RIM), rim_row)
    return Profile(
        rim_row,
        int(np.interp(shape.base_radius - _GUTTER, points[:, 0], outward)),
        floats(np.interp(row, outward, arc)),
        floats(np.interp(row, outward, points[:, 0])),
        floats(np.interp(row, outward, points[:, 1])),
    )
