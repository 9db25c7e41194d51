"""What the inspection process holds of a lane's camera: its frames, its health, and its controls."""

import socket
import time
from collections.abc import Callable
from typing import Final

import numpy as np
import structlog
from numpy.typing import NDArray

from inspector.camera.channel import (
    CameraHealth,
    Channel,
    GarbageError,
    PassUntil,
    Reopen,
    SoftwareTrigger,
)
from inspector.camera.ring import Ring, new_room
from inspector.core.errors import CameraError
from inspector.core.frame import FrameInfo

_LAYOUTS: Final[dict[str, tuple[int, int]]] = {
    "Mono8": (1, 1),
    "BayerRG8": (1, 1),
    "BayerRG10": (2, 1),
    "BayerRG12": (2, 1),
    "BayerRG16": (2, 1),
    "RGB8": (1, 3),
    "RGBa8": (1, 4),
}
"""PFNC name → bytes per value and values per pixel, for what the configuration may ask for."""


class Acquisition:
    """One lane's camera as inspection sees it, whichever acquisition process serves it at present."""

    def __init__(self, ring_fd: int, channel: socket.socket, lane: str) -> None:
        """Attach to the supervisor's ring and to inspection's end of the channel.

        Raises:
            CameraError: the descriptor is no ring.
        """
        self._ring = Ring.attach(ring_fd)
        self._channel = Channel(channel, lane)
        self._log = structlog.get_logger().bind(lane=lane)

    def fileno(self) -> int:
        """A descriptor that is readable when `receive` has something."""
        return self._channel.fileno()

    def receive(self, timeout_s: float = 0.0) -> FrameInfo | CameraHealth | None:
        """What the camera says next, or None when it says nothing within ``timeout_s``.

        What is no message is counted, logged and passed over.
        """
        try:
            message = self._channel.receive(timeout_s)
        except GarbageError as error:
            self._log.warning("message_refused", reason=str(error))
            return None
        if isinstance(message, FrameInfo | CameraHealth) or message is None:
            return message
        self._log.warning("message_refused", reason=f"{type(message).__name__} is for the camera")
        return None

    def pixels(
        self, frame: FrameInfo, room: Callable[[int], NDArray[np.uint8]] = new_room
    ) -> NDArray[np.uint8] | NDArray[np.uint16] | None:
        """A copy of a frame's raw pixels, contiguous.

        H×W for Bayer and Mono formats, H×W×3 for RGB8 and RGBa8 (whose fourth channel is left out);
        uint8, or uint16 for formats of more than 8 bits. None when the frame is incomplete or the ring
        came round before it was read: it must be rejected.

        Args:
            frame: what the camera said of it.
            room: gives memory of so many bytes to copy it to.

        Raises:
            CameraError: a pixel format that the line does not know.
        """
        if not frame.complete:
            return None
        if frame.pixel_format not in _LAYOUTS:
            raise CameraError(
                f"the camera sends {frame.pixel_format}",
                f"set camera.pixel_format to one of {', '.join(_LAYOUTS)}",
            )
        raw = self._ring.read(frame.slot, frame.generation, room)
        if raw is None:
            return None
        value_bytes, channels = _LAYOUTS[frame.pixel_format]
        if channels > 1:
            picture = raw.reshape(frame.height, frame.width, channels)
            return np.ascontiguousarray(picture[..., :3])
        values = raw.view(np.uint16) if value_bytes == 2 else raw
        return values.reshape(frame.height, frame.width)

    def trigger(self) -> bool:
        """Ask for an exposure now; False when the request was dropped (and counted)."""
        return self._channel.send(SoftwareTrigger(sent_ns=time.monotonic_ns()))

    def pass_until(self, until_ns: int) -> bool:
        """Ask for the gate's output to be high until then, host monotonic clock, ns; 0 is low at once.

        False when the request was dropped.
        """
        return self._channel.send(PassUntil(until_ns=until_ns))

    def reopen(self, reason: str) -> bool:
        """Ask for the camera to be opened anew, by a fresh process; False when dropped.

        Args:
            reason: what and remedy, for log and page, e.g. that triggers come and frames do not.
        """
        return self._channel.send(Reopen(reason=reason, sent_ns=time.monotonic_ns()))

    def close(self) -> None:
        """Unmap the ring and close this end of the channel."""
        self._ring.close()
        self._channel.close()
