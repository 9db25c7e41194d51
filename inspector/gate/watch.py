"""What is wrong at the gate by its own word, once that has held long enough. Pure, fed with each reading."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from inspector.core.gate_codes import GateAction, GateReason
from inspector.core.verdict import Outcome
from inspector.gate.protocol import Incoming


class GateCondition(StrEnum):
    """What the gate says. Closed list: it labels a metric and names events."""

    PLC_STOPPED = "plc_stopped"
    HEARTBEAT_UNSEEN = "heartbeat_unseen"
    BELT_STANDS = "belt_stands"
    REJECT_UNCONFIRMED = "reject_unconfirmed"
    PASSES_REJECTED = "passes_rejected"


_BELIEVED_AFTER_NS: Final[Mapping[GateCondition, int]] = {
    GateCondition.PLC_STOPPED: 1_000_000_000,
    GateCondition.HEARTBEAT_UNSEEN: 1_000_000_000,
}
"""After a start, and when a link comes back, it takes some scans until the PLC has seen a heartbeat."""
_IN_A_ROW: Final = 20
"""So many cups rejected that were to pass are not single ones that were unlucky."""
_SAID_OTHERWISE: Final = frozenset(
    {GateReason.BELT_STOPPED, GateReason.LINE_NOT_RUNNING, GateReason.UNCONFIRMED}
)
"""Why the gate rejects such cups where another word says so already: its own, or the line's state."""
_SAID_FOR_NS: Final = 500_000_000
"""A reading speaks for the time since the one before, but not for a whole silence of the link."""


class GateWatch:
    """Watches one lane's readings. What has lasted is raised; it is over with the first word against it."""

    def __init__(self) -> None:
        self._lasted_ns: dict[GateCondition, int] = {}
        self._heard_ns = 0
        self._in_a_row = 0
        self.why: GateReason | None = None
        """Why the gate rejected the last cup that was to pass; None once one has passed."""
        self.raised: frozenset[GateCondition] = frozenset()
        """The conditions that stand."""

    def hear(self, reading: Incoming, commanded: Mapping[int, Outcome], now_ns: int) -> None:
        """One exchange.

        Args:
            reading: what came of it.
            commanded: what the line said of the parts of this count.
            now_ns: when, host monotonic clock.
        """
        for result in reading.gate_results:
            if result.action is GateAction.PASSED:
                self._in_a_row, self.why = 0, None
            elif (
                commanded.get(result.number) is Outcome.PASS
                and result.reason not in _SAID_OTHERWISE
            ):
                self._in_a_row += 1
                self.why = result.reason
        since_ns = min(now_ns - self._heard_ns, _SAID_FOR_NS)
        self._heard_ns = now_ns
        said = {
            GateCondition.PLC_STOPPED: not reading.plc_running,
            # A program that does not run sees nothing: one cause, one word.
            GateCondition.HEARTBEAT_UNSEEN: reading.plc_running and not reading.line_alive,
            GateCondition.BELT_STANDS: reading.belt_stands,
            GateCondition.REJECT_UNCONFIRMED: reading.unconfirmed,
            GateCondition.PASSES_REJECTED: self._in_a_row >= _IN_A_ROW,
        }
        before = self._lasted_ns
        self._lasted_ns = {
            condition: before[condition] + since_ns if condition in before else 0
            for condition, holds in said.items()
            if holds
        }
        self.raised = frozenset(
            condition
            for condition, lasted_ns in self._lasted_ns.items()
            if lasted_ns >= _BELIEVED_AFTER_NS.get(condition, 0)
        )
