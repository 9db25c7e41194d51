"""Lost frames are counted exactly, and a 16-bit count that wraps is no loss."""

from hypothesis import given
from hypothesis import strategies as st

from inspector.camera.frame_ids import FrameIds

losses = st.lists(st.integers(0, 40), min_size=1, max_size=60)


def gige_vision(count: int) -> int:
    """The camera's id of its n-th frame, n from 1: 1 … 65535 and then 1 again."""
    return (count - 1) % 65535 + 1


def test_the_step_from_65535_to_1_is_no_loss() -> None:
    ids = FrameIds()
    ids.step(65534)
    assert ids.step(65535).lost == 0
    wrapped = ids.step(1)
    assert (wrapped.frame_id, wrapped.lost, wrapped.restarted) == (65536, 0, False)


def test_frames_lost_at_the_wrap_are_counted() -> None:
    ids = FrameIds()
    ids.step(65533)
    assert ids.step(3).lost == 4


def test_a_count_from_0_wraps_to_0() -> None:
    ids = FrameIds()
    ids.step(65535)
    step = ids.step(0)
    assert (step.frame_id, step.lost) == (65536, 0)
    assert ids.step(1).frame_id == 65537


def test_a_64_bit_count_goes_straight_past_65535() -> None:
    ids = FrameIds()
    ids.step(65535)
    step = ids.step(65536)
    assert (step.frame_id, step.lost) == (65536, 0)


@given(start=st.integers(1, 70_000), lost=losses)
def test_16_bit_ids_are_unwrapped_and_gaps_counted(start: int, lost: list[int]) -> None:
    ids = FrameIds()
    count = start
    first = ids.step(gige_vision(count)).frame_id
    for gap in lost:
        count += gap + 1
        step = ids.step(gige_vision(count))
        assert step.lost == gap
        assert step.frame_id - first == count - start
        assert not step.restarted


@given(start=st.integers(0, 2**40), lost=losses)
def test_64_bit_ids_are_taken_as_they_are(start: int, lost: list[int]) -> None:
    ids = FrameIds()
    count = start
    ids.step(count)
    for gap in lost:
        count += gap + 1
        step = ids.step(count)
        assert (step.frame_id, step.lost, step.restarted) == (count, gap, False)


@given(raw_ids=st.lists(st.integers(0, 2**20), min_size=1, max_size=80))
def test_ids_only_rise_unless_a_restart_is_said(raw_ids: list[int]) -> None:
    ids = FrameIds()
    last = -1
    for raw in raw_ids:
        step = ids.step(raw)
        assert step.lost >= 0
        assert step.frame_id > last or step.restarted
        last = step.frame_id


def test_a_camera_that_counts_anew_is_not_taken_for_a_wrap() -> None:
    ids = FrameIds()
    ids.step(200)
    step = ids.step(1)
    assert step.restarted
    assert step.lost == 0
    assert ids.step(2).frame_id == 2
