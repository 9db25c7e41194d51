"""Cups as the camera delivers them, and the networks and references that look at them."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.engine import load_network
from inspector.twin.cups import CupPicture, CupTruth, DefectKind, draw_cup
from inspector.vision import (
    OrientationReference,
    learn_orientation,
    locate,
    spectrum,
)
from inspector.vision.background import Segment

MODEL = Path(__file__).parents[2] / "models" / "background.onnx"
FORMAT = "BayerRG8"
TYPES = ("type-01", "type-02", "type-03", "type-04")


def mosaic(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What a BayerRG8 sensor keeps of a picture: R G in even rows, G B in odd ones."""
    raw = rgb[..., 1].copy()
    raw[0::2, 0::2] = rgb[0::2, 0::2, 0]
    raw[1::2, 1::2] = rgb[1::2, 1::2, 2]
    return raw


@cache
def segment() -> Segment:
    """The network of this repository."""
    cv2.setNumThreads(1)
    return load_network(MODEL).run


@cache
def reference(cup_type: str, pictures: int = 12) -> OrientationReference:
    """Learned from clean cups, found by the network: the way a recipe is made."""
    spectra = []
    for seed in range(pictures):
        raw = mosaic(draw_cup(cup_type, 70_000 + seed).frame)
        outline = locate(raw, FORMAT, segment())[0]
        spectra.append(spectrum(raw, FORMAT, outline))
    return learn_orientation(spectra)


def with_print_hidden(picture: CupPicture) -> NDArray[np.uint8]:
    """The frame with the cup's printed half covered by its other half, turned about the rim's centre."""
    frame, truth = picture
    centre_x, centre_y = truth.centre_xy
    rows, columns = np.mgrid[: frame.shape[0], : frame.shape[1]].astype(np.float32)
    angle = np.radians(truth.angle_deg)
    printed = (columns - centre_x) * np.cos(angle) - (rows - centre_y) * np.sin(angle) > 0
    half_turn = np.array([[-1.0, 0.0, 2 * centre_x], [0.0, -1.0, 2 * centre_y]])
    turned = cv2.warpAffine(frame, half_turn, frame.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(np.where(printed[..., None], turned, frame), np.uint8)


def difference_deg(first: float, second: float) -> float:
    """Angle from the second to the first, -180 to 180."""
    return (first - second + 180.0) % 360.0 - 180.0


def covered(truth: CupTruth, size: tuple[int, int]) -> NDArray[np.float32]:
    """Part of each pixel that is cup, in the network's resolution."""
    mask = truth.cup_mask.astype(np.float32)
    return np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA), np.float32)


KINDS: tuple[DefectKind, ...] = tuple(DefectKind)
