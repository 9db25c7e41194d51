"""What is known about a drawn cup."""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from inspector.twin.cups.arrays import Floats, Picture
from inspector.twin.cups.camera import FRAME_HEIGHT, FRAME_WIDTH
from inspector.twin.cups.defect_kinds import DefectKind
from inspector.twin.cups.pose import Stance

_SUBPIXEL_BITS = 4


class DrawnDefect(NamedTuple):
    """One defect of a cup.

    Attributes:
        kind: what it is.
        severity: as asked for, in (0, 1].
        area_px: pixels of its mask in the frame.
    """

    kind: DefectKind
    severity: float
    area_px: int


class MaskPatch(NamedTuple):
    """A 0/1 mask that is 0 outside a box.

    Attributes:
        left: first column of the box in the frame.
        top: first row.
        patch: H×W uint8.
    """

    left: int
    top: int
    patch: Picture

    def add_to(self, mask: Picture) -> None:
        """Sets the mask's pixels in a full-frame mask to 1."""
        height, width = self.patch.shape
        box = mask[self.top : self.top + height, self.left : self.left + width]
        box |= self.patch


@dataclass(frozen=True, slots=True, eq=False)
class CupTruth:
    """What the twin knows to be true about one picture.

    Attributes:
        cup_type: name of the cup type.
        seed: of the cup.
        take: which photograph of that cup.
        angle_deg: direction from the cup's axis to the middle of its print, counter-clockwise as
            seen in the picture (row 0 on top); 0 is to the right. In [0, 360). A cup that is
            turned by Δ has an angle larger by Δ.
        stance: how it stands. Points below the rim are displaced towards the middle of the picture.
        rim_radius_px: mean radius of the silhouette, in pixels.
        outline: N×2 float32, the rim's silhouette as a closed polygon (column, row).
        defects: what is wrong with it; empty for a clean cup.
        defect_patch: where the defects show; None for a clean cup.
        missing_patch: where the rim is broken away; None where it is whole.
    """

    cup_type: str
    seed: int
    take: int
    angle_deg: float
    stance: Stance
    rim_radius_px: float
    outline: Floats
    defects: tuple[DrawnDefect, ...]
    defect_patch: MaskPatch | None
    missing_patch: MaskPatch | None

    @property
    def centre_xy(self) -> tuple[float, float]:
        """Centre of the rim in pixels (column, row); the middle of the top left pixel is (0, 0)."""
        return self.stance.centre_xy

    @property
    def defective(self) -> bool:
        """Whether the cup has any defect."""
        return bool(self.defects)

    @property
    def defect_mask(self) -> Picture:
        """1860×2880 uint8, 1 where a defect shows; made afresh at each call."""
        mask = np.zeros((FRAME_HEIGHT, FRAME_WIDTH), np.uint8)
        if self.defect_patch is not None:
            self.defect_patch.add_to(mask)
        return mask

    @property
    def cup_mask(self) -> Picture:
        """1860×2880 uint8, 1 where the picture shows cup; made afresh at each call.

        Everything inside the rim's silhouette except what is broken away from it.
        """
        mask = np.zeros((FRAME_HEIGHT, FRAME_WIDTH), np.uint8)
        polygon = np.round(self.outline * (1 << _SUBPIXEL_BITS)).astype(np.int32)
        cv2.fillPoly(mask, [polygon], 1, cv2.LINE_8, _SUBPIXEL_BITS)
        if self.missing_patch is not None:
            missing = np.zeros_like(mask)
            self.missing_patch.add_to(missing)
            mask &= 1 - missing
        return mask
