"""What is cup and what is belt: the frame in small, asked of a network that is handed in."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.vision.pixels import Raw, reduced

INPUT_WIDTH, INPUT_HEIGHT = 240, 160
"""Size of the network's input. A frame of 2880×1860 fits at exactly 1/12, with 5 rows to spare."""

Segment = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""N×160×240×3 uint8 RGB → N×160×240 float32, probability of cup. Scaling is the network's own."""


def network_input(raw: Raw, pixel_format: str) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """The frame as the network wants it.

    Returns:
        160×240×3 uint8 RGB, the frame in its upper left corner and its last row or column repeated
        into the rest; and (width, height) of the frame in it.

    Raises:
        PixelError: the pixel format is unknown, or ``raw`` does not fit it.
    """
    # A frame without rows or columns is refused below, with its reason.
    height, width = (max(edge, 1) for edge in raw.shape[:2])
    scale = min(INPUT_WIDTH / width, INPUT_HEIGHT / height)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    small = reduced(raw, pixel_format, size)
    padded = cv2.copyMakeBorder(
        small, 0, INPUT_HEIGHT - size[1], 0, INPUT_WIDTH - size[0], cv2.BORDER_REPLICATE
    )
    return np.asarray(padded, np.uint8), size


def cup_probability(raw: Raw, pixel_format: str, segment: Segment) -> NDArray[np.float32]:
    """Probability of cup over exactly the frame, in the network's resolution.

    Raises:
        PixelError: the pixel format is unknown, or ``raw`` does not fit it.
    """
    picture, (width, height) = network_input(raw, pixel_format)
    return segment(picture[None])[0, :height, :width]
