"""The program of docs/plc.md on this machine's wires, scan by scan.

The program is the PLC's, and so are its rules. What is the machine's own is the clock: a scan may come late,
since nothing here is real-time. A pass is therefore given for a moment only, and given again with every
scan; and when a scan comes so late that parts need not be where they are reckoned, the count begins anew:
whatever is on the belt is then uncounted, and rejected.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final, Protocol

from inspector.core.gate_codes import GateStatus
from inspector.core.gate_program import GateProgram, LineInput, LineResult, Parameters
from inspector.core.verdict import Outcome
from inspector.gate.protocol import Command, Incoming, Outgoing, PhotoEye
from inspector.gate.registers import DEPTH, REASON_CODES, GateResult, LineState, ResultCode

_RESULTS_KEPT: Final = 256
"""Gate results wait for the line; one that does not ask for so many parts loses the oldest, counted."""


class Wires(Protocol):
    """Photo-eye and diverter. Used by one thread at a time; resting in reject from the start."""

    def edges(self) -> Sequence[int]:
        """When parts broke the beam since this was last asked: host monotonic clock, ns, oldest first.

        Raises:
            GateError: the wire is gone, or edges were lost.
        """
        ...

    def belt_runs(self) -> bool:
        """What the belt's drive says; True where it is not asked.

        Raises:
            GateError: the wire is gone.
        """
        ...

    def pass_until(self, until_ns: int) -> None:
        """Let parts through, but not after ``until_ns`` (host monotonic clock) unless told again.

        Whoever holds the wire sees to that end by himself: this process may hang or be gone by then.
        """
        ...

    def reject(self) -> None:
        """Let nothing through."""
        ...

    def close(self) -> None:
        """Reject, and give the wires back."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How the program is scanned; times in ns.

    Attributes:
        scan_ns: between two scans.
        late_ns: a scan that comes longer than this after the one before ends the count.
        hold_ns: a pass ends so long after the scan that gave it, unless a later one gave it again.
        eye_delay_ns: an edge is known so long after the part broke the beam, at most.
    """

    scan_ns: int
    late_ns: int
    hold_ns: int
    eye_delay_ns: int


class Scanner:
    """The program on its wires, scan by scan. It has neither clock nor thread of its own.

    Args:
        wires: see there.
        parameters: the program's.
        pace: see there.
        new_session: a number for each life of the count, greater than those before.
        now_ns: host monotonic clock; so are all times.
    """

    def __init__(
        self,
        wires: Wires,
        parameters: Parameters,
        pace: Pace,
        new_session: Callable[[], int],
        now_ns: int,
    ) -> None:
        self._wires = wires
        self._parameters = parameters
        self._pace = pace
        self._new_session = new_session
        self._heartbeat = 0
        self._line_session = 0
        self._results: deque[GateResult] = deque(maxlen=_RESULTS_KEPT)
        self._results_lost = 0
        self.missed_scans = 0
        """Scans that should have been made and were not, since the beginning."""
        self.scanned_ns = now_ns
        """The last scan's time."""
        self._begin()

    def _begin(self) -> None:
        """A new life of the count: nothing of the former one holds."""
        self._program = GateProgram(self._new_session(), self._parameters)
        self._commands: list[Command] = []
        self._state: LineState | None = None
        self._eyes: deque[PhotoEye] = deque(maxlen=DEPTH)
        self._booked: deque[int] = deque(maxlen=4 * DEPTH)

    def tell(self, outgoing: Outgoing) -> None:
        """What the line says; the next scan takes it."""
        self._heartbeat = (self._heartbeat + outgoing.alive) & 0xFFFF
        self._state = outgoing.state
        if outgoing.commands:
            self._line_session = outgoing.commands[-1].part.session
        self._commands += outgoing.commands

    def scan(self, now_ns: int) -> bool:
        """One cycle; False when it came too late, so that the count began anew.

        Raises:
            GateError: of the wires.
        """
        edges = self._wires.edges()
        gap_ns, self.scanned_ns = now_ns - self.scanned_ns, now_ns
        self.missed_scans += max(gap_ns // self._pace.scan_ns - 1, 0)
        oldest_ns = min(edges, default=now_ns)
        in_time = gap_ns <= self._pace.late_ns and (
            now_ns - oldest_ns <= self._pace.late_ns + self._pace.eye_delay_ns
        )
        if not in_time:
            self._results_lost += len(self._results)
            self._results.clear()
            self._begin()
            edges = ()
        self._write()
        self._count(edges, now_ns)
        self._book()
        if self._program.passing:
            self._wires.pass_until(now_ns + self._pace.hold_ns)
        else:
            self._wires.reject()
        return in_time

    def incoming(self, round_trip_ns: int) -> Incoming:
        """How things stood after the last scan; gate results are told once."""
        program, status = self._program, self._program.status
        results = tuple(self._results)
        lost, self._results_lost = self._results_lost, 0
        self._results.clear()
        return Incoming(
            session=program.session,
            part_count=program.part_count,
            photo_eyes=tuple(self._eyes),
            watched_ns=self.scanned_ns - self._pace.eye_delay_ns,
            uncertainty_ns=0,
            plc_running=GateStatus.READY in status,
            line_alive=GateStatus.LINE_ALIVE in status,
            belt_stands=GateStatus.BELT_STANDS in status,
            unconfirmed=GateStatus.UNCONFIRMED in status,
            gate_results=results,
            gate_results_lost=lost,
            commands_overrun=0,
            round_trip_ns=round_trip_ns,
        )

    def _write(self) -> None:
        if self._state is None:
            return
        commands, self._commands = self._commands, []
        self._program.write(
            LineInput(
                heartbeat=self._heartbeat,
                state=self._state,
                session=self._line_session,
                plc_session=self._program.session,
                gate_read=self._program.gate_count,
                results=tuple(
                    _result(command)
                    for command in commands
                    if command.part.session == self._line_session
                ),
            )
        )

    def _count(self, edges: Sequence[int], now_ns: int) -> None:
        counted = edges if self._parameters.photo_eye else ()
        self._eyes.extend(map(PhotoEye, count(self._program.part_count + 1), counted))
        self._program.scan(now_ns, len(counted), runs=self._wires.belt_runs())

    def _book(self) -> None:
        for row in self._program.gate_results:
            if row[0] not in self._booked:
                self._booked.append(row[0])
                self._results_lost += len(self._results) == _RESULTS_KEPT
                self._results.append(GateResult(*row))


def _result(command: Command) -> LineResult:
    outcome = ResultCode.OK if command.outcome is Outcome.PASS else ResultCode.NOK
    return LineResult(
        command.part.number, outcome, REASON_CODES[command.reason], at_ns=command.at_ns
    )
