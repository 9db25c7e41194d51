"""Memory that two processes have mapped, in which one hands the other what is large."""

import mmap
import pickle
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOM = 128 * 1024 * 1024
"""Its size, bytes. Pages that nobody writes take no memory."""
_ALIGNED = 64


class SharedRoom:
    """What lies there is written over by what is laid there next.

    Args:
        descriptor: of the memory; may be closed afterwards.
    """

    def __init__(self, descriptor: int) -> None:
        self._bytes = np.frombuffer(mmap.mmap(descriptor, ROOM), np.uint8)
        self._address = self._bytes.ctypes.data
        self._kept = 0

    def keep(self, count: int) -> NDArray[np.uint8]:
        """Room for what is written here, not laid down, until the next time; elsewhere if it is too large."""
        self._kept = count if count <= ROOM else 0
        return self._bytes[:count] if self._kept else np.empty(count, np.uint8)

    def lay(self, what: Any) -> tuple[bytes, list[tuple[int, int]]]:
        """Arrays laid down here, over what lay here before; and what tells of them."""
        places: list[tuple[int, int]] = []
        free = self._kept

        def here(buffer: pickle.PickleBuffer) -> bool:
            nonlocal free
            content = np.frombuffer(buffer.raw(), np.uint8)
            start = content.ctypes.data - self._address
            if not 0 <= start < self._kept:
                start = -(-free // _ALIGNED) * _ALIGNED
                if start + content.size > ROOM:
                    return True  # it goes with the rest
                # Of numpy, which lets other threads run meanwhile.
                np.copyto(self._bytes[start : start + content.size], content)
                free = start + content.size
            places.append((start, content.size))
            return False

        return pickle.dumps(what, protocol=5, buffer_callback=here), places

    def take(self, told: tuple[bytes, list[tuple[int, int]]]) -> Any:
        """What was laid down, its arrays where they lie."""
        content, places = told
        return pickle.loads(  # noqa: S301 - of a process that this one started or was started by
            content, buffers=[self._bytes[start : start + size] for start, size in places]
        )
