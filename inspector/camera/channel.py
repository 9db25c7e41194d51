"""Messages between acquisition and inspection: a socket pair that the supervisor makes and keeps.

The supervisor holds both ends, so that either process may be restarted without the other noticing more
than silence. Every message is one datagram: the type's name, a space and the frozen dataclass as JSON.
Sending never waits. What does not fit into the socket is dropped and counted, and so is a datagram that
is no message; neither ends a process.
"""

import select
import socket
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from inspector.core.frame import FrameInfo
from inspector.telemetry.metrics import DROPPED

_LONGEST: Final = 16 * 1024


class CameraState(StrEnum):
    """What a lane's camera is doing."""

    SEARCHING = "searching"
    """No camera yet: looked for again and again."""
    READY = "ready"
    """Open and acquiring."""
    LOST = "lost"
    """Unreachable, silent, or asked to be opened anew: the process ends and is started afresh."""
    FAULT = "fault"
    """The configuration does not fit the camera: no further attempt is made."""


@dataclass(frozen=True, slots=True)
class CameraHealth:
    """How a lane's camera is, on every change and once a second.

    Attributes:
        lane: the lane's name.
        state: what it is doing.
        reason: why, and how to mend it; empty while ready.
        sent_ns: when this was said, host monotonic clock.
        epoch: the opening it is about, as in `FrameInfo`; 0 before the camera is open.
        timed: its last complete frame could be told when it was exposed.
        temperature_c: the camera's own reading in °C, None where it has none.
        complete: complete frames delivered in this epoch.
        incomplete: frames with part of their payload lost.
        lost: frames that never came, by gaps in the frame id.
        underruns: frames the producer had no buffer for; they are among the lost, too.
    """

    lane: str
    state: CameraState
    reason: str
    sent_ns: int
    epoch: int = 0
    timed: bool = False
    temperature_c: float | None = None
    complete: int = 0
    incomplete: int = 0
    lost: int = 0
    underruns: int = 0


@dataclass(frozen=True, slots=True)
class SoftwareTrigger:
    """Expose one frame now. Too old a one is not carried out: the part has moved on."""

    sent_ns: int


@dataclass(frozen=True, slots=True)
class PassUntil:
    """Drive the gate's output line high until this host monotonic time; 0 is low at once.

    It needs no time of sending: what is over by then is not begun.
    """

    until_ns: int


@dataclass(frozen=True, slots=True)
class Reopen:
    """Open the camera anew, e.g. because triggers come and frames do not."""

    reason: str
    sent_ns: int


FromCamera = FrameInfo | CameraHealth
ToCamera = SoftwareTrigger | PassUntil | Reopen
Message = FromCamera | ToCamera

_ADAPTERS: Final[dict[str, TypeAdapter[Any]]] = {
    kind.__name__: TypeAdapter(kind)
    for kind in (FrameInfo, CameraHealth, SoftwareTrigger, PassUntil, Reopen)
}


class GarbageError(Exception):
    """A datagram that is none of the channel's messages."""


def encode(message: Message) -> bytes:
    """One datagram."""
    name = type(message).__name__
    return name.encode() + b" " + _ADAPTERS[name].dump_json(message)


def decode(datagram: bytes) -> Message:
    """The message in a datagram.

    Raises:
        GarbageError: of an unknown type, or with a field missing or of another type.
    """
    name, _space, fields = datagram.partition(b" ")
    adapter = _ADAPTERS.get(name.decode("ascii", errors="replace"))
    if adapter is None:
        raise GarbageError(f"no message of the channel begins with {name[:32]!r}")
    try:
        message: Message = adapter.validate_json(fields, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"])
        raise GarbageError(f"{name.decode()} {place}: {first['msg']}") from error
    return message


def channel_pair() -> tuple[socket.socket, socket.socket]:
    """A new channel: acquisition's end and inspection's end; each may be passed on by its descriptor."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


class Channel:
    """One end of a channel."""

    def __init__(self, end: socket.socket, lane: str) -> None:
        end.setblocking(False)
        self._end = end
        self._lane = lane

    def fileno(self) -> int:
        """The socket's descriptor, to wait on."""
        return self._end.fileno()

    def send(self, message: Message) -> bool:
        """Send without waiting; False when the message was dropped and counted.

        It is dropped when the other side does not read, or has gone together with the supervisor.
        """
        try:
            self._end.send(encode(message))
        except OSError:
            DROPPED.labels(lane=self._lane, what=f"message_{type(message).__name__}").inc()
            return False
        return True

    def receive(self, timeout_s: float = 0.0) -> Message | None:
        """The next message, or None when none came within ``timeout_s`` or the other end is gone.

        Raises:
            GarbageError: what came is no message; it is counted and gone, the next call goes on.
        """
        if timeout_s > 0 and not select.select([self._end], [], [], timeout_s)[0]:
            return None
        try:
            datagram = self._end.recv(_LONGEST)
        except OSError:
            return None
        if not datagram:
            return None
        try:
            return decode(datagram)
        except GarbageError:
            DROPPED.labels(lane=self._lane, what="message_garbage").inc()
            raise

    def close(self) -> None:
        """Close this end."""
        self._end.close()
