"""The thread that speaks with one lane's PLC: commands out, photo-eye in, one exchange after the other."""

import threading
import time
from collections.abc import Callable

import structlog

from inspector.config import LaneSettings
from inspector.core.verdict import Outcome
from inspector.gate import (
    Command,
    GateLinkError,
    LineState,
    Outgoing,
    no_camera,
    open_lane_gate,
)
from inspector.inspection.events import Event, GateAnswered, GateFailed
from inspector.telemetry import metrics
from inspector.tracking import Closed

_PAUSE_S = 0.1
"""Between two attempts while the PLC does not answer."""
_LEAVE_S = 0.1
"""The heartbeat goes out only if the loop allowed it within this time."""


class GateLink:
    """One lane's link, in a thread of its own, since an answer may take as long as the time-out.

    Args:
        lane: the lane's configuration.
        post: takes what the PLC said; called from the link's thread.
        recipe: label of the recipe that judges first.
        camera_pass: see `open_lane_gate`.
    """

    def __init__(
        self,
        lane: LaneSettings,
        post: Callable[[Event], None],
        recipe: str = "",
        camera_pass: Callable[[int], bool] = no_camera,
    ) -> None:
        self._lane = lane
        self._post = post
        self._gate = open_lane_gate(lane, camera_pass)
        self._lock = threading.Lock()
        self._commands: list[Command] = []
        self._alive_until = 0.0
        self._state, self._job, self._recipe = LineState.RUNNING, 0, recipe
        self._new_commands = threading.Event()
        self._stopping = threading.Event()
        self._log = structlog.get_logger().bind(lane=lane.name)
        self._thread = threading.Thread(target=self._speak, name=f"gate-{lane.name}", daemon=True)

    def start(self) -> None:
        """Begin exchanging."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """It exchanges, or tries to; if its thread ended unasked, the process must be started anew."""
        return self._thread.is_alive()

    def allow_heartbeat(self, healthy: bool) -> None:
        """The loop's word that it turns and no command is overdue; it holds for a moment only."""
        self._alive_until = time.monotonic() + _LEAVE_S if healthy else 0.0

    def say(self, state: LineState, job: int, recipe: str) -> None:
        """What the line says of itself from the next exchange on, and which job judges by what."""
        self._state, self._job, self._recipe = state, job, recipe

    def command(self, closed: Closed, now_ns: int) -> None:
        """Send a part's command with the next exchange, which begins at once."""
        if closed.trigger_ns is None:
            return  # Nobody knows when it was here; the PLC rejects without an OK anyway.
        verdict = closed.verdict
        if verdict.outcome is Outcome.PASS and closed.late:
            self._log.critical("late_pass_not_sent", part=verdict.part.number)
            return
        with self._lock:
            self._commands.append(
                Command(verdict.part, verdict.outcome, verdict.reason, closed.trigger_ns)
            )
        metrics.STAGE_SECONDS.labels(self._lane.name, "command").observe(
            max(0, now_ns - closed.verdict_ns) / 1e9
        )
        self._new_commands.set()

    def leave(self) -> None:
        """Send what is left, tell the PLC that the line stops, close; returns at once."""
        self._stopping.set()
        self._new_commands.set()

    def stop(self, within_s: float = 1.0) -> None:
        """Leave, and wait until that is done, but no longer."""
        self.leave()
        self._thread.join(within_s)

    def _speak(self) -> None:
        while not self._stopping.is_set():
            if not self._exchange(self._state):
                self._stopping.wait(_PAUSE_S)
                continue
            self._new_commands.wait(self._lane.gate.poll_ms / 1e3)
            self._new_commands.clear()
        self._exchange(LineState.STOPPING)
        self._gate.close()

    def _exchange(self, state: LineState) -> bool:
        with self._lock:
            commands, self._commands = tuple(self._commands), []
        alive = state is not LineState.STOPPING and time.monotonic() < self._alive_until
        try:
            incoming = self._gate.exchange(
                Outgoing(alive, state, commands, self._job, self._recipe)
            )
        except GateLinkError as error:
            self._post(GateFailed(self._lane.name, str(error)))
            return False
        if incoming.commands_overrun:
            metrics.DROPPED.labels(self._lane.name, "command_overrun").inc(
                incoming.commands_overrun
            )
        if incoming.gate_results_lost:
            metrics.DROPPED.labels(self._lane.name, "gate_result").inc(incoming.gate_results_lost)
        self._post(GateAnswered(self._lane.name, incoming))
        return True
