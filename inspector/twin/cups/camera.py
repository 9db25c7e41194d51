"""The camera's side of a picture: lamps and gain of one exposure, tone curve, sensor noise."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np

from inspector.twin.cups.arrays import Floats, Picture, floats

FRAME_WIDTH: Final = 2880
FRAME_HEIGHT: Final = 1860
CAMERA_HEIGHT_CM: Final = 41.0
"""Camera over the table; 30 cm over an 11 cm cup."""
FOCAL_LENGTH_PX: Final = 4320.0
"""20 cm of field across 2880 pixels at 30 cm."""

_BASE_GAIN: Final = 3.5
_LINEAR_STEPS: Final = 16384
_NOISE_MARGIN: Final = 256
_NOISE_OFFSET: Final = 12


@dataclass(frozen=True, slots=True)
class Exposure:
    """How one picture was lit and exposed.

    Attributes:
        left: strength of the left lamp, about 1.
        right: strength of the right lamp, about 1.
        gain: factor per RGB channel from baked radiance to sensor level; carries tint and gain.
    """

    left: float
    right: float
    gain: tuple[float, float, float]

    @classmethod
    def drawn(cls, random: np.random.Generator) -> "Exposure":
        """Lamps that drift by 2 %, a gain by 1 % and a tint by 0.6 % (one standard deviation)."""
        left, right = np.clip(random.normal(1.0, 0.02, 2), 0.94, 1.06)
        common = _BASE_GAIN * float(np.clip(random.normal(1.0, 0.01), 0.97, 1.03))
        red, green, blue = np.clip(random.normal(1.0, 0.006, 3), 0.98, 1.02) * common
        return cls(float(left), float(right), (float(red), float(green), float(blue)))

    def levels(self, left_lit: Floats, right_lit: Floats) -> Picture:
        """Sensor levels of a scene that was baked under each lamp alone.

        Args:
            left_lit: H×W×3 float32 RGB radiance under the left lamp.
            right_lit: the same under the right one.

        Returns:
            H×W×3 uint8 RGB.
        """
        radiance = cv2.addWeighted(left_lit, self.left, right_lit, self.right, 0.0)
        return levels_of(floats(cv2.multiply(radiance, (*self.gain, 0.0))))


def _tone_curve() -> Picture:
    """The sRGB curve with a soft shoulder, so that the lamps' glints bend over instead of clipping."""
    value = np.linspace(0.0, 1.0, _LINEAR_STEPS)
    shoulder = 0.82 + 0.18 * np.tanh((value - 0.82) / 0.18 * 0.75) / np.tanh(0.75)
    value = np.where(value > 0.82, shoulder, value)
    encoded = np.where(value <= 0.0031308, 12.92 * value, 1.055 * value ** (1 / 2.4) - 0.055)
    return np.round(255 * encoded).astype(np.uint8)


def _inverse_of(curve: Picture) -> Floats:
    """The middle of the linear values that end in each level: level → linear → level is exact."""
    linear = np.linspace(0.0, 1.0, len(curve))
    first = np.searchsorted(curve, np.arange(256), side="left").clip(0, len(curve) - 1)
    last = (np.searchsorted(curve, np.arange(256), side="right") - 1).clip(0, len(curve) - 1)
    return floats((linear[first] + linear[last]) / 2)


_TONE: Final = _tone_curve()
_LINEAR: Final = _inverse_of(_TONE)


def levels_of(linear: Floats) -> Picture:
    """Sensor levels 0 to 255 (uint8) of linear values 0 to 1, of any shape."""
    steps = (linear * np.float32(_LINEAR_STEPS - 1)).astype(np.intp)
    return np.take(_TONE, steps, mode="clip")


def linear_of(levels: Picture) -> Floats:
    """Linear values (float32) of sensor levels; ``levels_of(linear_of(x)) == x``."""
    return np.take(_LINEAR, levels)


@lru_cache(maxsize=1)
def _sensor_noise() -> Picture:
    """One large uint8 tile of slightly correlated noise around ``_NOISE_OFFSET`` levels."""
    random = np.random.default_rng(20_240)
    rows, columns = FRAME_HEIGHT + _NOISE_MARGIN, FRAME_WIDTH + _NOISE_MARGIN
    tile = np.empty((rows, columns, 3), np.uint8)
    strip = 92
    for top in range(0, rows, strip):
        part = tile[top : top + strip]
        white = random.standard_normal(part.shape, dtype=np.float32)
        grain = white * 1.1 + cv2.GaussianBlur(white, (0, 0), 0.9) * 1.3
        part[:] = np.clip(np.round(grain + _NOISE_OFFSET), 0, 2 * _NOISE_OFFSET)
    return tile


def add_sensor_noise(frame: Picture, random: np.random.Generator) -> None:
    """Adds shot and read noise of about 1.5 levels to a full frame, in place.

    Shot noise grows with the root of the light, and the tone curve flattens it again to within a few
    per cent: on encoded levels one tile of noise serves bright and dark. Its short reach is what
    demosaicing leaves of a pixel's own noise.
    """
    top, left = random.integers(0, _NOISE_MARGIN, 2)
    noise = _sensor_noise()[top : top + FRAME_HEIGHT, left : left + FRAME_WIDTH]
    cv2.subtract(frame, (_NOISE_OFFSET,) * 3 + (0,), dst=frame)
    cv2.add(frame, noise, dst=frame)


def mosaic_of(scene: Picture) -> Picture:
    """What a sensor with a mosaic of filters (RGGB) samples of a full-colour picture.

    Args:
        scene: H×W×3 uint8 RGB, H and W even.

    Returns:
        H×W uint8, as BayerRG8.
    """
    red, green, blue = 0, 1, 2
    mosaic = np.ascontiguousarray(scene[..., green])
    mosaic[0::2, 0::2] = scene[0::2, 0::2, red]
    mosaic[1::2, 1::2] = scene[1::2, 1::2, blue]
    return mosaic


def through_mosaic(scene: Picture) -> Picture:
    """What is left of a full-colour picture once it was sampled and its mosaic filled in.

    Args:
        scene: H×W×3 uint8 RGB, H and W even.

    Returns:
        the same shape; the sensor's samples are the scene's, what lies between is theirs.
    """
    # OpenCV names a pattern by its second row and column.
    return np.asarray(cv2.cvtColor(mosaic_of(scene), cv2.COLOR_BayerBG2RGB), np.uint8)
