"""The camera's clock → the host's monotonic clock. Pure: it is told all times it works with."""

from dataclasses import dataclass
from typing import Final

from inspector.core.frame import CERTAIN_NS

_DRIFT: Final = 1e-4
"""How far two clocks may drift apart, s/s; a quartz stays within 50 ppm, and there are two."""
_OLDEST_NS: Final = 10_000_000_000
"""No frame is under way for longer; a latch that says so counts another clock than the frames do."""
_EARLY_NS: Final = 1_000_000
"""A frame cannot be exposed after it arrived, but for the error of the latch."""


@dataclass(frozen=True, slots=True)
class _Latch:
    offset_ns: int
    at_ns: int
    half_width_ns: int

    def uncertainty_ns(self, now_ns: int) -> float:
        return self.half_width_ns + _DRIFT * abs(now_ns - self.at_ns)


class CameraClock:
    """Maps time stamps of one opening of a camera, by readings of its clock between two of the host's.

    Nothing else will do: how long a frame was under way cannot be told from when it arrived, and on a belt
    where that is as long as parts are apart, each would be taken for the next one's, for ever.
    """

    def __init__(self) -> None:
        self._latch: _Latch | None = None

    def latched(self, before_ns: int, device_ns: int, after_ns: int) -> bool:
        """Take a reading of the camera's clock made between two readings of the host's.

        It replaces the one in use when it is tighter than that one has become by drift.

        Returns:
            False where the two contradict each other: the clock was set meanwhile. Neither is believed then,
            since frames of before are still on their way; the next reading counts.
        """
        new = _Latch(
            offset_ns=(before_ns + after_ns) // 2 - device_ns,
            at_ns=after_ns,
            half_width_ns=(after_ns - before_ns + 1) // 2,
        )
        old = self._latch
        if old is not None:
            uncertainty_ns = old.uncertainty_ns(after_ns) + new.half_width_ns
            # What is less is a clock that NTP runs faster or slower, and does no harm.
            if abs(new.offset_ns - old.offset_ns) > uncertainty_ns + CERTAIN_NS:
                self._latch = None
                return False
        if old is None or new.half_width_ns <= old.uncertainty_ns(after_ns):
            self._latch = new
        return True

    def uncertainty_ns(self, now_ns: int) -> float | None:
        """How far a mapped time may be off, half width in ns; None without a latch."""
        return None if self._latch is None else self._latch.uncertainty_ns(now_ns)

    def exposed_ns(self, device_ns: int, arrived_ns: int) -> int | None:
        """When a frame was exposed, on the host's clock; never later than it arrived.

        Args:
            device_ns: its time stamp; 0 where the camera sends none.
            arrived_ns: when it was handed to the host.

        Returns:
            None where that is not known to `CERTAIN_NS`: no time stamp, no latch or none tight enough, or
            one that counts another clock.
        """
        if device_ns == 0 or self._latch is None:
            return None
        uncertainty_ns = self._latch.uncertainty_ns(arrived_ns)
        exposed_ns = device_ns + self._latch.offset_ns
        possible = -_EARLY_NS - uncertainty_ns <= arrived_ns - exposed_ns <= _OLDEST_NS
        if not possible or uncertainty_ns > CERTAIN_NS:
            return None
        return min(exposed_ns, arrived_ns)
