"""The program at the gate: one scan, pure. The PLC's structured text in docs/plc.md does the same.

The diverter rests in reject. It lets a part through only while that part is within the gate's reach,
its own fresh OK is there, the line's heartbeat moves, and no other part without an OK is in reach.
"""

from dataclasses import dataclass, field
from enum import IntEnum, IntFlag


class GateAction(IntEnum):
    """What the gate did with a part."""

    PASSED = 1
    DIVERTED = 2
    DIVERTED_BY_DEFAULT = 3
    """Not because of a NOK, but for want of a usable OK."""


class GateReason(IntEnum):
    """Why the gate did so; codes of docs/plc.md."""

    OK = 1
    NOK = 2
    NO_RESULT = 3
    """No result for this part before it was at the gate."""
    STALE_HEARTBEAT = 4
    """The line's heartbeat stood still."""
    LINE_NOT_RUNNING = 5
    """The line's state was not RUNNING."""
    PREMATURE_RESULT = 6
    """A result came before the part was counted: not a fresh one."""
    LATE_RESULT = 7
    """The result came when its part was at the gate or past it."""
    NEIGHBOUR = 8
    """Another part without an OK was within the gate's reach."""
    UNCOUNTED = 9
    """The part had passed the photo-eye before the program started to count."""


class GateStatus(IntFlag):
    """Bits of the status register."""

    READY = 1
    """The program runs and the diverter is under its control."""
    LINE_ALIVE = 2
    """The line's heartbeat changed within the program's time limit."""
    PHOTO_EYE = 4
    """A photo-eye is counted; without it parts are placed by the age of their result."""
    OVERRUN = 8
    """Gate results were overwritten before the line had read them."""


RUNNING = 1
"""The line's state in which parts may pass."""
OK = 1
"""The outcome that may open the gate."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """What the commissioning engineer sets; times in ns.

    Attributes:
        photo_eye: parts are counted; otherwise placed by the age of their result (free run).
        travel_ns: photo-eye (free run: camera) to diverter.
        reach_ns: so long before and after a part's time at the gate the diverter stands for it.
        margin_ns: the decision falls this long before that: the diverter's own time to move.
        heartbeat_ns: the line is taken for dead when its heartbeat stands still so long.
    """

    photo_eye: bool = True
    travel_ns: int = 1_200_000_000
    reach_ns: int = 30_000_000
    margin_ns: int = 20_000_000
    heartbeat_ns: int = 300_000_000


@dataclass(frozen=True, slots=True)
class LineResult:
    """One slot of the line's result buffer."""

    number: int
    outcome: int
    reason: int
    age_ms: int


@dataclass(frozen=True, slots=True)
class LineInput:
    """The line's block, of one consistent write."""

    heartbeat: int
    state: int
    session: int
    gate_read: int
    results: tuple[LineResult, ...]


@dataclass(slots=True)
class Tracked:
    """A part on its way to the gate. Times in ns on the PLC's clock."""

    number: int
    eye_ns: int
    gate_ns: int
    result: LineResult | None = None
    received_ns: int | None = None
    premature: bool = False
    decided: GateReason | None = None
    action: GateAction | None = None
    why: GateReason | None = None


