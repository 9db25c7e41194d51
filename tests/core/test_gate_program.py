"""The PLC's program, scan by scan. Times are in ms; a scan every 5."""

import pickle
import random

from inspector.core.belt import BeltLimits
from inspector.core.gate_codes import GateAction, GateReason, GateStatus
from inspector.core.gate_program import GateProgram, LineInput, LineResult, Parameters

SESSION = 7
TRAVEL = 400
OK, NOK = 1, 2
RUNNING, STOPPING = 1, 2


class Bench:
    """The program on a bench: scans up to a time, with a line beside it."""

    def __init__(self, *, photo_eye: bool = True) -> None:
        parameters = Parameters(
            photo_eye=photo_eye, travel=TRAVEL * 1_000_000, belt=BeltLimits(settle_ns=0)
        )
        self.program = GateProgram(SESSION, parameters)
        self.now = 0
        self.beat = 0
        self.results: dict[int, LineResult] = {}
        self.state = RUNNING
        self.session = SESSION if photo_eye else 99
        self.alive = True
        self.opened: list[int] = []
        self.until(50)

    def until(self, time: int, edges: int = 0) -> None:
        """Scan until ``time``; the photo-eye rises in the last of these scans."""
        while self.now < time:
            self.now += 5
            self.beat += self.alive
            self.program.write(
                LineInput(
                    self.beat, self.state, self.session, SESSION, 0, tuple(self.results.values())
                )
            )
            self.program.scan(self.now * 1_000_000, edges if self.now == time else 0)
            if self.program.passing:
                self.opened.append(self.now)

    def tell(self, number: int, outcome: int = OK, at: int = 0) -> None:
        self.results[number] = LineResult(number, outcome, 1, at * 1_000_000)

    @property
    def done(self) -> list[tuple[int, GateAction, GateReason]]:
        return self.program.gate_results


def test_a_part_with_its_own_fresh_ok_passes() -> None:
    bench = Bench()
    bench.until(100, edges=1)
    bench.until(200)
    bench.tell(1)
    bench.until(1000)
    assert bench.done == [(1, GateAction.PASSED, GateReason.OK)]
    assert (bench.opened[0], bench.opened[-1]) == (470, 530)
    assert bench.program.results_taken == 1


def test_the_diverter_rests_in_reject() -> None:
    bench = Bench()
    bench.until(1000)
    assert bench.opened == []


def test_without_a_result_a_part_is_diverted_by_default() -> None:
    bench = Bench()
    bench.until(100, edges=1)
    bench.until(1000)
    assert bench.done == [(1, GateAction.DIVERTED_BY_DEFAULT, GateReason.NO_RESULT)]
    assert bench.opened == []


def test_a_nok_diverts() -> None:
    bench = Bench()
    bench.until(100, edges=1)
    bench.tell(1, NOK)
    bench.until(1000)
    assert bench.done == [(1, GateAction.DIVERTED, GateReason.NOK)]


def test_an_ok_never_replaces_a_nok_and_a_nok_always_an_ok() -> None:
    for first, second in ((OK, NOK), (NOK, OK)):
        bench = Bench()
        bench.until(100, edges=1)
        bench.tell(1, first)
        bench.until(200)
        bench.tell(1, second)
        bench.until(1000)
        assert bench.done == [(1, GateAction.DIVERTED, GateReason.NOK)]


def test_a_result_that_comes_after_the_decision_is_not_taken() -> None:
    bench = Bench()
    bench.until(100, edges=1)
    bench.until(450)
    bench.tell(1)
    bench.until(470)
    assert bench.program.parts[1].result is None
    bench.until(1000)
    assert bench.done == [(1, GateAction.DIVERTED_BY_DEFAULT, GateReason.NO_RESULT)]


def test_a_result_that_is_there_before_its_part_is_never_believed() -> None:
    bench = Bench()
    bench.tell(1)
    bench.until(60)
    assert bench.program.results_taken == 0
    bench.until(100, edges=1)
    bench.until(1000)
    assert bench.done == [(1, GateAction.DIVERTED_BY_DEFAULT, GateReason.PREMATURE_RESULT)]


