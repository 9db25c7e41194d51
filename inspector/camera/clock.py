"""The camera's clock → the host's monotonic clock. Pure: it is told all times it works with."""

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_DRIFT: Final = 1e-4
"""How far two clocks may drift apart, s/s; a quartz stays within 50 ppm, and there are two."""
_WINDOW_NS: Final = 10_000_000_000
"""Arrivals are compared over the last two of these, so that drift cannot leave a stale minimum."""
_OLDEST_NS: Final = 10_000_000_000
"""No frame is under way for longer; a latch that says so counts another clock than the frames do."""
_EARLY_NS: Final = 1_000_000
"""A frame cannot be exposed after it arrived, but for the error of the latch."""


class TimeSource(StrEnum):
    """Where exposure times come from, best first."""

    LATCH = "latch"
    """The camera's clock was read together with the host's."""
    ARRIVAL = "arrival"
    """The camera's time stamps, against the fastest frame seen: late by that frame's transfer."""
    NONE = "none"
    """No time stamps: arrival times stand in, late by each frame's own transfer."""


@dataclass(frozen=True, slots=True)
class _Latch:
    offset_ns: int
    at_ns: int
    half_width_ns: int

    def uncertainty_ns(self, now_ns: int) -> float:
        return self.half_width_ns + _DRIFT * abs(now_ns - self.at_ns)


class CameraClock:
    """Maps time stamps of one opening of a camera."""

    def __init__(self) -> None:
        self.source = TimeSource.NONE
        self._latch: _Latch | None = None
        self._delays: deque[tuple[int, int]] = deque(maxlen=2)

    def latched(self, before_ns: int, device_ns: int, after_ns: int) -> None:
        """Take a reading of the camera's clock made between two readings of the host's.

        It replaces the one in use when it is tighter than that one has become by drift.
        """
        new = _Latch(
            offset_ns=(before_ns + after_ns) // 2 - device_ns,
            at_ns=after_ns,
            half_width_ns=(after_ns - before_ns + 1) // 2,
        )
        if self._latch is None or new.half_width_ns <= self._latch.uncertainty_ns(after_ns):
            self._latch = new
            self.source = TimeSource.LATCH

    def uncertainty_ns(self, now_ns: int) -> float | None:
        """How far a mapped time may be off, half width in ns; None without a latch."""
        return None if self._latch is None else self._latch.uncertainty_ns(now_ns)

    def exposed_ns(self, device_ns: int, arrived_ns: int) -> int:
        """When a frame was exposed, on the host's clock; never later than it arrived.

        Args:
            device_ns: its time stamp; 0 where the camera sends none.
            arrived_ns: when it was handed to the host.
        """
        if device_ns == 0:
            self.source = TimeSource.NONE
            return arrived_ns
        offset_ns = self._fastest(arrived_ns - device_ns, arrived_ns)
        self.source = TimeSource.ARRIVAL
        if self._latch is not None:
            age_ns = arrived_ns - (device_ns + self._latch.offset_ns)
            early_ns = _EARLY_NS + self._latch.uncertainty_ns(arrived_ns)
            if -early_ns <= age_ns <= _OLDEST_NS:
                offset_ns = self._latch.offset_ns
                self.source = TimeSource.LATCH
        return min(device_ns + offset_ns, arrived_ns)

    def _fastest(self, delay_ns: int, arrived_ns: int) -> int:
        """The smallest arrival − time stamp of the present window and the one before."""
        if not self._delays or arrived_ns - self._delays[-1][0] > _WINDOW_NS:
            self._delays.append((arrived_ns, delay_ns))
        began_ns, smallest = self._delays[-1]
        self._delays[-1] = (began_ns, min(smallest, delay_ns))
        return min(delay for _began, delay in self._delays)
