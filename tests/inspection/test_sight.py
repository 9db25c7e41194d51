"""Cups found in a process of their own are the cups found here, and nothing there can hang the line."""

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

import inspector.inspection.shared_room as shared_room
import inspector.inspection.sight_process as sight_process
from inspector.core.errors import EngineError
from inspector.core.verdict import Reason
from inspector.inspection.sight import SightHere
from inspector.inspection.sight_process import SightError, SightProcess, sights
from inspector.recipe.manifest import ViewEntry
from inspector.twin.cups import draw_cup
from inspector.vision import UPRIGHT, CupImage, PixelError, Refusal
from inspector.vision.pixels import Raw
from tests.vision.bench import FORMAT, mosaic, reference, segment

POLAR = ViewEntry(kind="polar", rows=96, columns=320)


@pytest.fixture(autouse=True)
def sums_in_one_order() -> Iterator[None]:
    """As a line's processes do (``share_cores``): with more threads some processors add up otherwise."""
    with threadpool_limits(1, user_api="blas"):
        yield


@pytest.fixture(scope="module")
def frame() -> Raw:
    return mosaic(draw_cup("type-01", 3).frame)


@pytest.fixture
def there() -> Iterator[SightProcess]:
    process = SightProcess(1)
    yield process
    process.close()


def nothing(_pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.zeros((1, 160, 240), np.float32)


@pytest.mark.parametrize("view", [UPRIGHT, POLAR])
def test_it_sees_what_is_seen_here(frame: Raw, there: SightProcess, view: ViewEntry) -> None:
    given = frame, FORMAT, segment(), reference("type-01"), None, view
    here, far = SightHere().prepare(*given), there.prepare(*given)
    assert isinstance(here, CupImage)
    assert isinstance(far, CupImage)
    assert (far.outline, far.orientation, far.lean) == (here.outline, here.orientation, here.lean)
    assert np.array_equal(far.view, here.view)
    assert np.array_equal(far.image(), here.image())
    assert far.stage_ns.keys() == here.stage_ns.keys()
    assert there.locate(frame, FORMAT, segment()) == SightHere().locate(frame, FORMAT, segment())
    assert np.array_equal(
        there.centred_view(frame, FORMAT, far.outline),
        SightHere().centred_view(frame, FORMAT, far.outline),
    )


def test_a_frame_written_into_its_room_is_seen_there(frame: Raw, there: SightProcess) -> None:
    copied = there.prepare(frame, FORMAT, segment(), None, None, UPRIGHT)
    room = there.room(frame.nbytes).reshape(frame.shape)
    room[:] = frame
    seen = there.prepare(room, FORMAT, segment(), None, None, UPRIGHT)
    assert isinstance(copied, CupImage)
    assert isinstance(seen, CupImage)
    assert seen.outline == copied.outline
    # Pictures of a cup that is refused are made of the frame once more.
    view = there.centred_view(room, FORMAT, seen.outline)
    assert np.array_equal(view, SightHere().centred_view(frame, FORMAT, seen.outline))


def test_the_picture_of_a_refused_part_stays_when_the_next_one_is_looked_at(
    frame: Raw, there: SightProcess
) -> None:
    """It is kept until the part's command, and must not turn into another part's."""
    first = there.locate(frame, FORMAT, segment())[0]
    picture = there.centred_view(frame, FORMAT, first)
    kept = picture.copy()
    other = mosaic(draw_cup("type-03", 5).frame)
    there.prepare(other, FORMAT, segment(), None, None, UPRIGHT)
    there.centred_view(other, FORMAT, there.locate(other, FORMAT, segment())[0])
    assert np.array_equal(picture, kept)


def test_an_answer_about_another_frame_is_not_taken(frame: Raw, there: SightProcess) -> None:
    def asks_for_another(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        there._asked_for += 1
        return segment()(pictures)

    with pytest.raises(SightError, match="answered about another frame"):
        there.prepare(frame, FORMAT, asks_for_another, None, None, UPRIGHT)
    assert isinstance(there.prepare(frame, FORMAT, segment(), None, None, UPRIGHT), CupImage)


def test_a_frame_too_large_for_its_room_is_seen_all_the_same(
    monkeypatch: pytest.MonkeyPatch, frame: Raw, there: SightProcess
) -> None:
    monkeypatch.setattr(shared_room, "ROOM", 1_000_000)
    room = there.room(frame.nbytes).reshape(frame.shape)
    room[:] = frame
    assert isinstance(there.prepare(room, FORMAT, segment(), None, None, UPRIGHT), CupImage)


def test_an_empty_belt_is_refused_as_it_is_here(frame: Raw, there: SightProcess) -> None:
    seen = there.prepare(frame, FORMAT, nothing, None, None, UPRIGHT)
    assert isinstance(seen, Refusal)
    assert seen.reason is Reason.NO_CUP


def test_a_wrong_pixel_format_is_the_same_error_as_here(frame: Raw, there: SightProcess) -> None:
    with pytest.raises(PixelError, match="set the camera to one of"):
        there.prepare(frame, "YUV422_8", segment(), None, None, UPRIGHT)


def test_whatever_breaks_there_is_told_and_the_next_frame_is_seen(
    frame: Raw, there: SightProcess
) -> None:
    no_view: Any = None
    with pytest.raises(RuntimeError, match="AttributeError: 'NoneType'"):
        there.prepare(frame, FORMAT, segment(), None, None, no_view)
    assert isinstance(there.prepare(frame, FORMAT, segment(), None, None, UPRIGHT), CupImage)


def test_a_network_that_fails_fails_here_and_the_next_frame_is_seen(
    frame: Raw, there: SightProcess
) -> None:
    def gone(_pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        raise EngineError("the GPU does not answer", "see what nvidia-smi says")

    with pytest.raises(EngineError, match="the GPU does not answer"):
        there.prepare(frame, FORMAT, gone, None, None, UPRIGHT)
    assert isinstance(there.prepare(frame, FORMAT, segment(), None, None, UPRIGHT), CupImage)


def test_one_that_dies_costs_a_frame_and_another_takes_its_place(
    frame: Raw, there: SightProcess
) -> None:
    def killed(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        os.kill(there.pid, signal.SIGKILL)
        time.sleep(0.2)
        return segment()(pictures)

    with pytest.raises(SightError, match=r"died .*another was started"):
        there.prepare(frame, FORMAT, killed, None, None, UPRIGHT)
    assert isinstance(there.prepare(frame, FORMAT, segment(), None, None, UPRIGHT), CupImage)


def test_one_that_hangs_is_killed_and_another_takes_its_place(
    frame: Raw, there: SightProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    there.wait()
    monkeypatch.setattr(sight_process, "_PATIENCE_S", 0.3)
    os.kill(there.pid, signal.SIGSTOP)
    with pytest.raises(SightError, match="said nothing for"):
        there.prepare(frame, FORMAT, segment(), None, None, UPRIGHT)
    monkeypatch.setattr(sight_process, "_PATIENCE_S", 10.0)
    assert isinstance(there.prepare(frame, FORMAT, segment(), None, None, UPRIGHT), CupImage)


def test_one_worker_looks_here_and_several_have_a_process_each() -> None:
    assert isinstance(sights(1)[0], SightHere)
    several = sights(2)
    assert len({sight.pid for sight in several if isinstance(sight, SightProcess)}) == 2
    for sight in several:
        sight.close()
