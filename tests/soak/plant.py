"""A lane with its PLC, simulated in one thread and in no time, with faults at random and its truth known.

The line's tracker and the PLC's program are the real ones; between them lie a photo-eye, a camera, an
inspection and a link that may each fail in every way that the claim in docs/safety.md allows for. Cups
are known by when they were at the photo-eye: what a frame shows is decided by when it was exposed, and
what the diverter does with a cup by where it stands when that cup is there. Neither asks tracker or
program.
"""

import heapq
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import ClassVar

from inspector.core.belt import BeltLimits
from inspector.core.frame import FrameInfo
from inspector.core.gate_program import (
    OK,
    RUNNING,
    GateProgram,
    LineInput,
    LineResult,
    Parameters,
)
from inspector.core.part import PartId
from inspector.core.verdict import Outcome, Reason, Verdict, rejected
from inspector.tracking import (
    Closed,
    Effect,
    Ignored,
    Inspect,
    Timing,
    Tracker,
    Unaccounted,
    Unclaimed,
    frame_key,
)
from tests.soak.witness import Cup, Witness

LANE = "lane-1"
MS = 1_000_000
TIMING = Timing.from_ms(
    min_interval_ms=120,
    travel_ms=700,
    decide_before_ms=150,
    frame_timeout_ms=200,
    eye_error_ms=23,
)
TIMED = Parameters(travel=700 * MS, reach=30 * MS, margin=20 * MS, heartbeat_ns=300 * MS)
COUNT_NS = MS // 10
"""Of running, for one count of the encoder."""
ENCODER = Parameters(
    travel=TIMED.travel // COUNT_NS,
    reach=TIMED.reach // COUNT_NS,
    margin=TIMED.margin // COUNT_NS,
    unsure=TIMED.unsure // COUNT_NS,
    heartbeat_ns=300 * MS,
    belt=BeltLimits(encoder=True, stand_ns=1_500 * MS),
)
QUEUE = 4
IN_PICTURE_NS = 60 * MS
"""A cup is in the picture for so long before and after it is below the camera."""
SCAN_NS = 20 * MS
POLL_NS = 50 * MS
TICK_NS = 50 * MS
LINK_TIMEOUT_NS = 100 * MS
TOLD_AGAIN = 0.1
"""The PLC shows its last eight parts in every exchange; all of them are told in so many only, for speed."""
NOK = 2
DEPTH = 8


@dataclass(frozen=True, slots=True)
class Weather:
    """How often what goes wrong; shares of parts, of exchanges or of answers.

    Attributes:
        close: parts nearer to the one before than the gate can separate.
        defective: parts that must not pass.
        camera: each of trigger missed, frame lost, frame incomplete, frame out of nothing.
        reopened: camera opened anew.
        link: exchanges that fail; one in five of these begins an outage.
        slow: verdicts that come late; as many come twice.
        astray: parts after which a pass is told of a part and frame that do not belong together.
        killed: inspection killed.
        plc: the PLC starts anew.
        stopped: the belt stops for a while. It is timed in every other episode, else it has an encoder.
    """

    close: float
    defective: float
    camera: float
    reopened: float
    link: float
    slow: float
    astray: float
    killed: float
    plc: float
    stopped: float


CALM = Weather(0, 0.1, 0, 0, 0, 0, 0, 0, 0, 0)
ROUGH = Weather(0.02, 0.2, 0.01, 0.002, 0.01, 0.02, 0.02, 0.001, 0.0005, 0.005)
WILD = Weather(0.1, 0.4, 0.06, 0.02, 0.08, 0.1, 0.2, 0.01, 0.004, 0.02)
CROWDED = Weather(0.5, 0.1, 0.01, 0.002, 0.01, 0.02, 0.02, 0.01, 0.15, 0.02)
"""Cups in heaps, and a PLC that keeps starting anew among them."""
WEATHERS = {"calm": CALM, "rough": ROUGH, "wild": WILD, "crowded": CROWDED}


