"""The gate without a PLC, scan by scan. Times are in ms; a scan every 2."""

import random
from itertools import count

import pytest

from inspector.core.belt import BeltLimits
from inspector.core.gate_codes import GateAction, GateReason
from inspector.core.gate_program import Parameters
from inspector.core.part import PartId
from inspector.core.verdict import Outcome, Reason
from inspector.gate import (
    Command,
    Incoming,
    LineState,
    Outgoing,
)
from inspector.gate.scanner import Pace, Scanner
from tests.gate.wires import WiresInTheAir

MS = 1_000_000
SCAN = 2
LATE = 10
TRAVEL = 400
PACE = Pace(scan_ns=SCAN * MS, late_ns=LATE * MS, hold_ns=LATE * MS, eye_delay_ns=MS)


def program(*, photo_eye: bool = True) -> Parameters:
    return Parameters(photo_eye=photo_eye, travel=TRAVEL * MS, belt=BeltLimits(settle_ns=0))


class Bench:
    """A scanner on wires in the air, with a line that exchanges every 10 ms."""

    def __init__(self, *parts: int, photo_eye: bool = True) -> None:
        self.wires = WiresInTheAir([at * MS for at in parts])
        self.scanner = Scanner(
            self.wires, program(photo_eye=photo_eye), PACE, count(7).__next__, now_ns=0
        )
        self.now = 0
        self.alive = True
        self.state = LineState.RUNNING
        self.commands: list[Command] = []
        self.heard: list[Incoming] = [self.scanner.incoming(0)]
        self.open: list[int] = []

    @property
    def session(self) -> int:
        return self.heard[-1].session

    def until(self, time: int) -> None:
        """Every ms: the diverter seen, a scan when it is due, an exchange when that is."""
        while self.now < time:
            self.now += 1
            self.wires.now_ns = self.now * MS
            if self.wires.open_at(self.now * MS):
                self.open.append(self.now)
            if self.now % SCAN == 0:
                self.scanner.scan(self.now * MS)
            if self.now % 10 == 5:
                self.exchange()

    def exchange(self) -> Incoming:
        commands, self.commands = tuple(self.commands), []
        self.scanner.tell(Outgoing(self.alive, self.state, commands))
        self.heard.append(self.scanner.incoming(0))
        return self.heard[-1]

    def tell(
        self, number: int, outcome: Outcome = Outcome.PASS, session: int | None = None
    ) -> None:
        part = PartId("lane-1", self.session if session is None else session, number)
        reason = Reason.CLEAN if outcome is Outcome.PASS else Reason.DEFECT
        self.commands.append(Command(part, outcome, reason, at_ns=self.now * MS))

    def stall(self, lasts: int) -> None:
        """No scan and no exchange for so long; the diverter goes on as it was told."""
        for _ in range(lasts):
            self.now += 1
            self.wires.now_ns = self.now * MS
            if self.wires.open_at(self.now * MS):
                self.open.append(self.now)

    @property
    def done(self) -> list[tuple[int, GateAction, GateReason]]:
        rows = [row for incoming in self.heard for row in incoming.gate_results]
        return [(row.number, row.action, row.reason) for row in rows]


def test_a_part_with_its_own_ok_passes_and_no_other_does() -> None:
    bench = Bench(101, 301)
    bench.until(150)
    bench.tell(1)
    bench.until(1000)
    assert bench.done == [
        (1, GateAction.PASSED, GateReason.OK),
        (2, GateAction.DIVERTED_BY_DEFAULT, GateReason.NO_RESULT),
    ]
    # At the gate at 501 ms, reckoned from the scan that saw it, 30 ms to either side.
    assert (bench.open[0], bench.open[-1]) == (473, 534)


def test_parts_are_told_with_the_time_of_their_own_edge() -> None:
    bench = Bench(101, 301)
    bench.until(320)
    (incoming,) = bench.heard[-1:]
    assert incoming.part_count == 2
    assert [(eye.number, eye.at_ns) for eye in incoming.photo_eyes] == [
        (1, 101 * MS),
        (2, 301 * MS),
    ]
    # An edge needs up to a millisecond to be known: so far nothing has been missed.
    assert incoming.watched_ns == 313 * MS