def test_a_result_of_another_session_is_not_taken() -> None:
    bench = Bench()
    bench.session = SESSION + 1
    bench.until(100, edges=1)
    bench.tell(1)
    bench.until(1000)
    assert bench.done == [(1, GateAction.DIVERTED_BY_DEFAULT, GateReason.NO_RESULT)]
    assert bench.program.results_taken == 0


def test_a_result_for_a_neighbour_opens_for_nobody_else() -> None:
    bench = Bench()
    bench.until(100, edges=1)
    bench.until(200, edges=1)
    bench.until(210)
    bench.tell(2)
    bench.until(1000)
    assert bench.done == [
        (1, GateAction.DIVERTED_BY_DEFAULT, GateReason.NO_RESULT),
        (2, GateAction.PASSED, GateReason.OK),
    ]
    assert bench.opened[0] == 570


def test_a_heartbeat_that_stood_still_diverts_in_spite_of_an_ok() -> None:
    bench = Bench()
    bench.until(100, edges=1)
    bench.tell(1)
    bench.until(130)
    bench.alive = False
    bench.until(440)
    assert GateStatus.LINE_ALIVE not in bench.program.status
    bench.until(1000)
    assert bench.done == [(1, GateAction.DIVERTED_BY_DEFAULT, GateReason.STALE_HEARTBEAT)]


def test_a_heartbeat_that_stops_while_the_part_is_at_the_gate_closes_it() -> None:
    bench = Bench()
    bench.until(100, edges=1)
    bench.tell(1)
    bench.until(180)
    bench.alive = False
    bench.until(1000)
    assert bench.opened[-1] == 480
    assert bench.done == [(1, GateAction.DIVERTED_BY_DEFAULT, GateReason.STALE_HEARTBEAT)]


def test_a_heartbeat_that_comes_back_after_the_decision_comes_too_late() -> None:
    bench = Bench()
    bench.until(100, edges=1)
    bench.tell(1)
    bench.until(130)
    bench.alive = False
    bench.until(460)
    bench.alive = True
    bench.until(1000)
    assert bench.opened == []
    assert bench.done == [(1, GateAction.DIVERTED_BY_DEFAULT, GateReason.STALE_HEARTBEAT)]


def test_a_heartbeat_register_that_was_never_seen_to_move_is_no_heartbeat() -> None:
    program = GateProgram(SESSION, Parameters())
    program.write(LineInput(1234, RUNNING, SESSION, SESSION, 0, ()))
    program.scan(5_000_000)
    assert GateStatus.LINE_ALIVE not in program.status


def test_a_line_that_is_stopping_lets_nothing_pass() -> None:
    bench = Bench()
    bench.until(100, edges=1)
    bench.tell(1)
    bench.until(200)
    bench.state = STOPPING
    bench.until(1000)
    assert bench.done == [(1, GateAction.DIVERTED_BY_DEFAULT, GateReason.LINE_NOT_RUNNING)]


def test_a_part_without_an_ok_within_reach_closes_the_gate_for_its_neighbour() -> None:
    bench = Bench()
    bench.until(100, edges=1)
    bench.until(120, edges=1)
    bench.until(130)
    bench.tell(1)
    bench.until(1000)
    assert bench.done == [
        (1, GateAction.DIVERTED_BY_DEFAULT, GateReason.NEIGHBOUR),
        (2, GateAction.DIVERTED_BY_DEFAULT, GateReason.NO_RESULT),
    ]


def test_gate_results_not_read_are_flagged() -> None:
    bench = Bench()
    for number in range(1, 11):
        bench.until(100 * number, edges=1)
    bench.until(2000)
    assert [row[0] for row in bench.done] == list(range(3, 11))
    bench.program.write(LineInput(1, RUNNING, SESSION, SESSION, 1, ()))
    bench.program.scan(2_005_000_000)
    assert GateStatus.OVERRUN in bench.program.status


def test_in_free_run_a_part_is_where_its_results_time_says() -> None:
    bench = Bench(photo_eye=False)
    bench.until(150)
    bench.tell(1, at=55)
    bench.until(155)
    bench.results.clear()
    bench.until(1000)
    assert bench.done == [(1, GateAction.PASSED, GateReason.OK)]
    # At the camera at 55 ms, at the gate at 455 ms, whenever the result came.
    assert (bench.opened[0], bench.opened[-1]) == (425, 485)
    assert bench.program.part_count == 0


