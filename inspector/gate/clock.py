"""Between the PLC's millisecond clock and the host's monotonic clock."""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

Clock = Callable[[], int]
"""The host's monotonic clock, ns."""
_SAMPLES = 256
_WRAP = 1 << 32
_RESOLUTION_NS = 1_000_000
_LONGEST_SCAN_NS = 100_000_000
"""A reading is older than its answer by one scan at most."""
_OLDEST_NS = 10_000_000_000
"""Two quartzes of 50 ppm each drift apart by 1 ms meanwhile."""


class _Exchange(NamedTuple):
    offset_ns: int
    round_trip_ns: int
    received_ns: int


class PlcClock:
    """Maps PLC times by the fastest of the last exchanges.

    When an answer with clock reading c arrives at host time r, the reading was taken at r or before.
    So of all exchanges the one with the smallest r − c is nearest to the truth, and scan time, network
    delay and a busy host only make the others larger. It is looked for among the last 256 of the last ten
    seconds: before an outage the clocks stood otherwise to each other.

    A clock that was set says so by a reading that no delay explains: then all before it is forgotten.
    """

    def __init__(self) -> None:
        self._samples: deque[_Exchange] = deque(maxlen=_SAMPLES)
        self._last_ms: int | None = None

    def observe(self, clock_ms: int, sent_ns: int, received_ns: int) -> None:
        """An exchange: the reading in the answer, when it was asked and when it was answered."""
        self._last_ms = self._unwrapped(clock_ms)
        offset_ns = received_ns - self._last_ms * _RESOLUTION_NS
        slowest_ns = received_ns - sent_ns + _LONGEST_SCAN_NS
        while self._samples and received_ns - self._samples[0].received_ns > _OLDEST_NS:
            self._samples.popleft()
        if self._samples and abs(offset_ns - min(self._samples).offset_ns) > slowest_ns:
            self._samples.clear()
        self._samples.append(_Exchange(offset_ns, received_ns - sent_ns, received_ns))

    def host_ns(self, clock_ms: int) -> int:
        """Host time of a PLC time within 24 days of the last observed one."""
        return self._unwrapped(clock_ms) * _RESOLUTION_NS + min(self._samples).offset_ns

    def plc_ms(self, host_ns: int) -> int:
        """The PLC's clock at a host time, modulo 2³²."""
        return (host_ns - min(self._samples).offset_ns) // _RESOLUTION_NS % _WRAP

    @property
    def known(self) -> bool:
        """It has been observed."""
        return bool(self._samples)

    @property
    def uncertainty_ns(self) -> int:
        """How late `host_ns` may be, beside the PLC's scan time."""
        return min(self._samples).round_trip_ns + _RESOLUTION_NS

    def _unwrapped(self, clock_ms: int) -> int:
        if self._last_ms is None:
            return clock_ms
        ahead = (clock_ms - self._last_ms + _WRAP // 2) % _WRAP - _WRAP // 2
        return self._last_ms + ahead
