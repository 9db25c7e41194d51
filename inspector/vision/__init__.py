"""Frame to cup image: demosaic, background removal, orientation. numpy and OpenCV."""

from inspector.recipe.view import RIM_PX, SIZE
from inspector.vision.background import INPUT_HEIGHT, INPUT_WIDTH, Segment, network_input
from inspector.vision.cup_image import (
    CupImage,
    Refusal,
    centred_view,
    cut_out,
    locate,
    prepare,
    spectrum,
)
from inspector.vision.lean import UPRIGHT_CUP, Lean
from inspector.vision.learning import FEWEST, learn_orientation
from inspector.vision.orientation import Orientation, OrientationReference
from inspector.vision.outline import CupOutline, find_cups
from inspector.vision.pixels import PixelError, demosaic, sample_bits
from inspector.vision.views import GREY, UPRIGHT, heat_on_cup, whole

__all__ = [
    "FEWEST",
    "GREY",
    "INPUT_HEIGHT",
    "INPUT_WIDTH",
    "RIM_PX",
    "SIZE",
    "UPRIGHT",
    "UPRIGHT_CUP",
    "CupImage",
    "CupOutline",
    "Lean",
    "Orientation",
    "OrientationReference",
    "PixelError",
    "Refusal",
    "Segment",
    "centred_view",
    "cut_out",
    "demosaic",
    "find_cups",
    "heat_on_cup",
    "learn_orientation",
    "locate",
    "network_input",
    "prepare",
    "sample_bits",
    "spectrum",
    "whole",
]
