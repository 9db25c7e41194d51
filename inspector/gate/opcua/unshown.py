"""Results that the vision system has yet to show: the line's thread adds them, the server's takes them."""

import threading
from collections import deque
from collections.abc import Sequence

import structlog

from inspector.gate.opcua.vision import RESULTS
from inspector.gate.protocol import Command
from inspector.telemetry import metrics


class Unshown:
    """The newest results of one lane, in order; they outlive a server that is started anew.

    No more wait than are listed. One that is dropped is not listed, and no event tells of it; what the PLC
    is told does not come this way.

    Args:
        lane: the lane's name.
    """

    def __init__(self, lane: str) -> None:
        self._lane = lane
        self._lock = threading.Lock()
        self._waiting: deque[Command] = deque()
        self._behind = False  # said once until all that waited is shown
        self._log = structlog.get_logger().bind(lane=lane)

    def add(self, commands: Sequence[Command]) -> None:
        """Let these wait, at the cost of the oldest where they are too many."""
        with self._lock:
            self._waiting.extend(commands)
            too_many = max(len(self._waiting) - RESULTS, 0)
            for _ in range(too_many):
                self._waiting.popleft()
            begins = too_many > 0 and not self._behind
            self._behind = self._behind or begins
        if begins:
            reason = "nobody shows them; see whether the OPC UA server runs and has time"
            self._log.warning("opcua_results_dropped", reason=reason)
        self._count(too_many)

    def take(self) -> Command | None:
        """The oldest, None where none waits."""
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._behind = False
            return None

    def failed(self, error: Exception) -> None:
        """What was taken could not be shown."""
        self._log.warning("opcua_result_not_shown", reason=repr(error))
        self._count(1)

    def _count(self, dropped: int) -> None:
        metrics.DROPPED.labels(self._lane, "opcua_result").inc(dropped)
