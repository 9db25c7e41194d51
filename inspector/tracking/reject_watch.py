"""When so many parts are rejected that the plant is ill and not the parts: pure, fed with each command."""

from collections import deque
from dataclasses import dataclass
from enum import StrEnum


class RejectAlarm(StrEnum):
    """What is wrong. Closed list: it labels a metric."""

    IN_A_ROW = "rejects_in_a_row"
    SHARE = "reject_share"


@dataclass(frozen=True, slots=True)
class RejectLimits:
    """How much is too much.

    Attributes:
        in_a_row: rejects one after the other.
        share: of the last ``of_parts`` parts, above 0, up to 1.
        of_parts: so many parts the share is counted over; before they have come there is none.
    """

    in_a_row: int
    share: float
    of_parts: int


class RejectWatch:
    """Watches the commands of one lane.

    An alarm goes as it came, by parts: the one for rejects in a row with the next pass, the one for the
    share when it has fallen to four fifths of its limit, so that it does not flicker.

    Args:
        limits: see there.
    """

    def __init__(self, limits: RejectLimits) -> None:
        self._limits = limits
        self._row = 0
        self._last: deque[bool] = deque(maxlen=limits.of_parts)
        self._raised: set[RejectAlarm] = set()

    @property
    def raised(self) -> frozenset[RejectAlarm]:
        """The alarms that stand."""
        return frozenset(self._raised)

    @property
    def share(self) -> float:
        """Of the last parts, the share that was rejected; 0 before enough have come."""
        full = len(self._last) == self._limits.of_parts
        return sum(self._last) / len(self._last) if full else 0.0

    def closed(self, *, passed: bool) -> None:
        """A part got its command."""
        self._row = 0 if passed else self._row + 1
        self._last.append(not passed)
        if passed:
            self._raised.discard(RejectAlarm.IN_A_ROW)
        elif self._row >= self._limits.in_a_row:
            self._raised.add(RejectAlarm.IN_A_ROW)
        share = self.share
        if share > self._limits.share:
            self._raised.add(RejectAlarm.SHARE)
        elif share <= 0.8 * self._limits.share:
            self._raised.discard(RejectAlarm.SHARE)
