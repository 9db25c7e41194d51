"""Frames from the acquisition process to the inspection process, in anonymous shared memory.

One writer goes round a fixed number of slots and never waits; readers copy a frame out and find out
from the slot's generation whether it was overwritten meanwhile. The memory is a memfd: it needs no room
in /dev/shm, takes only the pages that were ever written, and is gone with the last process that holds
it, whatever way that process ends.

A slot's generation is odd while it is written and even when its frame is whole. The writer makes it odd
before the first byte and even after the last; a reader compares it before and after its copy. This
relies on stores becoming visible in order, as on x86-64. Both sides copy from front to back, so that a
reader overtaken by the writer has left those bytes behind long before.
"""

import fcntl
import mmap
import os
from collections.abc import Callable
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from inspector.core.errors import CameraError

SLOT_BYTES: Final = 64 * 1024 * 1024
"""Default room for one frame. Untouched pages take no memory, so that a slot may be generous: the
supervisor makes the ring before any camera has said how large its pictures are."""

_MAGIC: Final = 0x31474E4952505349  # "ISPRING1"
_PAGE: Final = 4096
_MADV_POPULATE_WRITE: Final = 23
"""From Linux 5.14's sys/mman.h; the mmap module does not name it."""
_HEADER: Final = np.dtype(
    [("magic", np.uint64), ("slots", np.uint64), ("slot_bytes", np.uint64), ("written", np.uint64)]
)
_SLOT: Final = np.dtype([("generation", np.uint64), ("bytes", np.uint64)])


def new_room(count: int) -> NDArray[np.uint8]:
    """Memory of so many bytes that nobody else has."""
    return np.empty(count, np.uint8)


class Ring:
    """A mapped ring. Make one with `Ring.create`, map it elsewhere with `Ring.attach`."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._map = mmap.mmap(fd, os.fstat(fd).st_size)
        self._header = np.frombuffer(self._map, _HEADER, count=1)
        self.slots = int(self._header["slots"][0])
        self.slot_bytes = int(self._header["slot_bytes"][0])
        table = np.frombuffer(self._map, _SLOT, count=self.slots, offset=_HEADER.itemsize)
        self._generation: NDArray[np.uint64] = table["generation"]
        self._bytes: NDArray[np.uint64] = table["bytes"]
        self._data = np.frombuffer(
            self._map, np.uint8, count=self.slots * self.slot_bytes, offset=_data_offset(self.slots)
        ).reshape(self.slots, self.slot_bytes)

    @classmethod
    def create(cls, slots: int, slot_bytes: int = SLOT_BYTES) -> Self:
        """A new, empty ring; its `fd` is what other processes inherit and attach to.

        Args:
            slots: frames kept, at least 2.
            slot_bytes: room for one frame; rounded up to whole pages.

        Raises:
            ValueError: fewer than two slots, or slots without room.
        """
        if slots < 2 or slot_bytes < 1:
            raise ValueError(f"a ring of {slots} slots of {slot_bytes} bytes holds nothing")
        slot_bytes = -(-slot_bytes // _PAGE) * _PAGE
        fd = os.memfd_create("inspector-ring", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, _data_offset(slots) + slots * slot_bytes)
        # Sealed, so that no other holder can shrink it under a reader's feet.
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
        header = np.array([(_MAGIC, slots, slot_bytes, 0)], _HEADER)
        os.pwrite(fd, header.tobytes(), 0)
        return cls(fd)

    @classmethod
    def attach(cls, fd: int) -> Self:
        """Map a ring that another process made.

        Raises:
            CameraError: the descriptor is not open, or is no ring.
        """
        try:
            size = os.fstat(fd).st_size
            raw = os.pread(fd, _HEADER.itemsize, 0)
        except OSError as error:
            raise _no_ring(fd, error.strerror or "unreadable") from error
        if len(raw) < _HEADER.itemsize:
            raise _no_ring(fd, "too short")
        magic, slots, slot_bytes, _written = np.frombuffer(raw, _HEADER)[0].item()
        if magic != _MAGIC or size != _data_offset(slots) + slots * slot_bytes:
            raise _no_ring(fd, "something else is in it")
        return cls(fd)

    @property
    def written(self) -> int:
        """Frames written since the ring was made, by all its writers."""
        return int(self._header["written"][0])

    def prepare(self, frame_bytes: int) -> None:
        """Have the kernel lay in the memory that frames of this size will take; contents stay.

        A page's first touch is dear, above all on a virtual machine: without this each slot's first
        frame was seen to take 50 ms longer. Kernels before 5.14 cannot, and take that time.
        """
        for slot in range(self.slots):
            start = _data_offset(self.slots) + slot * self.slot_bytes
            try:
                self._map.madvise(_MADV_POPULATE_WRITE, start, min(frame_bytes, self.slot_bytes))
            except OSError:
                return

    def write(self, payload: NDArray[np.generic]) -> tuple[int, int]:
        """Copy a frame into the oldest slot, whoever reads it; one process at a time may do this.

        Args:
            payload: any shape and dtype; need not be contiguous.

        Returns:
            The slot and its generation, by which `read` finds the frame.

        Raises:
            ValueError: the payload is larger than a slot.
        """
        if payload.nbytes > self.slot_bytes:
            raise ValueError(f"{payload.nbytes} bytes do not fit into {self.slot_bytes}")
        written = self.written
        slot = written % self.slots
        # Odd already when an earlier writer died in the middle of this slot.
        writing = (int(self._generation[slot]) + 1) | 1
        self._generation[slot] = writing
        self._bytes[slot] = payload.nbytes
        room = self._data[slot, : payload.nbytes].view(payload.dtype).reshape(payload.shape)
        np.copyto(room, payload)
        self._header["written"][0] = written + 1
        self._generation[slot] = writing + 1
        return slot, writing + 1

    def read(
        self, slot: int, generation: int, room: Callable[[int], NDArray[np.uint8]] = new_room
    ) -> NDArray[np.uint8] | None:
        """A copy of a frame, flat bytes; None when it was overwritten before or while it was copied.

        Args:
            slot: where `write` put it.
            generation: likewise.
            room: gives memory of so many bytes to copy it to.

        Raises:
            ValueError: there is no such slot.
        """
        if not 0 <= slot < self.slots:
            raise ValueError(f"the ring has slots 0 to {self.slots - 1}, not {slot}")
        if generation % 2 or int(self._generation[slot]) != generation:
            return None
        count = min(int(self._bytes[slot]), self.slot_bytes)
        copy = room(count)
        np.copyto(copy, self._data[slot, :count])
        return copy if int(self._generation[slot]) == generation else None

    def close(self) -> None:
        """Unmap the ring and close its descriptor; frames read from it stay valid."""
        del self._header, self._generation, self._bytes, self._data
        self._map.close()
        os.close(self.fd)


def _data_offset(slots: int) -> int:
    """Where the first slot begins: headers fill whole pages before it."""
    return -(-(_HEADER.itemsize + slots * _SLOT.itemsize) // _PAGE) * _PAGE


def _no_ring(fd: int, why: str) -> CameraError:
    return CameraError(
        f"descriptor {fd} is not a ring of frames ({why})",
        "let the supervisor start this process: inspector run LINE.yaml",
    )
