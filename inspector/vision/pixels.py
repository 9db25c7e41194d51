"""A camera's raw picture → RGB, in full or reduced."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.core.errors import InspectorError

Raw = NDArray[np.uint8] | NDArray[np.uint16]
_ROWS_READ = 2
"""Of the rows that become one, in a reduced picture."""


class PixelError(InspectorError):
    """A frame's pixels are not what its pixel format says."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """How one PFNC format lies in memory: channels a pixel, bits a sample, colours or a mosaic."""

    channels: int
    bits: int
    mosaic: bool


_LAYOUTS = {
    "BayerRG8": _Layout(1, 8, True),
    "BayerRG10": _Layout(1, 10, True),
    "BayerRG12": _Layout(1, 12, True),
    "BayerRG16": _Layout(1, 16, True),
    "Mono8": _Layout(1, 8, False),
    "RGB8": _Layout(3, 8, False),
    "RGBa8": _Layout(4, 8, False),
}


def sample_bits(pixel_format: str) -> int:
    """Bits of one sample in a PFNC format of :func:`demosaic`."""
    return _LAYOUTS[pixel_format].bits


def demosaic(raw: Raw, pixel_format: str) -> NDArray[np.uint8]:
    """The picture in colour.

    Args:
        raw: H×W for Bayer and mono formats, H×W×3 for RGB8, H×W×4 for RGBa8; uint8, or uint16 for
            BayerRG10, 12 and 16 (unpacked, value in the low bits).
        pixel_format: PFNC name of the format.

    Returns:
        H×W×3 uint8 RGB; more than 8 bits are rounded to 8.

    Raises:
        PixelError: the format is not one of those above, or ``raw`` does not fit it.
    """
    layout = _layout(raw, pixel_format)
    eight = _eight_bits(raw, layout)
    if layout.mosaic:
        # PFNC names the mosaic by its first two pixels, OpenCV by the two at (1, 1): RG is its BG.
        return np.asarray(cv2.cvtColor(eight, cv2.COLOR_BayerBG2RGB), np.uint8)
    if layout.channels == 1:
        return np.asarray(cv2.cvtColor(eight, cv2.COLOR_GRAY2RGB), np.uint8)
    return np.ascontiguousarray(eight[..., :3])


def reduced(raw: Raw, pixel_format: str, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The picture in small, without demosaicing it at full size.

    Of a mosaic each 2×2 cell is one pixel; an odd last row or column is left out. Of the rows that one pixel
    covers two at least are read: to see where a cup is that is enough, and most of the time is their reading.

    Args:
        raw: as in :func:`demosaic`.
        pixel_format: PFNC name of the format.
        size: width and height wanted, at most half of the frame's.

    Returns:
        height×width×3 uint8 RGB.

    Raises:
        PixelError: the format is unknown, or ``raw`` does not fit it.
    """
    layout = _layout(raw, pixel_format)
    cell = 2 if layout.mosaic else 1
    together = max(1, raw.shape[0] // (cell * _ROWS_READ * size[1]))
    # Of so many rows that are read as one it is the middle one.
    every, start = cell * together, cell * ((together - 1) // 2)
    if not layout.mosaic:
        small = cv2.resize(raw[start::every], size, interpolation=cv2.INTER_AREA)
        return demosaic(small, pixel_format)
    height, width = raw.shape[0] // 2 * 2, raw.shape[1] // 2 * 2
    # One row of the mosaic seen as two-channel pixels: (R, G) in even rows, (G, B) in odd ones.
    red_green, green_blue = (
        cv2.resize(
            raw[start + first : height : every, :width].reshape(-1, width // 2, 2),
            size,
            interpolation=cv2.INTER_AREA,
        )
        for first in (0, 1)
    )
    green = cv2.addWeighted(red_green[..., 1], 0.5, green_blue[..., 0], 0.5, 0.0)
    cells = np.dstack([red_green[..., 0], green, green_blue[..., 1]])
    return _eight_bits(cells, layout)


def halvings(ratio: float) -> int:
    """By which power of two a picture can be ``averaged`` that is ``ratio`` times as long as needed."""
    return 1 << max(0, int(np.log2(max(ratio, 1.0))))


def averaged(picture: NDArray[np.uint8], times: int) -> NDArray[np.uint8]:
    """A picture in so many times fewer rows and columns, which OpenCV finds quickly for a power of two.

    Args:
        picture: H×W or H×W×C uint8; rows and columns left over at the end are cut off.
        times: a power of two.
    """
    for _ in range(times.bit_length() - 1):
        rows, columns = (edge // 2 for edge in picture.shape[:2])
        small = cv2.resize(
            picture[: 2 * rows, : 2 * columns], (columns, rows), interpolation=cv2.INTER_AREA
        )
        picture = np.asarray(small, np.uint8)
    return picture


def crop_box(box: tuple[int, int, int, int], shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """The box (left, top, right, bottom) clipped to the picture and widened to whole mosaic cells."""
    left, top, right, bottom = box
    return (
        max(left // 2 * 2, 0),
        max(top // 2 * 2, 0),
        min(-(-right // 2) * 2, shape[1]),
        min(-(-bottom // 2) * 2, shape[0]),
    )


def _layout(raw: Raw, pixel_format: str) -> _Layout:
    layout = _LAYOUTS.get(pixel_format)
    if layout is None:
        raise PixelError(
            f"pixel format {pixel_format} is not supported",
            f"set the camera to one of {', '.join(_LAYOUTS)}",
        )
    channels = raw.shape[2] if raw.ndim == 3 else 1
    dtype = np.uint8 if layout.bits == 8 else np.uint16
    if raw.ndim not in (2, 3) or channels != layout.channels or raw.dtype != dtype:
        raise PixelError(
            f"a frame of shape {raw.shape} and type {raw.dtype} is no {pixel_format}",
            "check that the camera sends the pixel format the configuration names",
        )
    if min(raw.shape[:2]) < 2:
        raise PixelError(
            f"a frame of shape {raw.shape} shows nothing",
            "check width and height set in the camera",
        )
    return layout


def _eight_bits(samples: Raw, layout: _Layout) -> NDArray[np.uint8]:
    if layout.bits == 8:
        return samples.astype(np.uint8, copy=False)
    return np.asarray(cv2.convertScaleAbs(samples, alpha=2.0 ** (8 - layout.bits)), np.uint8)