def test_a_nok_and_a_late_ok_are_rejects_and_the_line_hears_why() -> None:
    bench = Bench(100, 300)
    bench.until(150)
    bench.tell(1, Outcome.REJECT)
    bench.until(660)
    bench.tell(2)
    bench.until(1000)
    assert bench.done == [
        (1, GateAction.DIVERTED, GateReason.NOK),
        (2, GateAction.DIVERTED_BY_DEFAULT, GateReason.NO_RESULT),
    ]
    assert bench.open == []


def test_an_ok_that_is_told_before_the_line_can_know_of_its_part_opens_nothing() -> None:
    bench = Bench(101)
    bench.until(100)
    bench.tell(1)
    bench.exchange()
    bench.until(1000)
    assert bench.done == [(1, GateAction.DIVERTED_BY_DEFAULT, GateReason.PREMATURE_RESULT)]
    assert bench.open == []


def test_an_ok_for_another_count_opens_nothing() -> None:
    bench = Bench(100)
    bench.until(150)
    bench.tell(1, session=6)
    bench.until(1000)
    assert bench.open == []


def test_words_about_two_counts_in_one_breath_are_not_mixed_up() -> None:
    bench = Bench(100, 300)
    bench.until(350)
    bench.tell(1, session=6)
    bench.tell(2)
    bench.until(1000)
    assert bench.done == [
        (1, GateAction.DIVERTED_BY_DEFAULT, GateReason.NO_RESULT),
        (2, GateAction.PASSED, GateReason.OK),
    ]


def test_a_line_that_does_not_decide_any_more_opens_nothing() -> None:
    bench = Bench(100)
    bench.until(120)
    bench.tell(1)
    bench.until(150)
    bench.alive = False
    bench.until(1000)
    assert bench.done == [(1, GateAction.DIVERTED_BY_DEFAULT, GateReason.STALE_HEARTBEAT)]
    assert bench.open == []
    assert not bench.heard[-1].line_alive


@pytest.mark.parametrize("state", [LineState.STARTING, LineState.STOPPING, LineState.FAULT])
def test_a_line_that_says_it_does_not_run_opens_nothing(state: LineState) -> None:
    bench = Bench(100)
    bench.until(150)
    bench.state = state
    bench.tell(1)
    bench.until(1000)
    assert bench.open == []


def test_a_pass_ends_by_itself_when_no_scan_comes_any_more() -> None:
    bench = Bench(100)
    bench.until(150)
    bench.tell(1)
    bench.until(480)
    assert bench.wires.open_at(480 * MS)
    bench.stall(1000)
    assert bench.open[-1] < 480 + LATE


def test_no_pass_is_ever_given_for_longer_than_a_late_scan() -> None:
    bench = Bench(100, 180, 260)
    bench.until(290)
    for number in (1, 2, 3):
        bench.tell(number)
    last = bench.now
    while bench.now < 1000:
        told = len(bench.wires.passes)
        bench.until(bench.now + 1)
        last = bench.now if bench.now % SCAN == 0 else last
        assert all(until_ns <= (last + LATE) * MS for until_ns in bench.wires.passes[told:])
    assert len(bench.done) == 3
    assert bench.wires.passes


@pytest.mark.parametrize(("stalled", "passes"), [(LATE - SCAN, True), (LATE + 1, False)])
def test_a_scan_too_late_rejects_all_that_is_on_the_belt_and_one_less_late_does_not(
    stalled: int, passes: bool
) -> None:
    bench = Bench(100)
    bench.until(150)
    bench.tell(1)
    bench.until(200)
    counted = bench.session
    bench.stall(stalled)
    bench.until(1000)
    assert bool(bench.open) == passes
    assert (bench.session == counted) == passes
    assert bench.scanner.missed_scans >= stalled // SCAN - 1


def test_parts_of_a_stall_are_not_counted_since_where_they_are_is_not_known() -> None:
    bench = Bench(210)
    bench.until(200)
    bench.stall(30)
    bench.until(300)
    assert bench.heard[-1].part_count == 0


def test_an_edge_that_is_told_too_late_ends_the_count() -> None:
    bench = Bench(100)
    bench.until(150)
    counted = bench.session
    bench.wires.coming = [(150 - LATE - 1) * MS]
    bench.until(160)
    assert bench.session == counted + 1


def test_a_count_that_began_anew_passes_parts_again() -> None:
    bench = Bench(100, 400)
    bench.until(200)
    bench.stall(50)
    bench.until(450)
    bench.tell(1)
    bench.until(1000)
    assert bench.done == [(1, GateAction.PASSED, GateReason.OK)]
    assert bench.open


