"""Where a cup stands in the picture, and which point of its surface each pixel sees."""

from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np

from inspector.twin.cups.arrays import Floats, Picture, floats
from inspector.twin.cups.camera import FRAME_HEIGHT, FRAME_WIDTH
from inspector.twin.cups.surface import ANGLES, RADIANS_PER_COLUMN, Surface

PRINT_COLUMN: Final = ANGLES // 2
"""Column of the middle of the print in the cup's own frame."""

FIELD_CENTRE: Final = ((FRAME_WIDTH - 1) / 2, (FRAME_HEIGHT - 1) / 2)
MAX_SHIFT_PX: Final = 40.0


@dataclass(frozen=True, slots=True)
class Pose:
    """A cup's place in the picture.

    Attributes:
        angle_deg: direction from the cup's axis to the middle of its print, counter-clockwise as
            seen in the picture; 0 is to the right. In [0, 360).
        centre_xy: centre of the rim in pixels; the middle of the top left pixel is (0, 0).
        oval: the rim is this part longer along ``oval_axis_rad`` and shorter across.
        oval_axis_rad: counter-clockwise from the right.
    """

    angle_deg: float
    centre_xy: tuple[float, float]
    oval: float
    oval_axis_rad: float

    @classmethod
    def drawn(cls, random: np.random.Generator) -> "Pose":
        """Any angle, up to 40 px (under 3 mm) off the middle, two or so per mille out of round."""
        angle = random.uniform(0.0, 360.0)
        shift = random.uniform(-MAX_SHIFT_PX, MAX_SHIFT_PX, 2)
        centre = (float(FIELD_CENTRE[0] + shift[0]), float(FIELD_CENTRE[1] + shift[1]))
        oval = float(np.clip(random.normal(0.0, 0.002), -0.005, 0.005))
        return cls(angle, centre, oval, float(random.uniform(0.0, np.pi)))

    def moved(self, angle_deg: float | None, shift_xy: tuple[float, float] | None) -> "Pose":
        """The same pose with another angle, shift or both, where given."""
        angle = self.angle_deg if angle_deg is None else angle_deg % 360.0
        right, down = self.shift_xy if shift_xy is None else shift_xy
        return replace(
            self, angle_deg=angle, centre_xy=(FIELD_CENTRE[0] + right, FIELD_CENTRE[1] + down)
        )

    @property
    def shift_xy(self) -> tuple[float, float]:
        """The rim's move off the middle of the picture, right and down, in pixels."""
        return self.centre_xy[0] - FIELD_CENTRE[0], self.centre_xy[1] - FIELD_CENTRE[1]

    @property
    def light_column(self) -> int:
        """The lamps' column that lies at the cup's column 0."""
        return (round(self.angle_deg / 360 * ANGLES) - PRINT_COLUMN) % ANGLES

    @property
    def turn_rad(self) -> float:
        """How far the cup's column 0 is turned counter-clockwise from the right."""
        return float(np.deg2rad(self.angle_deg) - PRINT_COLUMN * RADIANS_PER_COLUMN)


class Projection:
    """Maps pixels of the frame to rows and columns of one posed cup's surface."""

    def __init__(self, surface: Surface, pose: Pose) -> None:
        self.surface = surface
        self.pose = pose
        double = 2 * pose.oval_axis_rad
        along, across = pose.oval * np.cos(double), pose.oval * np.sin(double)
        # Offsets right and up from the rim's centre: first made round, then turned back.
        unstretch = np.array([[1 - along, -across], [-across, 1 + along]])
        cosine, sine = np.cos(pose.turn_rad), np.sin(pose.turn_rad)
        self._matrix = np.array([[cosine, sine], [-sine, cosine]]) @ unstretch
        right, down = pose.shift_xy
        self._parallax_step = self._matrix @ np.array([right, -down])
        # Parallax changes in steps where the profile bends; smoothed, or the picture would tear.
        self._parallax = cv2.GaussianBlur(surface.parallax[:, None], (1, 31), 3.0)[:, 0]

    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom (exclusive) of all pixels that the surface can reach."""
        x, y = self.pose.centre_xy
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
        offset_x = np.arange(left, right, dtype=np.float32) - self.pose.centre_xy[0]
        offset_y = self.pose.centre_xy[1] - np.arange(top, bottom, dtype=np.float32)
        distance = np.sqrt(offset_x[None] ** 2 + offset_y[:, None] ** 2)
        index = np.minimum(distance, self.surface.rows - 1).astype(np.int32)
        parallax = np.take(self._parallax, index)
        (xx, xy), (yx, yy) = self._matrix.tolist()
        step_x, step_y = self._parallax_step.tolist()
        x = (xx * offset_x)[None] + (xy * offset_y)[:, None] - step_x * parallax
        y = (yx * offset_x)[None] + (yy * offset_y)[:, None] - step_y * parallax
        row, angle = cv2.cartToPolar(x, y)
        return angle / RADIANS_PER_COLUMN, row

    def outline(self) -> Floats:
        """The silhouette of the rim as a closed polygon, 720×2 float32 frame pixels."""
        angle = np.linspace(0, 2 * np.pi, 720, endpoint=False)
        circle = self.surface.rim_row * np.stack([np.cos(angle), np.sin(angle)])
        right_up = np.linalg.inv(self._matrix) @ circle
        x, y = self.pose.centre_xy
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
        x, y = self.pose.centre_xy
        # The parallax of the base moves it by up to a third of the shift.
        margin = 4 + int(np.hypot(*self.pose.shift_xy) / 2)
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