class _Kind(IntEnum):
    EDGE = 0
    SCAN = 1
    WRITE = 2
    READ = 3
    EXCHANGE = 4
    TICK = 5
    FRAME = 6
    ANSWER = 7
    ASTRAY = 8
    KILL = 9
    START = 10
    PLC_DOWN = 11
    PLC_UP = 12
    STOP = 13


@dataclass(slots=True)
class _Line:
    """One life of the inspection process."""

    tracker: Tracker
    heartbeat: int
    commands: deque[LineResult] = field(default_factory=lambda: deque(maxlen=DEPTH))
    command_session: int = 0
    met_plc: bool = False
    told: tuple[int, int] = (0, 0)
    exchanging: bool = False


class Plant:
    """One episode.

    Args:
        seed: the same seed plays the same episode.
        parts: how many go by.
        weather: what goes wrong.
        tracker: the line's; another one only to see that its mistakes are found.
        program: the PLC's; likewise.
    """

    def __init__(
        self,
        seed: int,
        parts: int,
        weather: Weather,
        tracker: Callable[[str, Timing, int], Tracker] = Tracker,
        program: Callable[[int, Parameters], GateProgram] = GateProgram,
    ) -> None:
        self._dice = random.Random(seed)
        self._weather = weather
        self._make_tracker, self._make_program = tracker, program
        self._agenda: list[tuple[int, int, _Kind, object]] = []
        self._planned = 0
        self._now = 0
        self._cups = self._drawn(parts)
        self._nearest = 0
        self._parameters = ENCODER if self._happens(0.5) else TIMED
        self._stands_until = 0
        self._stood_ns = self._drive_off_until = 0
        self.witness = Witness(self._cups, TIMING)
        self.tally: Counter[str] = Counter()
        self._session = 1
        self._program: GateProgram | None = program(self._session, self._parameters)
        self._edges = 0
        self._counting: list[Cup] = []
        self._line: _Line | None = None
        self._heartbeat = 0
        self._outage_until = 0
        self._epoch, self._frame_id = 1, 0
        self._frames: deque[FrameInfo] = deque(maxlen=16)
        self._asked: deque[PartId] = deque(maxlen=16)
        self._first_contact: tuple[int, int] | None = None

    def play(self) -> Counter[str]:
        """Run to the end; what happened, counted.

        Raises:
            ClaimBrokenError: something that must never happen did.
        """
        for cup in self._cups:
            self._plan(cup.eye_ns, _Kind.EDGE, cup)
        self._plan(0, _Kind.SCAN)
        self._plan(0, _Kind.START)
        while self._agenda:
            self._now, _, kind, what = heapq.heappop(self._agenda)
            if self._now > self._cups[-1].eye_ns + 4_000 * MS:
                break
            self._deeds[kind](self, what)
        if self._line is not None:
            self._do(self._line.tracker.stop(self._now))
        self.witness.check_end(complete=self._line is not None)
        self.tally.update(self.witness.tally)
        return self.tally

    def _plan(self, at_ns: int, kind: _Kind, what: object = None) -> None:
        self._planned += 1
        heapq.heappush(self._agenda, (at_ns, self._planned, kind, what))

    def _happens(self, share: float) -> bool:
        return share > 0 and self._dice.random() < share

    def _drawn(self, parts: int) -> list[Cup]:
        cups, at_ns, dice = [], 1_000 * MS, self._dice
        for name in range(1, parts + 1):
            if self._happens(self._weather.close):
                at_ns += int(dice.uniform(10, 120) * MS)
            else:
                at_ns += int(dice.uniform(144, 200) * MS)
            defective = self._happens(self._weather.defective)
            cups.append(Cup(name, at_ns, at_ns + TIMED.travel, defective))
        return cups

    # -- photo-eye, camera, PLC --------------------------------------------------------------------

    def _edge(self, what: object) -> None:
        assert isinstance(what, Cup)
        if what.eye_ns > self._now:
            # The belt stood meanwhile.
            self._plan(what.eye_ns, _Kind.EDGE, what)
            return
        weather, dice = self._weather, self._dice
        if self._program is not None:
            self._edges += 1
            self._counting.append(what)
        if self._happens(weather.reopened):
            self._epoch, self._frame_id = self._epoch + 1, 0
        if not self._happens(weather.camera):
            self._expose(what.eye_ns + int(dice.uniform(-2, 2) * MS))
        if self._happens(weather.camera):
            self._expose(what.eye_ns + int(dice.uniform(-100, 100) * MS))
        if self._happens(weather.astray):
            self._plan(self._now + int(dice.uniform(0, 400) * MS), _Kind.ASTRAY)
        if self._happens(weather.killed):
            self._plan(self._now + int(dice.uniform(0, 600) * MS), _Kind.KILL)
        if self._happens(weather.plc):
            self._plan(self._now + int(dice.uniform(0, 600) * MS), _Kind.PLC_DOWN)
        if self._happens(weather.stopped):
            self._plan(self._now + int(dice.uniform(0, 600) * MS), _Kind.STOP)

    def _stop(self, _what: object) -> None:
        """The belt stands: whatever has not come to photo-eye or gate yet comes later."""
        if self._now < self._stands_until:
            return
        self.tally["belt stops"] += 1
        for_ns = int(self._dice.uniform(100, 2_500) * MS)
        self._stands_until = self._now + for_ns
        # It coasts, and it takes its time to start: the drive's contact knows only about when.
        self._drive_off_until = self._stands_until + int(self._dice.uniform(-99, 200) * MS)
        self._stood_ns += for_ns
        for cup in self._cups[self.witness.next_at_gate :]:
            cup.gate_ns += for_ns
            if cup.eye_ns > self._now:
                cup.eye_ns += for_ns

    def _run_ns(self) -> int:
        """For how long the belt has run."""
        return self._now - self._stood_ns + max(0, self._stands_until - self._now)

    def _expose(self, at_ns: int) -> None:
        """The camera takes a frame; ids are counted in the order of the triggers."""
        self._frame_id += 1
        if self._happens(self._weather.camera):
            return
        complete = not self._happens(self._weather.camera)
        frame = FrameInfo(
            LANE,
            self._epoch,
            self._frame_id,
            0,
            0,
            2880,
            1860,
            "BayerRG8",
            at_ns,
            at_ns,
            complete,
        )
        self._plan(max(self._now, at_ns) + int(self._dice.uniform(20, 60) * MS), _Kind.FRAME, frame)

    def _scan(self, _what: object) -> None:
        program = self._program
        self.witness.gate(self._now, open_=program is not None and program.passing)
        if program is not None:
            before = program.part_count
            runs = self._now >= self._drive_off_until
            program.scan(self._now, self._edges, counts=self._run_ns() // COUNT_NS, runs=runs)
            for number, cup in enumerate(self._counting, before + 1):
                self.witness.counted(PartId(LANE, program.session, number), cup, self._now)
            self._counting.clear()
            self._edges = 0
        self._plan(self._now + SCAN_NS, _Kind.SCAN)

    def _plc_down(self, _what: object) -> None:
        if self._program is None:
            return
        self.tally["PLC starts"] += 1
        self._program, self._edges = None, 0
        self._counting.clear()
        self._plan(self._now + int(self._dice.uniform(100, 1_500) * MS), _Kind.PLC_UP)

    def _plc_up(self, _what: object) -> None:
        self._session += 1
        self._program = self._make_program(self._session, self._parameters)
        # It takes what is written before it answers: old results meet a count that the line has not heard of.
        if self._happens(0.5):
            lasts = int(self._dice.uniform(200, 1_500) * MS)
            self._outage_until = max(self._outage_until, self._now + lasts)
        # What fails to start once often fails again: old results meet a count that is young, too.
        if self._happens(0.3):
            self._plan(self._now + int(self._dice.uniform(300, 2_500) * MS), _Kind.PLC_DOWN)

    # -- the line ----------------------------------------------------------------------------------

    def _start(self, _what: object) -> None:
        self._line = _Line(self._make_tracker(LANE, TIMING, QUEUE), self._heartbeat)
        self.witness.line_started()
        self._plan(self._now, _Kind.EXCHANGE, self._line)
        self._plan(self._now, _Kind.TICK, self._line)

    def _kill(self, _what: object) -> None:
        if self._line is None:
            return
        self.tally["inspection killed"] += 1
        self._line = None
        self._plan(self._now + int(self._dice.uniform(300, 2_000) * MS), _Kind.START)

    def _tick(self, what: object) -> None:
        if what is not self._line or self._line is None:
            return
        self._do(self._line.tracker.tick(self._now))
        self._plan(self._now + TICK_NS, _Kind.TICK, self._line)

    def _exchange(self, what: object) -> None:
        line = self._line
        if line is None or what is not line or line.exchanging:
            return
        line.exchanging = True
        if line.tracker.healthy(self._now):
            line.heartbeat = self._heartbeat = (self._heartbeat + 1) & 0xFFFF
        if self._happens(self._weather.link):
            lasts = self._dice.uniform(200, 1_500) * MS if self._happens(0.2) else 0
            self._outage_until = max(self._outage_until, self._now + 1 + int(lasts))
        block = LineInput(line.heartbeat, RUNNING, line.command_session, 0, 0, tuple(line.commands))
        fails = self._now < self._outage_until
        there_ns = self._now + int(self._dice.uniform(1, 8) * MS)
        # An exchange that fails may have failed on its way back: then the PLC has what was written.
        if not fails or self._happens(0.5):
            self._plan(there_ns, _Kind.WRITE, block)
        back_ns = self._now + LINK_TIMEOUT_NS if fails else there_ns + 2 * MS
        self._plan(back_ns, _Kind.READ, (line, fails))

    def _write(self, what: object) -> None:
        assert isinstance(what, LineInput)
        if self._program is not None:
            self._program.write(what)

    def _read(self, what: object) -> None:
        assert isinstance(what, tuple)
        line: _Line = what[0]
        fails: bool = what[1]
        if line is not self._line:
            return
        line.exchanging = False
        program = self._program
        if fails or program is None or program.sequence == 0:
            self._plan(self._now + POLL_NS, _Kind.EXCHANGE, line)
            return
        tracker: Tracker = line.tracker
        if not line.met_plc:
            line.met_plc = True
            self._do(tracker.resume_after(program.session, self._resume(program), self._now))
        # The PLC's clock is mapped onto the host's within a few milliseconds.
        error_ns = int(self._dice.uniform(-3, 3) * MS)
        again = self._dice.random() < TOLD_AGAIN
        for number, eye_ns in tuple(program.photo_eyes):
            if (program.session, number) <= line.told and not again:
                continue
            line.told = max(line.told, (program.session, number))
            part = PartId(LANE, program.session, number)
            at_ns = self.witness.told(part, eye_ns + error_ns, self._now)
            self._do(tracker.photo_eye(program.session, number, at_ns, self._now))
        until_ns = program.now_ns - 4 * MS
        self._do(tracker.watched(program.session, until_ns, self._now))
        self._plan(self._now + POLL_NS, _Kind.EXCHANGE, line)

    def _resume(self, program: GateProgram) -> int:
        """As the inspection process does: after the ledger's newest row, or after the first contact."""
        newest = self.witness.newest_row
        if newest is not None:
            return newest.number if newest.session == program.session else 0
        if self._first_contact is None or self._first_contact[0] != program.session:
            self._first_contact = program.session, program.part_count
        return self._first_contact[1]

    def _frame(self, what: object) -> None:
        assert isinstance(what, FrameInfo)
        self._frames.append(what)
        if self._line is not None:
            self._do(self._line.tracker.frame(what, self._now))

    def _answer(self, what: object) -> None:
        assert isinstance(what, tuple)
        line: _Line = what[0]
        verdict, key = what[1:]
        if line is self._line:
            self.witness.answered(verdict, key, self._now)
            self._do(line.tracker.verdict(verdict, key, self._now))

    def _astray(self, _what: object) -> None:
        """A pass that nobody gave about this part and frame."""
        if self._line is None or not self._asked or not self._frames:
            return
        part, frame = self._dice.choice(self._asked), self._dice.choice(self._frames)
        part = PartId(part.lane, part.session, part.number + self._dice.choice([-1, 0, 0, 1, 2]))
        if self.witness.sent.get(part) == frame_key(frame):
            return
        self.tally["verdicts astray"] += 1
        verdict = Verdict(part, Outcome.PASS, Reason.CLEAN, score=-1.0)
        self._do(self._line.tracker.verdict(verdict, frame_key(frame), self._now))

    def _do(self, effects: list[Effect]) -> None:
        line = self._line
        assert line is not None
        for effect in effects:
            if isinstance(effect, Inspect):
                self._inspect(effect, line)
            elif isinstance(effect, Closed):
                self.witness.closed(effect)
                self._command(effect, line)
            elif isinstance(effect, Unclaimed):
                self.tally[f"frame {effect.why}"] += 1
            elif isinstance(effect, Ignored):
                self.tally[f"event {effect.why}"] += 1
            elif isinstance(effect, Unaccounted):
                self.witness.unaccounted(effect)

    def _inspect(self, inspect: Inspect, line: _Line) -> None:
        key = frame_key(inspect.frame)
        self.witness.inspected(inspect, key)
        self._asked.append(inspect.part)
        shown = self._seen_at(inspect.frame.exposed_ns)
        if shown is None:
            verdict = rejected(inspect.part, Reason.NO_CUP)
        elif shown.defective:
            verdict = rejected(inspect.part, Reason.DEFECT)
        else:
            # The score tells the witness which cup was looked at.
            verdict = Verdict(inspect.part, Outcome.PASS, Reason.CLEAN, score=float(shown.name))
        slow = self._happens(self._weather.slow)
        takes = self._dice.uniform(300, 700) if slow else self._dice.uniform(20, 120)
        self._plan(self._now + int(takes * MS), _Kind.ANSWER, (line, verdict, key))
        if self._happens(self._weather.slow):
            again_ns = self._now + int((takes + self._dice.uniform(0, 500)) * MS)
            self._plan(again_ns, _Kind.ANSWER, (line, verdict, key))

    def _seen_at(self, exposed_ns: int) -> Cup | None:
        """The cup that stood below the camera, if one did."""
        cups = self._cups
        while (
            self._nearest + 1 < len(cups) and cups[self._nearest + 1].eye_ns < exposed_ns
        ):  # frames are inspected about in the order of their exposure
            self._nearest += 1
        while self._nearest > 0 and cups[self._nearest].eye_ns > exposed_ns:
            self._nearest -= 1
        around = cups[self._nearest : self._nearest + 2]
        cup = min(around, key=lambda one: abs(one.eye_ns - exposed_ns))
        return cup if abs(cup.eye_ns - exposed_ns) < IN_PICTURE_NS else None

    def _command(self, closed: Closed, line: _Line) -> None:
        """The ring of eight commands that goes out with every exchange; the next begins at once."""
        if closed.trigger_ns is None:
            return
        part = closed.part
        if part.session != line.command_session:
            line.commands.clear()
            line.command_session = part.session
        while line.commands and line.commands[0].number <= part.number - DEPTH:
            line.commands.popleft()
        outcome = OK if closed.verdict.outcome is Outcome.PASS else NOK
        line.commands.append(LineResult(part.number, outcome, 1))
        if not line.exchanging:
            self._plan(self._now, _Kind.EXCHANGE, line)

    _deeds: ClassVar[dict[_Kind, Callable[["Plant", object], None]]] = {
        _Kind.EDGE: _edge,
        _Kind.SCAN: _scan,
        _Kind.WRITE: _write,
        _Kind.READ: _read,
        _Kind.EXCHANGE: _exchange,
        _Kind.TICK: _tick,
        _Kind.FRAME: _frame,
        _Kind.ANSWER: _answer,
        _Kind.ASTRAY: _astray,
        _Kind.KILL: _kill,
        _Kind.START: _start,
        _Kind.PLC_DOWN: _plc_down,
        _Kind.PLC_UP: _plc_up,
        _Kind.STOP: _stop,
    }
