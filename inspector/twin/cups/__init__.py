"""Rendered cups with exact truth: the stand-in for cups under the camera.

Nothing outside this package knows how its defects are made.
"""

from inspector.twin.cups.camera import FRAME_HEIGHT, FRAME_WIDTH
from inspector.twin.cups.cup_types import CUP_TYPES, CupType, UnknownCupTypeError
from inspector.twin.cups.defect_kinds import DefectKind
from inspector.twin.cups.picture import CupPicture, SeverityError, draw_cup, empty_belt
from inspector.twin.cups.pose import Stance
from inspector.twin.cups.stream import CupStream
from inspector.twin.cups.truth import CupTruth, DrawnDefect

__all__ = [
    "CUP_TYPES",
    "FRAME_HEIGHT",
    "FRAME_WIDTH",
    "CupPicture",
    "CupStream",
    "CupTruth",
    "CupType",
    "DefectKind",
    "DrawnDefect",
    "SeverityError",
    "Stance",
    "UnknownCupTypeError",
    "draw_cup",
    "empty_belt",
]