def test_parts_on_a_belt_that_stood_are_rejected_and_later_ones_pass_again() -> None:
    bench = Bench(100, 1200)
    bench.until(150)
    bench.tell(1)
    bench.until(200)
    bench.wires.running = False
    bench.until(210)
    assert bench.heard[-1].belt_stands
    bench.until(220)
    bench.wires.running = True
    bench.until(1250)
    bench.tell(2)
    bench.until(2000)
    assert [reason for _, _, reason in bench.done] == [GateReason.BELT_STOPPED, GateReason.OK]
    assert min(bench.open) > 1500


def test_in_free_run_it_opens_where_the_results_time_says() -> None:
    bench = Bench(photo_eye=False)
    bench.until(100)
    bench.tell(1, session=99)
    bench.until(1000)
    assert bench.done == [(1, GateAction.PASSED, GateReason.OK)]
    assert (bench.open[0], bench.open[-1]) == (471, 532)


def test_in_free_run_a_scan_too_late_rejects_what_was_on_the_belt() -> None:
    bench = Bench(photo_eye=False)
    bench.until(100)
    bench.tell(1, session=99)
    at_camera = bench.commands[0]
    bench.until(200)
    bench.stall(50)
    bench.commands = [at_camera]
    bench.until(1000)
    assert bench.open == []


def test_each_gate_result_is_told_once() -> None:
    bench = Bench(*range(100, 2100, 100))
    bench.until(3000)
    assert [number for number, _, _ in bench.done] == list(range(1, 21))


def test_results_nobody_asks_for_are_bounded_and_counted() -> None:
    bench = Bench(*range(100, 30_100, 100))
    while bench.now < 31_000:
        bench.now += SCAN
        bench.wires.now_ns = bench.now * MS
        bench.scanner.scan(bench.now * MS)
    incoming = bench.exchange()
    assert len(incoming.gate_results) == 256
    assert incoming.gate_results_lost == 300 - 256


def test_a_part_passes_only_while_it_alone_is_there_with_an_ok_of_its_own() -> None:
    """Anything may happen at any time; what the diverter does is judged from outside."""
    passed = sum(run_at_random(random.Random(seed)) for seed in range(30))
    assert passed > 100, "it would be easy never to be wrong by never opening"


def run_at_random(dice: random.Random) -> int:
    """Some seconds of parts, stalls, verdicts and silences; returns how many parts passed."""
    at, parts = 100, []
    while at < 4000:
        at += dice.choice([70, 90, 150, 300])
        parts.append(at)
    bench = Bench(*parts)
    told: dict[tuple[int, int], list[tuple[int, Outcome]]] = {}
    known: dict[int, tuple[int, int]] = {}
    beats = [0]
    while bench.now < 4600:
        bench.until(bench.now + 1)
        incoming = bench.heard[-1]
        for eye in incoming.photo_eyes:
            known.setdefault(eye.at_ns // MS, (incoming.session, eye.number))
        if bench.now % 10 == 5 and bench.alive:
            beats.append(bench.now)
        if dice.random() < 0.002:
            bench.stall(dice.choice([3, 8, 11, 40]))
        if dice.random() < (0.0005 if bench.alive else 0.003):
            bench.alive = not bench.alive
        if dice.random() < 0.1 and incoming.part_count:
            number = max(incoming.part_count - dice.randrange(4), 1) + (dice.random() < 0.05)
            outcome = dice.choice([Outcome.PASS] * 9 + [Outcome.REJECT])
            bench.tell(number, outcome)
            bench.exchange()
            told.setdefault((incoming.session, number), []).append((bench.now, outcome))
    passed = [part for part in parts if part + TRAVEL in bench.open]
    for part in passed:
        assert part in known, "a part that nobody counted went through"
        # What is told 52 ms before the gate is there when the program decides, 50 ms before.
        words = [(t, o) for t, o in told.get(known[part], []) if t < part + TRAVEL - 52]
        assert words, "a part without a result went through"
        assert all(outcome is Outcome.PASS for _, outcome in words), "a NOK went through"
        assert all(t >= part for t, _ in words), "on a result from before the part"
        last_beat = max(beat for beat in beats if beat <= part + TRAVEL)
        assert part + TRAVEL - last_beat <= 300 + SCAN + LATE, "nobody was alive"
    return len(passed)