@dataclass(slots=True)
class GateProgram:
    """The program's state between two scans.

    Args:
        session: a number that differs from the counter's former lives, not 0.
        parameters: see there.
    """

    session: int
    parameters: Parameters
    sequence: int = 0
    now_ns: int = 0
    part_count: int = 0
    results_taken: int = 0
    gate_count: int = 0
    heartbeat_seen: int = 0
    passing: bool = False
    photo_eyes: list[tuple[int, int]] = field(default_factory=list)
    gate_results: list[tuple[int, GateAction, GateReason]] = field(default_factory=list)
    parts: dict[int, Tracked] = field(default_factory=dict)
    _input: LineInput | None = None
    _state: int = 0
    _beat_ns: int | None = None
    _gate_read: int = 0
    _heard: bool = False
    _line_session: int = 0

    def write(self, line: LineInput) -> None:
        """A consistent block of the line arrived; the next scan takes it."""
        self._input = line

    def scan(self, now_ns: int, edges: int = 0) -> None:
        """One cycle at ``now_ns`` in which the photo-eye rose ``edges`` times."""
        self.now_ns = now_ns
        self.sequence = (self.sequence + 1) & 0xFFFF
        # What is in the registers came before this scan: results for parts counted now are not fresh.
        self._take_input()
        self._count(edges)
        for part in self.parts.values():
            if part.decided is None and now_ns >= part.gate_ns - self._lead_ns:
                part.decided = self._decide(part)
        self._move_diverter()
        self._report()

    @property
    def line_alive(self) -> bool:
        """The line's heartbeat changed within the time limit."""
        limit_ns = self.parameters.heartbeat_ns
        return self._beat_ns is not None and self.now_ns - self._beat_ns <= limit_ns

    @property
    def status(self) -> GateStatus:
        """The status register."""
        status = GateStatus.READY
        if self.line_alive:
            status |= GateStatus.LINE_ALIVE
        if self.parameters.photo_eye:
            status |= GateStatus.PHOTO_EYE
        if self._gate_read and self.gate_count - self._gate_read > 8:
            status |= GateStatus.OVERRUN
        return status

    def in_reach(self) -> list[Tracked]:
        """The parts for which the diverter stands now, the nearest to the gate first."""
        near = [
            part
            for part in self.parts.values()
            if abs(self.now_ns - part.gate_ns) <= self.parameters.reach_ns
        ]
        return sorted(near, key=lambda part: abs(self.now_ns - part.gate_ns))

    @property
    def _lead_ns(self) -> int:
        return self.parameters.reach_ns + self.parameters.margin_ns

    def _count(self, edges: int) -> None:
        for _ in range(edges):
            self.part_count += 1
            self.photo_eyes.append((self.part_count, self.now_ns))
            known = self.parts.get(self.part_count)
            part = Tracked(
                self.part_count,
                self.now_ns,
                self.now_ns + self.parameters.travel_ns,
                premature=known is not None and known.premature,
            )
            self.parts[self.part_count] = part
        del self.photo_eyes[:-8]

    def _take_input(self) -> None:
        line, self._input = self._input, None
        if line is None:
            return
        # The first value proves nothing: it may have stood there for hours.
        if self._heard and line.heartbeat != self.heartbeat_seen:
            self._beat_ns = self.now_ns
        self._heard = True
        self.heartbeat_seen, self._state = line.heartbeat, line.state
        self._gate_read = line.gate_read
        if not self.parameters.photo_eye and line.session != self._line_session:
            self.parts.clear()
            self.results_taken = self.gate_count = 0
            self.gate_results.clear()
        self._line_session = line.session
        if self.parameters.photo_eye and line.session != self.session:
            return
        for result in sorted(line.results, key=lambda result: result.number):
            self._take(result)

    def _take(self, result: LineResult) -> None:
        if self.parameters.photo_eye:
            if result.number > self.part_count:
                # Before its part was counted: whatever it says, it is not about that part.
                if result.number <= self.part_count + 8:
                    self.parts.setdefault(result.number, _premature(result.number))
                return
        elif result.number > self.results_taken:
            at_ns = self.now_ns - result.age_ms * 1_000_000
            self.parts[result.number] = Tracked(
                result.number, at_ns, at_ns + self.parameters.travel_ns
            )
        self.results_taken = max(self.results_taken, result.number)
        part = self.parts.get(result.number)
        if part is None or part.decided is not None:
            return
        if part.result is None:
            part.result, part.received_ns = result, self.now_ns
        elif result.outcome != OK:
            part.result = result

    def _decide(self, part: Tracked) -> GateReason:
        if part.premature:
            return GateReason.PREMATURE_RESULT
        if part.result is None or part.received_ns is None:
            return GateReason.NO_RESULT
        if part.result.outcome != OK:
            return GateReason.NOK
        if part.received_ns > part.gate_ns - self._lead_ns:
            return GateReason.LATE_RESULT
        if not self.line_alive:
            return GateReason.STALE_HEARTBEAT
        return GateReason.OK if self._state == RUNNING else GateReason.LINE_NOT_RUNNING

    def _move_diverter(self) -> None:
        near = self.in_reach()
        all_ok = bool(near) and all(part.decided is GateReason.OK for part in near)
        self.passing = all_ok and self.line_alive

    def _report(self) -> None:
        """Book the parts that are at the gate in this scan, and forget those that are past it."""
        for part in list(self.parts.values()):
            if part.action is None and self.now_ns >= part.gate_ns and part.decided is not None:
                part.why = part.decided
                if part.decided is GateReason.OK and not self.passing:
                    part.why = (
                        GateReason.NEIGHBOUR if self.line_alive else GateReason.STALE_HEARTBEAT
                    )
                if part.why is GateReason.OK:
                    part.action = GateAction.PASSED
                elif part.why is GateReason.NOK:
                    part.action = GateAction.DIVERTED
                else:
                    part.action = GateAction.DIVERTED_BY_DEFAULT
                self.gate_count = max(self.gate_count, part.number)
                self.gate_results.append((part.number, part.action, part.why))
        self.gate_results = [row for row in self.gate_results if row[0] > self.gate_count - 8]
        past_ns = self.now_ns - 2 * self.parameters.reach_ns
        for number in [n for n, part in self.parts.items() if part.gate_ns < past_ns]:
            del self.parts[number]


def _premature(number: int) -> Tracked:
    """A place that remembers that this number's result came too early."""
    never_ns = 1 << 62
    return Tracked(number, eye_ns=never_ns, gate_ns=never_ns, premature=True)
