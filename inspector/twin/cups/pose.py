"""Where a cup stands in the picture, and which point of its surface each pixel sees."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.twin.cups.arrays import Floats, Picture, floats
from inspector.twin.cups.camera import (
    CAMERA_HEIGHT_CM,
    FOCAL_LENGTH_PX,
    FRAME_HEIGHT,
    FRAME_WIDTH,
)
from inspector.twin.cups.surface import ANGLES, RADIANS_PER_COLUMN, Surface

PRINT_COLUMN: Final = ANGLES // 2
"""Column of the middle of the print in the cup's own frame."""

FIELD_CENTRE: Final = ((FRAME_WIDTH - 1) / 2, (FRAME_HEIGHT - 1) / 2)
MAX_SHIFT_PX: Final = 40.0
_STRIP_ROWS: Final = 40
"""Rows projected at a time: what a strip needs stays in the processor's cache."""
_FEATHER_ROWS: Final = 40
_EDGE_ROWS: Final = 4
KEPT_PROJECTIONS: Final = 10
"""Projections are large (about 12 MB) and costly, so the last few are kept."""


@dataclass(frozen=True, slots=True)
class Stance:
    """How a cup stands, whichever way it is turned.

    Attributes:
        shift_xy: centre of the rim off the middle of the picture, in pixels right and down.
        oval: the rim is this part longer along ``oval_axis_rad`` and shorter across.
        oval_axis_rad: counter-clockwise from the right.
        lean_xy: tangent of the tilt, right and down: the rim is so many centimetres off the base for
            each centimetre of height.
    """

    shift_xy: tuple[float, float]
    oval: float = 0.0
    oval_axis_rad: float = 0.0
    lean_xy: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def drawn(cls, random: np.random.Generator) -> "Stance":
        """Up to 40 px (under 3 mm) off the middle, two per mille out of round, 0.15° out of plumb."""
        right, down = random.uniform(-MAX_SHIFT_PX, MAX_SHIFT_PX, 2)
        oval = float(np.clip(random.normal(0.0, 0.002), -0.005, 0.005))
        axis = float(random.uniform(0.0, np.pi))
        lean_right, lean_down = np.clip(random.normal(0.0, 0.0025, 2), -0.006, 0.006)
        return cls((float(right), float(down)), oval, axis, (float(lean_right), float(lean_down)))

    @property
    def centre_xy(self) -> tuple[float, float]:
        """Centre of the rim in pixels; the middle of the top left pixel is (0, 0)."""
        return FIELD_CENTRE[0] + self.shift_xy[0], FIELD_CENTRE[1] + self.shift_xy[1]


class Turn(NamedTuple):
    """Which way a cup is turned.

    Attributes:
        column: column of the picture's polar surface at which the cup's own column 0 lies, in
            [0, ANGLES). Cups turn by whole columns (0.088°): their surface is shifted, not resampled.
    """

    column: int

    @classmethod
    def to(cls, angle_deg: float) -> "Turn":
        """The turn that brings the middle of the print nearest to an angle (see ``angle_deg``)."""
        return cls((round(angle_deg / 360 * ANGLES) - PRINT_COLUMN) % ANGLES)

    @classmethod
    def drawn(cls, random: np.random.Generator) -> "Turn":
        """Any angle."""
        return cls(int(random.integers(ANGLES)))

    @property
    def angle_deg(self) -> float:
        """From the cup's axis to the middle of its print, in [0, 360).

        Counter-clockwise as seen in the picture; 0 is to the right.
        """
        return (self.column + PRINT_COLUMN) % ANGLES * 360 / ANGLES


class _Strip(NamedTuple):
    """A few rows of the frame that show the cup, and what they see of it.

    Attributes:
        top: first row.
        left: first column.
        whole: first and one past the last of the strip's columns that show the cup alone.
        places: H×W×2 int16, whole (column, row) of the surface seen by each pixel.
        fractions: H×W uint16, what OpenCV keeps of the remainder.
        weight: H×W float32, how much of each pixel is cup; 1 in the whole columns.
    """

    top: int
    left: int
    whole: tuple[int, int]
    places: NDArray[np.int16]
    fractions: NDArray[np.uint16]
    weight: Floats


