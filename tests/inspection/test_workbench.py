"""Whatever fails while a frame is looked at rejects its part, with the reason that is true."""

import queue
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import pytest

from inspector.camera.client import Acquisition
from inspector.camera.ring import Ring
from inspector.core.frame import FrameInfo
from inspector.core.part import PartId
from inspector.core.verdict import Outcome, Reason, Verdict, rejected
from inspector.inspection import workbench
from inspector.inspection.events import Event, Examined, Located
from inspector.inspection.eyes import Eyes, Locate
from inspector.inspection.judge import Examination, Examine, refuse_all
from inspector.inspection.sight import Sight, SightHere
from inspector.inspection.workbench import Workbench

PART = PartId("lane-1", 1, 17)
LATER_NS = 10**12
HEIGHT, WIDTH = 4, 6


def clean(_sight: Sight, part: PartId, *_frame: object) -> Examination:
    verdict = Verdict(part, Outcome.PASS, Reason.CLEAN, 0.1, recipe="test")
    return Examination(verdict, None, None, {})


class Bench:
    """A workbench with one lane, its ring, and what it posts."""

    def __init__(
        self,
        examine: Examine,
        limit: int = 4,
        workers: int = 1,
        prove: Callable[[], None] = lambda: None,
        locate: Locate = lambda *_frame: (),
    ) -> None:
        self.ring = Ring.create(3, 4096)
        self.ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.posted: queue.Queue[Event] = queue.Queue()
        acquisition = Acquisition(self.ring.fd, self.ends[0], "lane-1")
        eyes = Eyes(acquisition, examine, locate, prove=prove)
        looking = [SightHere() for _ in range(workers)]
        self.workbench = Workbench({"lane-1": eyes}, self.posted.put, limit, looking)

    def frame(self, *, complete: bool = True) -> FrameInfo:
        slot, generation = self.ring.write(np.arange(HEIGHT * WIDTH, dtype=np.uint8))
        now_ns = time.monotonic_ns()
        return FrameInfo(
            "lane-1", 1, 1, slot, generation, WIDTH, HEIGHT, "Mono8", now_ns, now_ns, complete
        )

    def verdict_on(self, frame: FrameInfo, deadline_ns: int | None = None) -> Verdict:
        deadline_ns = time.monotonic_ns() + LATER_NS if deadline_ns is None else deadline_ns
        assert self.workbench.examine(PART, frame, None, deadline_ns)
        event = self.posted.get(timeout=5)
        assert isinstance(event, Examined)
        return event.examination.verdict


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench(clean)
    yield bench
    bench.workbench.stop()


def test_a_frame_is_judged_for_its_part(bench: Bench) -> None:
    assert bench.verdict_on(bench.frame()).reason is Reason.CLEAN


def test_a_frame_that_the_ring_has_overwritten_is_never_judged(bench: Bench) -> None:
    frame = bench.frame()
    for _ in range(3):
        bench.frame()
    assert bench.verdict_on(frame).reason is Reason.FRAME_OVERWRITTEN


def test_a_part_whose_deadline_is_past_is_not_judged_any_more(bench: Bench) -> None:
    assert bench.verdict_on(bench.frame(), deadline_ns=time.monotonic_ns()).reason is Reason.LATE


def test_a_full_queue_refuses_and_says_so() -> None:
    def slow(sight: Sight, part: PartId, *frame: Any) -> Examination:
        time.sleep(0.2)
        return clean(sight, part, *frame)

    bench = Bench(slow, limit=1)
    frame = bench.frame()
    taken = [bench.workbench.examine(PART, frame, None, LATER_NS * 10**6) for _ in range(5)]
    assert taken[0]
    assert not taken[-1]
    bench.workbench.stop()


def test_networks_are_looked_after_only_when_no_frame_waits() -> None:
    happened: list[str] = []
    may_go_on, proven = threading.Event(), threading.Event()

    def slowly(sight: Sight, part: PartId, *frame: Any) -> Examination:
        may_go_on.wait(5)
        happened.append("judged")
        return clean(sight, part, *frame)

    def prove() -> None:
        happened.append("proven")
        proven.set()

    bench = Bench(slowly, prove=prove)
    for _ in range(3):
        assert bench.workbench.examine(PART, bench.frame(), None, LATER_NS**2)
    may_go_on.set()
    assert proven.wait(5)
    bench.workbench.stop()
    assert happened == ["judged"] * 3 + ["proven"]


