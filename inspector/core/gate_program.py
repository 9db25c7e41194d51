"""The program at the gate: one scan, pure. The PLC's structured text in docs/plc.md does the same.

The diverter rests in reject. It lets a part through only while that part is within the gate's reach,
its own fresh OK is there, the line's heartbeat moves, and no other part without an OK is in reach.

Where a part is, is a position of the belt: ns of running where the gate is timed, counts where it follows an
encoder. A part whose position is in doubt is lost: it does not pass, nor does any other near it.
"""

from collections import deque
from dataclasses import dataclass, field

from inspector.core.belt import Belt, BeltLimits
from inspector.core.gate_codes import GateAction, GateReason, GateStatus

RUNNING = 1
"""The line's state in which parts may pass."""
OK = 1
"""The outcome that may open the gate."""
_MOST_PARTS = 64
"""Between photo-eye and gate, at most; the oldest goes. Only a belt that does not move has more."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """What the commissioning engineer sets. Distances are in positions of the belt: ns or encoder counts.

    Attributes:
        photo_eye: parts are counted; otherwise placed by the time of their result (free run, timed belt).
        travel: photo-eye (free run: camera) to diverter.
        reach: so far before and behind a part at the gate the diverter stands for it.
        margin: the decision falls this far before that: the diverter's own time to move.
        heartbeat_ns: the line is taken for dead when its heartbeat stands still so long.
        belt: how the belt is followed.
        unsure: so far a doubt may put a part from where it should be, beside ``reach``: nothing passes there.
        gate_eye: photo-eye to a second one before the diverter, which sees every part arrive; 0 without one.
        step: a part may arrive there so much too early or too late.
        confirm_ns: a diverted part is seen in the reject chute within this time; 0 without a sensor there;
            only where a photo-eye counts.
    """

    photo_eye: bool = True
    travel: int = 1_200_000_000
    reach: int = 30_000_000
    margin: int = 20_000_000
    heartbeat_ns: int = 300_000_000
    belt: BeltLimits = field(default_factory=BeltLimits)
    unsure: int = 500_000_000
    gate_eye: int = 0
    step: int = 0
    confirm_ns: int = 0

    def __post_init__(self) -> None:
        if self.belt.encoder and not self.photo_eye:
            raise ValueError("parts can be placed by time only where the belt is timed")
        if self.confirm_ns and not self.photo_eye:
            raise ValueError("only a part that was counted can be missed in the chute")
        if (
            self.gate_eye
            and not 0 < self.step <= self.gate_eye <= self.travel - self.lead - self.step
        ):
            raise ValueError("the gate's eye must see a part before its decision falls")

    @property
    def lead(self) -> int:
        """A part's decision falls so far before the gate."""
        return self.reach + self.margin


@dataclass(frozen=True, slots=True)
class LineResult:
    """One slot of the line's result buffer.

    Attributes:
        number: the part's.
        outcome: 1 lets it pass.
        reason: the line's own.
        at_ns: when the part was at the camera, the program's clock. It counts in free run only.
    """

    number: int
    outcome: int
    reason: int
    at_ns: int = 0


@dataclass(frozen=True, slots=True)
class LineInput:
    """The line's block, of one consistent write.

    Attributes:
        heartbeat: moves only while the line really decides.
        state: `RUNNING` lets parts pass.
        session: the count that the results are about.
        plc_session: the program's life whose clock the results are told in.
        gate_read: the last gate result that the line has read.
        results: the last eight.
    """

    heartbeat: int
    state: int
    session: int
    plc_session: int
    gate_read: int
    results: tuple[LineResult, ...]


