"""Pictures on their way from the inspection process to the archive.

A picture travels as an anonymous memory file whose descriptor is sent over a socket: one small message,
whole or not at all, and no copy of the pixels through the socket. The sender never waits: where the
archive is behind by what the socket holds, the picture is dropped and counted.
"""

import array
import json
import os
import socket
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inspector.core.part import PartId
from inspector.telemetry.metrics import DROPPED

# The kernel doubles it and charges about 760 bytes a message: some thirty pictures, of about 1 MB each,
# wait at most.
_SEND_BUFFER_BYTES = 12 << 10
_MESSAGE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Picture:
    """What is kept to look at of one part.

    Attributes:
        part: the part it shows.
        cup_image: uint8 h×w×3 RGB.
        heat: float32 h×w normalised heat map, 0 cold to 1 hot, of any size; None where the part was
            not inspected.
    """

    part: PartId
    cup_image: NDArray[np.uint8]
    heat: NDArray[np.float32] | None


class PictureSender:
    """The inspection process's end.

    Args:
        channel: one end of a ``socketpair(AF_UNIX, SOCK_SEQPACKET)`` whose other end the records process
            has. Whoever starts both keeps both ends open, so that either can be started anew.
    """

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)

    def send(
        self, part: PartId, cup_image: NDArray[np.uint8], heat: NDArray[np.float32] | None
    ) -> bool:
        """Hand a picture over without waiting; False (and counted) where it had to be dropped.

        Args:
            part: the part it shows.
            cup_image: uint8 h×w×3 RGB.
            heat: float32 h×w normalised heat map, values beyond 0..1 are clipped; or None.
        """
        try:
            file = os.memfd_create(f"picture-{part.lane}-{part.number}")
        except OSError:
            DROPPED.labels(part.lane, "picture").inc()
            return False
        try:
            os.write(file, np.ascontiguousarray(cup_image, dtype=np.uint8).data)
            if heat is not None:
                os.write(file, np.ascontiguousarray(heat, dtype=np.float32).data)
            shapes = {"cup": cup_image.shape, "heat": None if heat is None else heat.shape}
            message = json.dumps(
                {"lane": part.lane, "session": part.session, "number": part.number, **shapes}
            )
            _send(self._channel, message.encode(), file)
        except OSError:
            DROPPED.labels(part.lane, "picture").inc()
            return False
        finally:
            os.close(file)
        return True


def receive(channel: socket.socket) -> Picture | None:
    """The next picture that waits in the channel, None where none does.

    Raises:
        EOFError: no sender is left.
        ValueError: the message is no picture.
    """
    try:
        message, files = _receive(channel)
    except BlockingIOError:
        return None
    if not message:
        raise EOFError
    try:
        return _read(json.loads(message), files[0])
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(f"not a picture: {error}") from error
    finally:
        for file in files:
            os.close(file)


# Not socket.send_fds and recv_fds: in Python 3.11 they leave their `flags` aside, and wait.
def _send(channel: socket.socket, message: bytes, file: int) -> None:
    descriptors = array.array("i", [file])
    channel.sendmsg(
        [message],
        [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)],
        socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL,
    )


def _receive(channel: socket.socket) -> tuple[bytes, list[int]]:
    descriptors = array.array("i")
    message, ancillary, _flags, _address = channel.recvmsg(
        _MESSAGE_BYTES, socket.CMSG_LEN(descriptors.itemsize), socket.MSG_DONTWAIT
    )
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            whole = len(content) - len(content) % descriptors.itemsize
            descriptors.frombytes(content[:whole])
    return message, list(descriptors)


def _read(header: dict[str, object], file: int) -> Picture:
    part = PartId(str(header["lane"]), _int(header["session"]), _int(header["number"]))
    cup_shape, heat_shape = _shape(header["cup"]), header["heat"]
    cup_size = int(np.prod(cup_shape))
    content = os.pread(file, os.fstat(file).st_size, 0)
    cup_image = np.frombuffer(content, np.uint8, cup_size).reshape(cup_shape)
    heat = None
    if heat_shape is not None:
        heat = np.frombuffer(content, np.uint8, offset=cup_size).view(np.float32)
        heat = heat.reshape(_shape(heat_shape))
    return Picture(part, cup_image, heat)


def _shape(value: object) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise ValueError(f"not a picture: shape {value!r}")
    return tuple(_int(length) for length in value)


def _int(value: object) -> int:
    if not isinstance(value, int):
        raise ValueError(f"not a picture: {value!r} is no whole number")
    return value