class Projection:
    """Maps pixels of the frame to rows and columns of one standing cup's surface.

    Columns count counter-clockwise from the right of the picture, however the cup is turned.
    """

    def __init__(self, surface: Surface, stance: Stance) -> None:
        self.surface = surface
        self.stance = stance
        double = 2 * stance.oval_axis_rad
        along, across = stance.oval * np.cos(double), stance.oval * np.sin(double)
        # Offsets right and up from the rim's centre, made round.
        self._matrix = np.array([[1 - along, -across], [-across, 1 + along]])
        # What leans moves as if it stood farther off the middle: both grow with the height alike.
        per_lean = FOCAL_LENGTH_PX * CAMERA_HEIGHT_CM / surface.camera_to_rim_cm
        right, down = floats(stance.shift_xy) + per_lean * floats(stance.lean_xy)
        self._parallax_step = self._matrix @ np.array([right, -down])
        # Parallax changes in steps where the profile bends; smoothed, or the picture would tear.
        self._parallax = cv2.GaussianBlur(surface.parallax[:, None], (1, 31), 3.0)[:, 0]
        self._strips = list(self._cut())

    def lay(self, lit: Picture, frame: Picture) -> None:
        """Lays a cup into the frame, blending over to the belt a little outside its rim.

        Args:
            lit: rows×(ANGLES + 1)×3 uint8, its surface; the last column repeats the first.
            frame: FRAME_HEIGHT×FRAME_WIDTH×3 uint8, changed in place.
        """
        for strip in self._strips:
            height, width = strip.fractions.shape
            place = frame[strip.top : strip.top + height, strip.left : strip.left + width]
            first, last = strip.whole
            if first < last:
                whole = np.s_[:, first:last]
                place[whole] = cv2.remap(
                    lit, strip.places[whole], strip.fractions[whole], cv2.INTER_LINEAR
                )
            for edge in (np.s_[:, :first], np.s_[:, last:]):
                weight = strip.weight[edge]
                if weight.size:
                    cup = cv2.remap(
                        lit,
                        strip.places[edge],
                        strip.fractions[edge],
                        cv2.INTER_LINEAR,
                        borderMode=cv2.BORDER_REPLICATE,
                    )
                    belt = np.ascontiguousarray(place[edge])
                    place[edge] = cv2.blendLinear(
                        cup, belt, np.ascontiguousarray(weight), 1 - weight
                    )

    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom (exclusive) of all pixels that the surface can reach."""
        x, y = self.stance.centre_xy
        reach = self.surface.rows
        return (
            max(int(np.floor(x - reach)), 0),
            max(int(np.floor(y - reach)), 0),
            min(int(np.ceil(x + reach)) + 1, FRAME_WIDTH),
            min(int(np.ceil(y + reach)) + 1, FRAME_HEIGHT),
        )

    def seen_at(self, left: int, top: int, right: int, bottom: int) -> tuple[Floats, Floats]:
        """Surface column and row (both float32, of the box's shape) seen by each pixel of a box.

        Columns lie in [0, ANGLES]; rows grow on beyond the last row of the surface.
        """
        offset_x = np.arange(left, right, dtype=np.float32) - self.stance.centre_xy[0]
        offset_y = self.stance.centre_xy[1] - np.arange(top, bottom, dtype=np.float32)
        distance = np.sqrt(offset_x[None] ** 2 + offset_y[:, None] ** 2)
        index = np.minimum(distance, self.surface.rows - 1).astype(np.int32)
        parallax = np.take(self._parallax, index)
        (xx, xy), (yx, yy) = self._matrix.tolist()
        step_x, step_y = self._parallax_step.tolist()
        x = (xx * offset_x)[None] + (xy * offset_y)[:, None] - step_x * parallax
        y = (yx * offset_x)[None] + (yy * offset_y)[:, None] - step_y * parallax
        row, angle = cv2.cartToPolar(floats(x), floats(y))
        return angle / RADIANS_PER_COLUMN, row

    def outline(self) -> Floats:
        """The silhouette of the rim as a closed polygon, 720×2 float32 frame pixels."""
        angle = np.linspace(0, 2 * np.pi, 720, endpoint=False)
        circle = self.surface.rim_row * np.stack([np.cos(angle), np.sin(angle)])
        right_up = np.linalg.inv(self._matrix) @ circle
        x, y = self.stance.centre_xy
        return floats(np.stack([x + right_up[0], y - right_up[1]], axis=1))

    def flatten(
        self, polar: Picture, rows: tuple[int, int], columns: tuple[int, int]
    ) -> tuple[tuple[int, int], Picture]:
        """Brings a 0/1 mask of the surface into the frame.

        Args:
            polar: rows×ANGLES uint8.
            rows: first and one past the last row where it is not 0.
            columns: the same for columns, counted on from the first one, so it may pass ANGLES.

        Returns:
            (left, top) in the frame and the 0/1 patch that starts there.
        """
        angle = np.linspace(columns[0], columns[1], 181) * RADIANS_PER_COLUMN
        ring = np.stack([np.cos(angle), np.sin(angle)])
        corners = np.linalg.inv(self._matrix) @ np.hstack([rows[0] * ring, rows[1] * ring])
        x, y = self.stance.centre_xy
        # The parallax of the base moves it by up to a third of the step.
        margin = 4 + int(np.hypot(*self._parallax_step) / 2)
        box_left, box_top, box_right, box_bottom = self.box()
        left = max(int(x + corners[0].min()) - margin, box_left)
        right = min(int(x + corners[0].max()) + margin, box_right)
        top = max(int(y - corners[1].max()) - margin, box_top)
        bottom = min(int(y - corners[1].min()) + margin, box_bottom)
        column, row = self.seen_at(left, top, right, bottom)
        nearest = np.round(row).astype(np.int32)
        inside = nearest < self.surface.rows
        around = np.round(column).astype(np.int32) % ANGLES
        patch = polar[np.where(inside, nearest, 0), around] * inside
        return (left, top), patch.astype(np.uint8)

    def _cut(self) -> Iterator[_Strip]:
        """The strips of the frame that the surface reaches, each as wide as its chord."""
        reach = self.surface.rows
        x, y = self.stance.centre_xy
        left, top, right, bottom = self.box()
        for strip_top in range(top, bottom, _STRIP_ROWS):
            strip_bottom = min(strip_top + _STRIP_ROWS, bottom)
            nearest = np.clip(y, strip_top, strip_bottom) - y
            half = np.sqrt(max(reach**2 - nearest**2, 0)) + 1
            strip_left, strip_right = max(int(x - half), left), min(int(x + half) + 1, right)
            column, row = self.seen_at(strip_left, strip_top, strip_right, strip_bottom)
            weight = floats(np.clip((reach - _EDGE_ROWS - row) / _FEATHER_ROWS, 0, 1))
            places, fractions = cv2.convertMaps(column, row, cv2.CV_16SC2)
            alone = np.flatnonzero((weight == 1).all(axis=0))
            whole = (int(alone[0]), int(alone[-1]) + 1) if len(alone) else (0, 0)
            yield _Strip(
                strip_top,
                strip_left,
                whole,
                np.asarray(places, np.int16),
                np.asarray(fractions, np.uint16),
                weight,
            )


@lru_cache(maxsize=KEPT_PROJECTIONS)
def projection_of(surface: Surface, stance: Stance) -> Projection:
    """The projection of a stance; the last few are kept."""
    return Projection(surface, stance)
