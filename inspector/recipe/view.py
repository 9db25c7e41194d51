"""The cup image as a network reads it; teaching and the line reduce it in this one way."""

import cv2
import numpy as np
from numpy.typing import NDArray


def network_view(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """A cup image, S×S×3 uint8 RGB, as size×size×3: averaged over the pixels it gives up."""
    if image.shape[:2] == (size, size):
        return image
    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA), np.uint8)