def test_two_workers_look_at_two_frames_at_once_and_each_answer_is_about_its_own_part() -> None:
    together = threading.Barrier(2)

    def waits_for_the_other(sight: Sight, part: PartId, *frame: Any) -> Examination:
        together.wait(timeout=5)
        return clean(sight, part, *frame)

    bench = Bench(waits_for_the_other, workers=2)
    parts = {PartId("lane-1", 1, number) for number in (1, 2)}
    for part in parts:
        assert bench.workbench.examine(part, bench.frame(), None, LATER_NS * 10**6)
    answers = [bench.posted.get(timeout=5) for _ in parts]
    assert {event.part for event in answers if isinstance(event, Examined)} == parts
    assert all(
        event.examination.verdict.part == event.part
        for event in answers
        if isinstance(event, Examined)
    )
    bench.workbench.stop()


def test_a_workbench_whose_engine_answers_no_more_is_not_alive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A GPU that hangs raises nothing: every part would be late for ever, and nobody would look."""
    answers = threading.Event()

    def hangs(*asked: Any) -> Examination:
        answers.wait(30)
        return clean(*asked)

    monkeypatch.setattr(workbench, "_HANGS_NS", 50_000_000)
    bench = Bench(hangs)
    assert bench.workbench.alive
    assert bench.workbench.examine(PART, bench.frame(), None, LATER_NS * 10**6)
    until_s = time.monotonic() + 10
    while bench.workbench.alive and time.monotonic() < until_s:
        time.sleep(0.01)
    assert not bench.workbench.alive
    answers.set()
    bench.posted.get(timeout=5)
    while not bench.workbench.alive and time.monotonic() < until_s:
        time.sleep(0.01)
    assert bench.workbench.alive, "it came back: what waits is looked at"
    bench.workbench.stop()


def test_without_a_usable_recipe_everything_is_rejected_and_the_fault_is_told() -> None:
    bench = Bench(refuse_all("the recipe is damaged"))
    assert bench.verdict_on(bench.frame()) == rejected(PART, Reason.ENGINE_ERROR)
    bench.workbench.stop()


def test_a_format_nobody_knows_rejects_the_part_and_leaves_the_workbench_alive(
    bench: Bench,
) -> None:
    frame = bench.frame()
    strange = FrameInfo(
        "lane-1", 1, 2, frame.slot, frame.generation, WIDTH, HEIGHT, "YUV411", 0, 0, complete=True
    )
    assert bench.verdict_on(strange).reason is Reason.ENGINE_ERROR
    assert bench.workbench.alive
    assert bench.workbench.locate(strange)
    located = bench.posted.get(timeout=5)
    assert isinstance(located, Located)
    assert "YUV411" in located.fault


def breaks(*_frame: object) -> Any:
    return cv2.cvtColor(np.zeros((0, 0), np.uint8), cv2.COLOR_BAYER_RG2RGB)


def test_a_frame_on_which_vision_breaks_is_not_searched_and_the_next_one_is() -> None:
    bench = Bench(clean, locate=breaks)
    for _ in range(2):
        assert bench.workbench.locate(bench.frame())
        located = bench.posted.get(timeout=5)
        assert isinstance(located, Located)
        assert re.match("a frame cannot be looked at .*OpenCV.*; report", located.fault)
    assert bench.workbench.alive
    bench.workbench.stop()


def test_a_frame_on_which_judging_breaks_rejects_its_part_and_the_next_one_is_judged() -> None:
    bench = Bench(breaks)
    for _ in range(2):
        assert bench.workbench.examine(PART, bench.frame(), None, LATER_NS**2)
        examined = bench.posted.get(timeout=5)
        assert isinstance(examined, Examined)
        assert examined.examination.verdict == rejected(PART, Reason.ENGINE_ERROR)
        assert "OpenCV" in examined.examination.fault
    assert bench.workbench.alive
    bench.workbench.stop()


def test_a_frame_overwritten_before_it_was_searched_is_not_told_to_be_empty(bench: Bench) -> None:
    frame = bench.frame()
    for _ in range(3):
        bench.frame()
    assert bench.workbench.locate(frame)
    located = bench.posted.get(timeout=5)
    assert isinstance(located, Located)
    assert "overwritten" in located.fault
