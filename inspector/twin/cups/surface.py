"""A cup type's inner surface in polar rows and columns, with its baked light.

Row ``r`` is the picture radius in pixels of a cup that stands in the middle of the picture; column
``c`` is the angle around the cup's axis, counter-clockwise as seen in the picture. The tables say
where on the wall a row lies in centimetres, so that what is painted in centimetres comes out
foreshortened as the camera sees it.
"""

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Final

import cv2
import numpy as np

from inspector.core.errors import InspectorError
from inspector.twin.cups.arrays import Floats, Indices, floats
from inspector.twin.cups.camera import CAMERA_HEIGHT_CM
from inspector.twin.cups.cup_types import CupType

ANGLES: Final = 4096
"""Columns of a full turn; at the rim one column is about one pixel."""
RADIANS_PER_COLUMN: Final = 2 * np.pi / ANGLES

LIGHT_STEP: Final = 8
"""The baked light is kept at one sample for this many columns."""
FULL_SCALE: Final = 0.40
"""Radiance that the baked pictures encode as 65535."""
_VIGNETTE_RADIUS_PX: Final = 1714.0
_VIGNETTE: Final = 0.10


class BakedLightError(InspectorError):
    """The package's baked light cannot be read."""


@dataclass(frozen=True, slots=True)
class Window:
    """A patch of the surface around one point, in centimetres.

    Attributes:
        rows: rows of the patch.
        columns: its columns, wrapped into 0 … ANGLES - 1.
        along: rows×1 float32, centimetres up the wall (outwards on the base) from the point.
        around: rows×columns float32, centimetres around the axis from the point.
    """

    rows: slice
    columns: Indices
    along: Floats
    around: Floats

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the patch."""
        return self.around.shape[0], self.around.shape[1]


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """Geometry and light of one cup type.

    Attributes:
        cup_type: whose surface.
        rows: polar rows, from the axis to a little outside the rim.
        rim_row: the row of the silhouette, in pixels.
        base_row: the row where base and wall meet.
        arc_cm: per row, way along the surface from the axis.
        radius_cm: per row, distance from the axis.
        parallax: per row, how much more a point moves in the picture than the rim does when the
            cup is moved, as a part of the rim's move (negative: further from the camera).
        camera_to_rim_cm: from the camera down to the rim.
        table_move: how far the table's light moves in the picture when the rim moves by 1.
        left_lit: rows × (ANGLES / LIGHT_STEP + 2) × 3, radiance under the left lamp, one sample
            of overlap at each end.
        right_lit: the same under the right lamp.
        gloss: rows × ANGLES / LIGHT_STEP, the part of that light that is mirrored at the surface.
        table_left_lit: 232×360×3, the table without the cup but with its shadow, at 1/8 scale.
        table_right_lit: the same under the right lamp.
    """

    cup_type: CupType
    rows: int
    rim_row: float
    base_row: int
    arc_cm: Floats
    radius_cm: Floats
    parallax: Floats
    camera_to_rim_cm: float
    table_move: float
    left_lit: Floats
    right_lit: Floats
    gloss: Floats
    table_left_lit: Floats
    table_right_lit: Floats

    def window(self, row: int, column: int, half_along_cm: float, half_around_cm: float) -> Window:
        """The patch around a point, cut off at the axis and at the rim."""
        middle = float(self.arc_cm[row])
        top = max(int(np.searchsorted(self.arc_cm, middle - half_along_cm)), 0)
        end = min(int(np.searchsorted(self.arc_cm, middle + half_along_cm)) + 1, int(self.rim_row))
        end = max(end, top + 2)
        reach = half_around_cm / max(float(self.radius_cm[row]), 0.15) / RADIANS_PER_COLUMN
        half = min(int(reach) + 2, ANGLES // 2 - 1)
        offsets = np.arange(-half, half + 1)
        along = (self.arc_cm[top:end] - middle)[:, None]
        around = self.radius_cm[top:end, None] * floats(offsets * RADIANS_PER_COLUMN)[None]
        return Window(slice(top, end), (column + offsets) % ANGLES, along, around)


@lru_cache(maxsize=8)
def surface_of(cup_type: CupType) -> Surface:
    """Loads a cup type's surface from the package's baked light; kept after the first call.

    Raises:
        BakedLightError: a picture of the light is damaged.
    """
    folder = files("inspector.twin.cups") / "light" / cup_type.name
    with (folder / "surface.npz").open("rb") as stream, np.load(stream) as tables:
        arc, radius, height = (floats(tables[name]) for name in ("s", "rad", "z"))
        rim_row, base_row = float(tables["rrim"]), int(tables["rb_px"])
    diffuse, specular, table = (
        _radiance((folder / f"{name}.png").read_bytes())
        for name in ("diffuse", "specular", "table")
    )
    vignette = floats(1 - _VIGNETTE * (np.arange(len(arc)) / _VIGNETTE_RADIUS_PX) ** 2)
    lit = (diffuse + specular) * vignette[:, None, None]
    share = specular / np.maximum(diffuse + specular, 1e-4)
    gloss = (_around(share, mirrored=False) + _around(share, mirrored=True)).mean(axis=2) / 2
    table_left_lit = np.vstack([table, table[::-1]]) * _table_vignette()
    to_rim, to_surface = CAMERA_HEIGHT_CM - height[-1], CAMERA_HEIGHT_CM - height
    return Surface(
        cup_type=cup_type,
        rows=len(arc),
        rim_row=rim_row,
        base_row=base_row,
        arc_cm=arc,
        radius_cm=radius,
        parallax=floats(to_rim / to_surface - 1),
        camera_to_rim_cm=float(to_rim),
        table_move=float(to_rim / CAMERA_HEIGHT_CM),
        left_lit=_around(lit, mirrored=False, overlap=1),
        right_lit=_around(lit, mirrored=True, overlap=1),
        gloss=gloss,
        table_left_lit=table_left_lit,
        table_right_lit=np.ascontiguousarray(table_left_lit[:, ::-1]),
    )


def _radiance(png: bytes) -> Floats:
    """Linear RGB of a baked picture, which holds 65535 · √(radiance / full scale)."""
    encoded = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    if encoded is None:
        raise BakedLightError("a picture of the baked light is damaged", "install the package anew")
    root = floats(encoded[..., ::-1]) / 65535
    return np.ascontiguousarray(root * root * FULL_SCALE)


def _around(half_turn: Floats, *, mirrored: bool, overlap: int = 0) -> Floats:
    """Samples a baked half turn (0° … 180° in columns) all around the axis.

    The rig is the same above and below its long axis, and the right lamp is the left one mirrored,
    so half a turn under one lamp is all that was rendered. Sample ``k`` lies in the middle of its
    ``LIGHT_STEP`` columns: that is where cv2.resize expects it.
    """
    count = ANGLES // LIGHT_STEP
    column = np.arange(-overlap, count + overlap) * LIGHT_STEP + (LIGHT_STEP - 1) / 2
    angle = column * RADIANS_PER_COLUMN
    if mirrored:
        angle = np.pi - angle
    folded = np.abs((angle + np.pi) % (2 * np.pi) - np.pi)
    position = folded / np.pi * (half_turn.shape[1] - 1)
    below = np.minimum(position.astype(np.intp), half_turn.shape[1] - 2)
    part = floats(position - below)[None, :, None]
    around = half_turn[:, below] * (1 - part) + half_turn[:, below + 1] * part
    return np.ascontiguousarray(around)


def _table_vignette() -> Floats:
    row, column = np.mgrid[:232, :360]
    distance = np.hypot(column - 179.5, row - 115.5) * 8
    return floats(1 - _VIGNETTE * (distance / _VIGNETTE_RADIUS_PX) ** 2)[..., None]
