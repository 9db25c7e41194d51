"""Alarms for too many rejects come when they should and go when they should."""

from hypothesis import given
from hypothesis import strategies as st

from inspector.tracking import RejectAlarm, RejectLimits, RejectWatch

LIMITS = RejectLimits(in_a_row=3, share=0.5, of_parts=10)


def after(parts: str) -> RejectWatch:
    """A watch that saw these parts: ``.`` passed, ``x`` rejected."""
    watch = RejectWatch(LIMITS)
    for part in parts:
        watch.closed(passed=part == ".")
    return watch


def test_rejects_in_a_row_raise_an_alarm_that_goes_with_the_next_pass() -> None:
    assert not after("xx").raised
    assert after("xxx").raised == {RejectAlarm.IN_A_ROW}
    assert not after("xxx.").raised
    assert not after("xx.xx").raised


def test_the_share_counts_once_enough_parts_have_come_and_goes_well_below_its_limit() -> None:
    assert not after("xx.xx.x.x").raised
    assert after("xx.xx.x.xx").raised == {RejectAlarm.SHARE}
    still = after("xx.xx.x.xx" + ".x")
    assert still.share == 0.6
    assert RejectAlarm.SHARE in after("xx.xx.x.xx" + "...").raised, "0.5 lies within the hysteresis"
    assert RejectAlarm.SHARE not in after("xx.xx.x.xx" + "......").raised


@given(st.lists(st.booleans(), max_size=60))
def test_an_alarm_never_stands_over_parts_that_all_passed(parts: list[bool]) -> None:
    watch = RejectWatch(LIMITS)
    for passed in parts:
        watch.closed(passed=passed)
        assert (RejectAlarm.IN_A_ROW in watch.raised) <= (not passed)
    for _ in range(LIMITS.of_parts):
        watch.closed(passed=True)
    assert not watch.raised