@dataclass(slots=True)
class Tracked:
    """A part on its way to the gate. ``…_at`` are positions of the belt."""

    number: int
    eye_at: int
    gate_at: int
    reach: int
    result: LineResult | None = None
    received_at: int | None = None
    premature: bool = False
    lost: GateReason | None = None
    arrived: bool = False
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
    unconfirmed: bool = False
    photo_eyes: list[tuple[int, int]] = field(default_factory=list)
    """Number and time of the last eight parts counted."""
    gate_results: list[tuple[int, GateAction, GateReason]] = field(default_factory=list)
    parts: dict[int, Tracked] = field(default_factory=dict)
    belt: Belt = field(init=False)
    _began_at: int | None = None
    _input: LineInput | None = None
    _state: int = 0
    _beat_ns: int | None = None
    _gate_read: int = 0
    _heard: bool = False
    _line_session: int = 0
    _unseen_in_chute: deque[int] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.belt = Belt(self.parameters.belt)

    def write(self, line: LineInput) -> None:
        """A consistent block of the line arrived; the next scan takes it."""
        self._input = line

    def scan(
        self,
        now_ns: int,
        edges: int = 0,
        *,
        counts: int | None = None,
        runs: bool = True,
        arrived: int = 0,
        in_chute: int = 0,
        reset: bool = False,
    ) -> None:
        """One cycle.

        Args:
            now_ns: the program's clock.
            edges: so often the photo-eye rose since the last cycle.
            counts: the encoder's, unwrapped; None where the belt is timed.
            runs: the belt's drive says that it runs.
            arrived: so often the gate's own eye rose.
            in_chute: so often the reject chute's eye rose.
            reset: somebody has seen to the diverter.
        """
        self.now_ns = now_ns
        self.sequence = (self.sequence + 1) & 0xFFFF
        if doubt := self.belt.move(now_ns, counts, runs=runs):
            self._lose(doubt)
        if self._began_at is None:
            self._began_at = self.belt.position
        # What is in the registers came before this scan: results for parts counted now are not fresh.
        self._take_input()
        self._count(edges)
        self._see_arrive(arrived)
        for part in self.parts.values():
            if part.decided is None and self.belt.position >= part.gate_at - self.parameters.lead:
                part.decided = self._decide(part)
        self._see_in_chute(in_chute, reset=reset)
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
        if self.belt.doubt is not None:
            status |= GateStatus.BELT_STANDS
        if self.unconfirmed:
            status |= GateStatus.UNCONFIRMED
        return status

    def in_reach(self) -> list[Tracked]:
        """The parts for which the diverter stands now, the nearest to the gate first."""
        at = self.belt.position
        near = [part for part in self.parts.values() if abs(at - part.gate_at) <= part.reach]
        return sorted(near, key=lambda part: abs(at - part.gate_at))

    # -- where parts are ---------------------------------------------------------------------------

    def _count(self, edges: int) -> None:
        doubt = self.belt.doubt or self._uncounted_before()
        for _ in range(edges):
            self.part_count += 1
            self.photo_eyes.append((self.part_count, self.now_ns))
            known = self.parts.get(self.part_count)
            part = self._placed(self.part_count, self.belt.position)
            part.premature = known is not None and known.premature
            self.parts[self.part_count] = part
            if doubt is not None:
                self._doubt(part, doubt)
        del self.photo_eyes[:-8]
        while len(self.parts) > _MOST_PARTS:
            del self.parts[min(self.parts)]

    def _uncounted_before(self) -> GateReason | None:
        """With an encoder: a cup that stood just behind the photo-eye when the program began is not known.

        A timed belt is in doubt until it has run for a while; one that is counted is not. Its next part might
        take that cup along: both are in the gate's reach at once. A scan is no longer than the margin.
        """
        assert self._began_at is not None
        run = self.belt.position - self._began_at
        apart = 2 * self.parameters.reach + self.parameters.margin
        near = self.parameters.belt.encoder and run < apart
        return GateReason.UNCOUNTED if near else None

    def _placed(self, number: int, eye_at: int) -> Tracked:
        return Tracked(number, eye_at, eye_at + self.parameters.travel, reach=self.parameters.reach)

    def _lose(self, why: GateReason) -> None:
        """Where the parts on the belt are is not certain any more."""
        for part in self.parts.values():
            self._doubt(part, why)

    def _doubt(self, part: Tracked, why: GateReason) -> None:
        """Neither this part nor one near it may pass; every further doubt puts it further astray."""
        part.reach += self.parameters.unsure
        if part.decided is GateReason.OK:
            part.decided = why
        if part.lost is None and part.action is None:
            part.lost = why

    def _see_arrive(self, arrived: int) -> None:
        """The gate's own eye: parts must come where the photo-eye and the belt say."""
        parameters, at = self.parameters, self.belt.position
        if not parameters.gate_eye:
            return
        astray = False
        for _ in range(arrived):
            expected = [part for part in self.parts.values() if self._may_arrive(part)]
            if expected:
                min(expected, key=self._from_gate_eye).arrived = True
            elif at - (self._began_at or 0) > parameters.gate_eye + parameters.step:
                # Before that it may be one that was past the photo-eye when the program began.
                astray = True
        overdue = parameters.gate_eye + parameters.step
        for part in self.parts.values():
            if at - part.eye_at > overdue and not part.arrived and part.lost is None:
                astray = True
        if astray:
            self._lose(GateReason.OUT_OF_STEP)

    def _may_arrive(self, part: Tracked) -> bool:
        unsure = part.reach - self.parameters.reach
        return not part.arrived and self._from_gate_eye(part) <= self.parameters.step + unsure

    def _from_gate_eye(self, part: Tracked) -> int:
        return abs(self.belt.position - part.eye_at - self.parameters.gate_eye)

    # -- what the line says ------------------------------------------------------------------------

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
        ours = line.session if self.parameters.photo_eye else line.plc_session
        if ours != self.session:
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
            self._place_by_time(result)
        self.results_taken = max(self.results_taken, result.number)
        part = self.parts.get(result.number)
        if part is None or part.decided is not None:
            return
        if part.result is None:
            part.result, part.received_at = result, self.belt.position
        elif result.outcome != OK:
            part.result = result

    def _place_by_time(self, result: LineResult) -> None:
        """Free run: where the part is follows from when it was at the camera, if the belt ran since."""
        ago_ns = self.now_ns - result.at_ns
        part = self._placed(result.number, self.belt.position - ago_ns)
        steady_ns = self.belt.steady_since_ns
        if steady_ns is None or result.at_ns < steady_ns:
            self._doubt(part, GateReason.BELT_STOPPED)
        elif ago_ns < 0:
            part.premature = True
        self.parts[result.number] = part

    def _decide(self, part: Tracked) -> GateReason:
        if part.premature:
            return GateReason.PREMATURE_RESULT
        if part.result is None or part.received_at is None:
            return part.lost or GateReason.NO_RESULT
        if part.result.outcome != OK:
            return GateReason.NOK
        if part.lost is not None:
            return part.lost
        if part.received_at > part.gate_at - self.parameters.lead:
            return GateReason.LATE_RESULT
        if not self.line_alive:
            return GateReason.STALE_HEARTBEAT
        return GateReason.OK if self._state == RUNNING else GateReason.LINE_NOT_RUNNING

    # -- what the diverter does --------------------------------------------------------------------

    def _move_diverter(self) -> None:
        near = self.in_reach()
        all_ok = bool(near) and all(part.decided is GateReason.OK for part in near)
        self.passing = all_ok and self.line_alive and not self.unconfirmed

    def _see_in_chute(self, in_chute: int, *, reset: bool) -> None:
        """The reject chute's eye: what was diverted must fall through it."""
        if reset:
            self.unconfirmed = False
        if not self.parameters.confirm_ns:
            return
        for _ in range(min(in_chute, len(self._unseen_in_chute))):
            self._unseen_in_chute.popleft()
        oldest_ns = self._unseen_in_chute[0] if self._unseen_in_chute else self.now_ns
        if self.now_ns - oldest_ns > self.parameters.confirm_ns:
            self.unconfirmed = True
            self._unseen_in_chute.clear()

    def _report(self) -> None:
        """Book the parts that are at the gate in this scan, and forget those that are past it."""
        at = self.belt.position
        for part in list(self.parts.values()):
            if part.action is None and at >= part.gate_at and part.decided is not None:
                part.why = part.decided
                if part.decided is GateReason.OK and not self.passing:
                    part.why = self._why_shut()
                if part.why is GateReason.OK:
                    part.action = GateAction.PASSED
                elif part.why is GateReason.NOK:
                    part.action = GateAction.DIVERTED
                else:
                    part.action = GateAction.DIVERTED_BY_DEFAULT
                awaited = part.action is not GateAction.PASSED and part.lost is None
                if self.parameters.confirm_ns and awaited:
                    self._unseen_in_chute.append(self.now_ns)
                self.gate_count = max(self.gate_count, part.number)
                self.gate_results.append((part.number, part.action, part.why))
        self.gate_results = [row for row in self.gate_results if row[0] > self.gate_count - 8]
        for number in [n for n, part in self.parts.items() if part.gate_at + 2 * part.reach < at]:
            del self.parts[number]

    def _why_shut(self) -> GateReason:
        if self.unconfirmed:
            return GateReason.UNCONFIRMED
        return GateReason.NEIGHBOUR if self.line_alive else GateReason.STALE_HEARTBEAT


def _premature(number: int) -> Tracked:
    """A place that remembers that this number's result came too early."""
    never = 1 << 62
    return Tracked(number, eye_at=never, gate_at=never, reach=0, premature=True)
