"""The rig: what the conveyor publishes is what photo-eye, diverter and camera see."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspector.twin.rig import Action, Rig, RigError, create_rig, open_rig
from inspector.twin.rig_layout import (
    FRAME,
    HEADER,
    N_FRAMES_LOGGED,
    N_IMAGES,
    N_PARTS,
    PHOTO_EYE_PULSE_NS,
    RIG,
    WIDTH,
)
from inspector.twin.triton.generate import rig_layout_header

LATE = 10**18
"""A gate time that no test lives to see."""


@pytest.fixture
def rig() -> Iterator[Rig]:
    with create_rig(belt_px_per_s=10_000.0) as rig:
        yield rig


def publish(rig: Rig, eye_ns: int, gate_ns: int | None = None) -> int:
    gate_ns = eye_ns if gate_ns is None else gate_ns
    return rig.publish_part(cup_id=7, image_slot=0, eye_ns=eye_ns, gate_ns=gate_ns)


@settings(max_examples=40, deadline=None)
@given(
    gaps=st.lists(st.integers(0, 10**9), min_size=1, max_size=2 * N_PARTS),
    look=st.integers(0, 10**12),
)
def test_the_photo_eye_has_counted_every_part_that_came_by_until_now(
    gaps: list[int], look: int
) -> None:
    eyes = np.cumsum(gaps)
    with create_rig() as rig:
        for eye in eyes:
            publish(rig, int(eye))
        newest = eyes[-N_PARTS:]  # older records have been reused: they lie in the past anyway
        look = max(look, int(newest[0]))
        assert rig.photo_eye_count(look) == int((eyes <= look).sum())


@settings(max_examples=40, deadline=None)
@given(
    gaps=st.lists(st.integers(0, 1000), min_size=1, max_size=N_PARTS - 1),
    transport=st.integers(0, 5000),
    after=st.integers(0, N_PARTS),
    now=st.integers(0, 300_000),
)
def test_parts_come_due_in_belt_order_each_once(
    gaps: list[int], transport: int, after: int, now: int
) -> None:
    eyes = np.cumsum(gaps).tolist()
    with create_rig() as rig:
        for eye in eyes:
            publish(rig, eye, eye + transport)
        at_eye = [n for n, eye in enumerate(eyes, 1) if n > after and eye <= now]
        at_gate = [n for n, eye in enumerate(eyes, 1) if n > after and eye + transport <= now]
        assert [part.number for part in rig.parts_due(after, now)] == at_eye
        assert [part.number for part in rig.parts_at_gate(after, now)] == at_gate


def test_a_part_is_read_back_as_it_was_published(rig: Rig) -> None:
    number = rig.publish_part(cup_id=41, image_slot=3, eye_ns=100, gate_ns=900)
    part = rig.part(number)
    assert part is not None
    assert (part.cup_id, part.image_slot, part.eye_ns, part.gate_ns) == (41, 3, 100, 900)
    assert (part.action, part.done) == (Action.NONE, False)
    assert rig.part(number + 1) is None


def test_the_gates_result_belongs_to_its_part_alone(rig: Rig) -> None:
    numbers = [publish(rig, eye) for eye in (1, 2, 3)]
    rig.set_result(numbers[1], Action.DIVERTED, reason=4)
    parts = [rig.part(number) for number in numbers]
    assert [part.action for part in parts if part] == [Action.NONE, Action.DIVERTED, Action.NONE]
    assert [part.reason for part in parts if part] == [0, 4, 0]
    with pytest.raises(RigError, match="not on the belt"):
        rig.set_result(99, Action.PASSED)


def test_a_reused_record_forgets_the_result_of_the_part_before(rig: Rig) -> None:
    first = publish(rig, 1)
    rig.set_result(first, Action.PASSED)
    for eye in range(2, N_PARTS + 2):
        newest = publish(rig, eye)
    assert newest == first + N_PARTS
    assert rig.part(first) is None
    part = rig.part(newest)
    assert part is not None
    assert not part.done


def test_parts_cannot_overtake_nor_be_overwritten_before_the_diverter(rig: Rig) -> None:
    publish(rig, 100, LATE)
    with pytest.raises(RigError, match="overtake"):
        publish(rig, 99, LATE)
    for _ in range(N_PARTS - 1):
        publish(rig, 100, LATE)
    with pytest.raises(RigError, match="holds 256 parts"):
        publish(rig, 100, LATE)


def test_the_beam_is_broken_while_a_cup_stands_in_it(rig: Rig) -> None:
    publish(rig, 1_000)
    assert not rig.photo_eye_broken(999)
    assert rig.photo_eye_broken(1_000)
    assert rig.photo_eye_broken(1_000 + PHOTO_EYE_PULSE_NS - 1)
    assert not rig.photo_eye_broken(1_000 + PHOTO_EYE_PULSE_NS)


def test_an_image_slot_is_free_again_only_when_its_cup_has_left_the_picture(rig: Rig) -> None:
    now = time.monotonic_ns()
    for slot in range(N_IMAGES):
        rig.publish_part(cup_id=slot, image_slot=slot, eye_ns=now + slot, gate_ns=now + slot)
    crossing_ns = int(WIDTH / rig.belt_px_per_s * 1e9)
    assert rig.free_image_slot(now + crossing_ns) is None
    assert rig.free_image_slot(now + crossing_ns + 100_000_000) == 0


def test_pictures_and_background_do_not_touch_each_other(rig: Rig) -> None:
    for slot in range(N_IMAGES):
        rig.image(slot)[:, :8] = slot + 1
    rig.background()[:, :8] = 99
    assert [int(rig.image(slot)[-1, 0, 0]) for slot in range(N_IMAGES)] == list(
        range(1, N_IMAGES + 1)
    )
    assert (rig.background()[:, :8] == 99).all()
    with pytest.raises(RigError, match=f"slot {N_IMAGES}"):
        rig.image(N_IMAGES)


def test_two_processes_views_of_one_rig_are_the_same_plant(rig: Rig) -> None:
    with open_rig(rig.path) as other:
        number = publish(other, 5)
        assert rig.photo_eye_count(5) == number
        rig.unplug()
        assert other.unplugged
        other.replug()
        assert not rig.unplugged
        rig.running = False
        assert not other.running
    assert rig.path.exists()  # the creator's to remove, not theirs


def test_the_creator_removes_the_file_and_a_held_picture_stays_readable(tmp_path: Path) -> None:
    rig = create_rig(tmp_path / "rig")
    picture = rig.image(0)
    picture[0, 0] = 5
    rig.close()
    rig.close()
    assert not (tmp_path / "rig").exists()
    assert picture[0, 0, 0] == 5


def test_a_new_rig_in_an_old_ones_place_does_not_disturb_who_still_maps_the_old(
    tmp_path: Path,
) -> None:
    with create_rig(tmp_path / "rig") as old:
        publish(old, 1)
        with create_rig(tmp_path / "rig") as new:
            assert new.parts_published == 0
            assert old.parts_published == 1


def test_a_missing_or_foreign_file_is_named_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(RigError, match=r"no rig at .*start the plant first"):
        open_rig(tmp_path / "none")
    with create_rig(tmp_path / "rig") as rig:
        header = np.memmap(rig.path, HEADER, "r+", shape=(1,))
        header["layout_hash"] += 1
        header.flush()
        with pytest.raises(RigError, match="not a rig of this version"):
            open_rig(rig.path)
    (tmp_path / "short").write_bytes(b"short")
    with pytest.raises(RigError, match="not a rig of this version"):
        open_rig(tmp_path / "short")


def test_a_belt_that_stands_still_is_refused() -> None:
    with pytest.raises(RigError, match="positive speed"):
        create_rig(belt_px_per_s=0.0)


def test_the_frame_log_gives_the_newest_frames_in_order(rig: Rig) -> None:
    root = np.memmap(rig.path, RIG, "r+", shape=(1,))
    log = root["frame_log"][0]
    newest = N_FRAMES_LOGGED + 3
    for sequence in range(1, newest + 1):
        entry = np.array((sequence, sequence % 100, 1, 2, 0, 0, 1), FRAME)
        log[sequence % N_FRAMES_LOGGED] = entry
    frames = rig.frames_seen()
    assert [frame.sequence for frame in frames] == list(range(4, newest + 1))
    assert [frame.sequence for frame in rig.frames_seen(after=newest - 2)] == [newest - 1, newest]


def test_the_producers_header_holds_every_field_of_the_layout() -> None:
    header = rig_layout_header()
    for name, (_, offset, *_) in (FRAME.fields or {}).items():
        assert f"static_assert(offsetof(Frame, {name}) == {offset});" in header
    assert f"static_assert(sizeof(Rig) == {RIG.itemsize});" in header
    for name in RIG.names or ():
        assert f" {name}" in header