def test_in_free_run_a_result_for_a_part_that_is_past_the_gate_opens_nothing() -> None:
    bench = Bench(photo_eye=False)
    bench.until(600)
    bench.tell(1, at=100)
    bench.until(1000)
    assert bench.opened == []
    assert bench.done == [(1, GateAction.DIVERTED_BY_DEFAULT, GateReason.LATE_RESULT)]


def test_in_free_run_a_result_in_another_lifes_time_places_nothing() -> None:
    bench = Bench(photo_eye=False)
    bench.until(100)
    result = LineResult(1, OK, 1, 100_000_000)
    for beat in range(20):
        bench.program.write(LineInput(beat, RUNNING, 99, SESSION - 1, 0, (result,)))
        bench.program.scan((105 + 5 * beat) * 1_000_000)
    assert bench.program.parts == {}


def test_in_free_run_a_line_started_anew_numbers_anew() -> None:
    bench = Bench(photo_eye=False)
    bench.tell(30, at=50)
    bench.until(1000)
    bench.results.clear()
    bench.session += 1
    bench.tell(1, at=1000)
    bench.until(2000)
    assert bench.done == [(1, GateAction.PASSED, GateReason.OK)]


def test_in_free_run_a_line_started_anew_opens_for_nothing_its_former_life_saw() -> None:
    bench = Bench(photo_eye=False)
    bench.tell(30, at=50)
    bench.until(100)
    bench.results.clear()
    bench.session += 1
    bench.until(1000)
    assert bench.opened == []


def test_the_gate_opens_only_around_parts_with_their_own_fresh_ok() -> None:
    """Anything may stand in the registers at any time; the rule is checked from outside."""
    opened = sum(run_at_random(random.Random(seed)) for seed in range(150))
    assert opened > 1000, "it would be easy never to be wrong by never opening"


def run_at_random(dice: random.Random) -> int:
    """Some seconds at the gate; returns in how many scans it was open."""
    program = GateProgram(SESSION, Parameters(travel=TRAVEL * 1_000_000))
    counted: dict[int, int] = {}
    told: dict[int, list[tuple[int, int]]] = {}
    beat, beat_at, count, opened = 0, None, 0, 0
    heard = False
    dying = dice.random() < 0.3
    for now in range(5, 1500, 5):
        edges = int(dice.random() < 0.08)
        if dice.random() < 0.3:
            session = dice.choice([SESSION] * 9 + [SESSION + 1])
            moved = dice.random() < (0.05 if dying and now > 500 else 0.8)
            beat += moved
            number = dice.randint(max(count - 4, 1), max(count, 1) + (dice.random() < 0.1))
            outcome = dice.choice([OK] * 9 + [NOK])
            program.write(
                LineInput(beat, RUNNING, session, SESSION, 0, (LineResult(number, outcome, 1),))
            )
            if session == SESSION:
                told.setdefault(number, []).append((now, outcome))
            if moved and heard:
                beat_at = now
            heard = True
        program.scan(now * 1_000_000, edges)
        if edges:
            count += 1
            counted[count] = now
        if not program.passing:
            continue
        opened += 1
        near = [n for n, at in counted.items() if abs(now - at - TRAVEL) <= 30]
        assert near, "open for nobody"
        assert beat_at is not None
        assert now - beat_at <= 300
        for number in near:
            at = counted[number]
            decided = [(t, o) for t, o in told.get(number, []) if t < at + TRAVEL - 45]
            assert decided, "open without a result in time"
            assert all(o == OK for _, o in decided)
            assert all(t > at for t, _ in decided), "open on a result from before the part"
    return opened


def test_a_program_that_rejects_all_day_keeps_nothing_of_the_parts_that_are_gone() -> None:
    bench = Bench()
    kept = []
    for number in range(1, 301):
        bench.until(bench.now + 100, edges=1)
        bench.results = {number: LineResult(number, NOK, 2)}
        if number in (100, 300):
            kept.append(len(pickle.dumps(bench.program)))
    # Two hundred parts later only the numbers themselves have become longer.
    assert kept[1] - kept[0] < 200
