"""Names for the array types that pass between the modules of this package."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]
Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]
Coverage = NDArray[np.floating]

_STRIP_ROWS: Final = 48


def strips(rows: int) -> Iterator[slice]:
    """All rows, a few at a time: what is made of them on the way stays in the processor's cache."""
    for start in range(0, rows, _STRIP_ROWS):
        yield slice(start, min(start + _STRIP_ROWS, rows))


def floats(values: ArrayLike) -> Floats:
    """The values as a float32 array."""
    return np.asarray(values, np.float32)


def levels(values: ArrayLike) -> Picture:
    """The values, which lie in 0 … 255, as a uint8 array (cut off, not rounded)."""
    return np.asarray(values).astype(np.uint8)
