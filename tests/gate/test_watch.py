"""What the gate says of itself is believed once it has said so for a second, and no longer than it does."""

import pytest

from inspector.gate import GateCondition, GateWatch, Incoming

MS = 1_000_000
STOPPED, UNSEEN = GateCondition.PLC_STOPPED, GateCondition.HEARTBEAT_UNSEEN


class Gate:
    """A gate that says the same every 10 ms."""

    def __init__(self) -> None:
        self.watch = GateWatch()
        self.now_ms = 0

    def says(
        self, ms: int, *, runs: bool = True, sees: bool = True, stands: bool = False
    ) -> frozenset[GateCondition]:
        """For so long; what stands then."""
        for _ in range(ms // 10):
            self.now_ms += 10
            reading = Incoming(7, 0, (), 0, 0, runs, sees, stands, False, (), 0, 0, MS)
            self.watch.hear(reading, {}, self.now_ms * MS)
        return self.watch.raised

    def is_silent(self, ms: int) -> None:
        """No exchange succeeds meanwhile."""
        self.now_ms += ms


@pytest.fixture
def gate() -> Gate:
    return Gate()


def test_a_gate_that_runs_and_sees_the_line_has_no_conditions(gate: Gate) -> None:
    assert gate.says(5000) == frozenset()


def test_after_a_start_the_gate_may_take_its_time_until_it_has_seen_a_heartbeat(gate: Gate) -> None:
    assert gate.says(900, sees=False) == frozenset()
    assert gate.says(10) == frozenset()
    assert gate.says(900, sees=False) == frozenset()


@pytest.mark.parametrize(
    ("runs", "sees", "condition"),
    [(True, False, UNSEEN), (False, True, STOPPED), (False, False, STOPPED)],
)
def test_a_gate_that_rejects_everything_for_a_second_is_believed_and_only_the_cause_is_named(
    gate: Gate, runs: bool, sees: bool, condition: GateCondition
) -> None:
    gate.says(100)
    assert gate.says(1000, runs=runs, sees=sees) == frozenset()
    assert gate.says(10, runs=runs, sees=sees) == {condition}
    assert gate.says(10) == frozenset()


def test_a_belt_that_stands_is_believed_at_once(gate: Gate) -> None:
    assert gate.says(10, stands=True) == {GateCondition.BELT_STANDS}


def test_after_a_silence_the_gate_may_take_its_time_again(gate: Gate) -> None:
    gate.says(100, sees=False)
    gate.is_silent(20_000)
    assert gate.says(300, sees=False) == frozenset()
    assert gate.says(10) == frozenset()


def test_what_stood_before_a_silence_stands_after_it(gate: Gate) -> None:
    gate.says(1100, runs=False)
    gate.is_silent(20_000)
    assert gate.says(10, runs=False) == {STOPPED}


def test_a_gate_that_is_seldom_heard_is_believed_as_well(gate: Gate) -> None:
    for _ in range(4):
        gate.is_silent(900)
        gate.says(10, sees=False)
    assert gate.watch.raised == {UNSEEN}
