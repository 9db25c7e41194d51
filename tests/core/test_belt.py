"""Where the belt is, look by look. Times are in ms."""

from hypothesis import given
from hypothesis import strategies as st

from inspector.core.belt import Belt, BeltLimits
from inspector.core.gate_codes import GateReason

MS = 1_000_000
TIMED = BeltLimits(settle_ns=100 * MS)
ENCODER = BeltLimits(encoder=True, stand_ns=1000 * MS, silent_ns=50 * MS, backlash=3)


def test_a_timed_belt_is_where_its_running_time_says() -> None:
    belt = Belt(TIMED)
    for now in range(0, 505, 5):
        belt.move(now * MS, None, runs=True)
    assert belt.position == 500 * MS
    told = [belt.move(now * MS, None, runs=False) for now in range(505, 1005, 5)]
    assert told == [GateReason.BELT_STOPPED] + [None] * 99
    assert belt.position == 500 * MS


def test_a_timed_belt_is_believed_only_once_it_has_its_speed() -> None:
    belt = Belt(TIMED)
    doubts = []
    for now in range(0, 200, 5):
        assert belt.move(now * MS, None, runs=True) is None
        doubts.append(belt.doubt)
    assert doubts == [GateReason.BELT_STOPPED] * 20 + [None] * 20
    assert belt.steady_since_ns == 100 * MS


def test_a_belt_with_an_encoder_may_stand_but_not_for_ever() -> None:
    belt = Belt(ENCODER)
    belt.move(0, 10, runs=True)
    assert [belt.move(at * MS, 10, runs=False) for at in (5, 500, 995, 1000)] == [
        *([None] * 3),
        GateReason.BELT_STOPPED,
    ]
    assert belt.move(1005 * MS, 11, runs=True) is None


def test_an_encoder_that_is_silent_while_the_drive_runs_is_a_fault() -> None:
    belt = Belt(ENCODER)
    belt.move(0, 10, runs=True)
    assert belt.move(45 * MS, 10, runs=True) is None
    assert belt.move(50 * MS, 10, runs=True) is GateReason.ENCODER_SILENT


def test_a_drive_that_was_just_switched_on_may_take_its_time() -> None:
    belt = Belt(ENCODER)
    belt.move(0, 10, runs=False)
    assert belt.move(500 * MS, 10, runs=True) is None
    assert belt.move(545 * MS, 10, runs=True) is None
    assert belt.move(550 * MS, 10, runs=True) is GateReason.ENCODER_SILENT


def test_a_belt_that_runs_back_is_in_doubt_until_it_is_where_it_was() -> None:
    belt = Belt(ENCODER)
    belt.move(0, 100, runs=True)
    told = [
        belt.move(5 * n * MS, counts, runs=True) for n, counts in enumerate((97, 96, 90, 96), 1)
    ]
    assert told == [None, GateReason.BELT_REVERSED, None, None]
    assert belt.doubt is GateReason.BELT_REVERSED
    assert belt.move(25 * MS, 97, runs=True) is None
    assert belt.doubt is None


@given(st.lists(st.booleans(), max_size=200))
def test_a_timed_belt_never_claims_more_than_it_ran(contact: list[bool]) -> None:
    belt, ran = Belt(TIMED), 0
    for n, runs in enumerate(contact):
        ran += 5 * MS * runs
        lost = belt.move(n * 5 * MS, None, runs=runs)
        assert (lost is not None) is (not runs and n > 0 and contact[n - 1])
        assert belt.position <= ran
        if belt.doubt is None:
            assert all(contact[max(n - 20, 0) : n + 1])
