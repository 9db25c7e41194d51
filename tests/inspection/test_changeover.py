"""A change of product on a running line, seen part by part: whose recipe lets a part pass."""

import heapq
import itertools
import queue
import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inspector.config import CameraSettings, LaneSettings, PartSettings, Trigger
from inspector.core.frame import FrameInfo
from inspector.core.part import PartId
from inspector.core.verdict import Outcome, Reason, Verdict
from inspector.gate import Incoming
from inspector.gate.protocol import PhotoEye
from inspector.inspection.changeover import Changeover
from inspector.inspection.events import Event, Examined, GateAnswered, Located, RecipeLoaded
from inspector.inspection.eyes import Eyes
from inspector.inspection.judge import Examination
from inspector.inspection.lane import Lane
from inspector.tracking import Closed, frame_key
from inspector.vision import CupOutline

MS = 1_000_000
JOBS = ("job-0", "job-1", "job-2")
WIDTH, RADIUS, SPACING, SPEED_PX_PER_MS = 2880, 660.0, 1400.0, 9.0


class Line:
    """A lane, its PLC and its belt, moment by moment. Whatever is looked at is found clean.

    Args:
        trigger: of the camera.
        dice: how long everything takes, and when the link is down.
        parts_ms: when a part is at the camera.
        changes_ms: when the PLC asks for another job, and for which.
        down_ms: when the link is down, from and until.
    """

    def __init__(
        self,
        trigger: Trigger,
        dice: random.Random,
        parts_ms: list[int],
        changes_ms: list[tuple[int, int]],
        down_ms: list[tuple[int, int]],
    ) -> None:
        self.closed: list[Closed] = []
        self._dice, self._parts_ms = dice, parts_ms
        self._changes_ms, self._down_ms = changes_ms, down_ms
        self._free_run = trigger == "free_run"
        self._to_come: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._now_ms = 0
        self._loaded: queue.Queue[RecipeLoaded] = queue.Queue()
        self._loading = False
        self._looks_with = JOBS[0]
        ignore: Any = lambda *_given, **_named: None  # noqa: E731
        gate: Any = SimpleNamespace(say=ignore, command=ignore, allow_heartbeat=ignore)
        books: Any = SimpleNamespace(
            plc=ignore,
            gate=ignore,
            examined=ignore,
            forget=ignore,
            recipe=ignore,
            closed=self.closed.append,
            dropped=ignore,
            event=ignore,
            reject_alarms=ignore,
            searched=ignore,
            camera_ready=False,
        )
        bench: Any = SimpleNamespace(
            locate=self._locate, examine=self._examine, look_with=self._look_with
        )
        part = PartSettings(
            belt_px_per_s=SPEED_PX_PER_MS * 1000,
            spacing_px=SPACING,
            min_interval_ms=250 if self._free_run else 70,
        )
        camera = CameraSettings(producer=Path("none.cti"), trigger=trigger)
        lane = LaneSettings(name="lane-1", recipe=Path("none"), camera=camera, part=part)
        self._changeover = Changeover(
            "lane-1",
            {job: Path(recipe) for job, recipe in enumerate(JOBS)},
            lambda path: self._eyes(path.name),
            self._loaded.put,
        )
        self._lane = Lane(
            lane,
            self._eyes(JOBS[0]),
            gate,
            bench,
            books,
            self._changeover,
            lambda _session, _count: 0,
        )

    def run(self, until_ms: int) -> list[tuple[str, str]]:
        """Let it run; of each part that may pass: whose it was, and whose recipe said so."""
        self._at(5, self._ticks)
        self._at(self._dice.randrange(20), self._exchanges)
        if self._free_run:
            self._at(0, self._exposes)
        else:
            for number, part_ms in enumerate(self._parts_ms, 1):
                self._sends(number, part_ms)
        while self._to_come and self._to_come[0][0] <= until_ms:
            self._now_ms, _, happens = heapq.heappop(self._to_come)
            happens()
        passed = []
        for closed in self.closed:
            if closed.verdict.outcome is Outcome.PASS:
                assert closed.trigger_ns is not None
                at_ms = closed.trigger_ns / MS
                part_ms = min(self._parts_ms, key=lambda part_ms: abs(part_ms - at_ms))
                passed.append((self._job(part_ms), closed.verdict.recipe))
        return passed

    def _job(self, at_ms: int) -> str:
        asked = [job for since_ms, job in self._changes_ms if since_ms <= at_ms]
        return JOBS[asked[-1] if asked else 0]

    def _at(self, at_ms: int, happens: Callable[[], None]) -> None:
        heapq.heappush(self._to_come, (at_ms, next(self._order), happens))

    def _after(self, some_ms: int, event: Event) -> None:
        self._at(self._now_ms + some_ms, lambda: self._handle(event))

    def _handle(self, event: Event) -> None:
        self._loading = self._loading and not isinstance(event, RecipeLoaded)
        self._lane.handle(event, self._now_ms * MS)
        if not self._changeover.judging and not self._loading:
            self._loading = True
            self._after(self._dice.choice([1, 20, 200, 400, 1200]), self._loaded.get(timeout=10))

    def _ticks(self) -> None:
        self._lane.tick(self._now_ms * MS)
        self._at(self._now_ms + 5, self._ticks)

    # -- the PLC -----------------------------------------------------------------------------------

    def _exchanges(self) -> None:
        """The PLC's word of this scan is on its way, quickly or so slowly that no part can be dated by it."""
        dice, scan_ms = self._dice, self._now_ms
        slow = dice.random() < 0.05
        late_ms, way_ms = (dice.randrange(100), 100) if slow else (dice.randrange(3), 4)
        if not any(
            since_ms <= scan_ms + way_ms <= until_ms for since_ms, until_ms in self._down_ms
        ):
            counted = [] if self._free_run else [p for p in self._parts_ms if p <= scan_ms]
            eyes = [PhotoEye(n, (at + late_ms) * MS) for n, at in enumerate(counted, 1)]
            told = Incoming(
                session=7,
                part_count=len(counted),
                photo_eyes=tuple(eyes[-8:]),
                watched_ns=(scan_ms + late_ms) * MS,
                uncertainty_ns=way_ms * MS,
                plc_running=True,
                line_alive=True,
                belt_stands=False,
                unconfirmed=False,
                gate_results=(),
                gate_results_lost=0,
                commands_overrun=0,
                round_trip_ns=way_ms * MS,
                job=JOBS.index(self._job(scan_ms)),
            )
            self._after(way_ms, GateAnswered("lane-1", told))
        self._at(scan_ms + way_ms + 10, self._exchanges)

    # -- camera and workbench ----------------------------------------------------------------------

    def _sends(self, number: int, exposed_ms: int) -> None:
        way_ms = 20 if self._free_run else self._dice.choice([20, 20, 60, 380])
        frame = _frame(number, exposed_ms, exposed_ms + way_ms)
        self._at(exposed_ms + way_ms, lambda: self._handle(frame))

    def _exposes(self) -> None:
        """Free run: a frame every 50 ms."""
        self._sends(self._now_ms, self._now_ms)
        self._at(self._now_ms + 50, self._exposes)

    def _locate(self, frame: FrameInfo) -> bool:
        exposed_ms = frame.exposed_ns // MS
        places = [WIDTH / 2 + SPEED_PX_PER_MS * (exposed_ms - part) for part in self._parts_ms]
        cups = tuple(
            CupOutline(x, 930.0, RADIUS, RADIUS <= x <= WIDTH - RADIUS, 1.0)
            for x in places
            if 0 <= x <= WIDTH
        )
        self._after(30, Located(frame, cups))
        return True

    def _examine(
        self, part: PartId, frame: FrameInfo, _outline: CupOutline | None, _deadline_ns: int
    ) -> bool:
        clean = Verdict(part, Outcome.PASS, Reason.CLEAN, 0.1, recipe=self._looks_with)
        found = Examined(part, frame_key(frame), Examination(clean, None, None, {}), 0)
        self._after(self._dice.choice([10, 60, 300, 700]), found)
        return True

    def _look_with(self, _lane: str, eyes: Eyes) -> None:
        self._looks_with = eyes.label

    @staticmethod
    def _eyes(recipe: str) -> Eyes:
        nothing: Any = None
        return Eyes(nothing, nothing, nothing, recipe)


def _frame(number: int, exposed_ms: int, received_ms: int) -> FrameInfo:
    return FrameInfo(
        "lane-1",
        1,
        number,
        0,
        number,
        WIDTH,
        1860,
        "BayerRG8",
        exposed_ms * MS,
        received_ms * MS,
        complete=True,
    )


@pytest.mark.parametrize("trigger", ["hardware", "free_run"])
def test_each_product_passes_by_its_own_recipe_before_and_after_a_change(trigger: Trigger) -> None:
    parts_ms = list(range(1000, 9000, 500))
    passed = Line(trigger, random.Random(1), parts_ms, [(4700, 1)], []).run(11_000)
    assert set(passed) == {("job-0", "job-0"), ("job-1", "job-1")}


@pytest.mark.parametrize("trigger", ["hardware", "free_run"])
@settings(max_examples=60, deadline=None)
@example(seed=70750)  # free run: the job comes back while a part of the other is in hand
@given(seed=st.integers(0, 2**32 - 1))
def test_no_part_passes_by_another_jobs_recipe_whatever_is_late_when_the_product_changes(
    trigger: Trigger, seed: int
) -> None:
    dice = random.Random(seed)
    parts_ms, changes_ms, down_ms = [1000], [], []
    while parts_ms[-1] < 8000:
        apart_ms = [300, 350, 500] if trigger == "free_run" else [110, 200, 300, 500]
        parts_ms.append(parts_ms[-1] + dice.choice(apart_ms))
    at_ms = up_ms = 0
    while (at_ms := at_ms + dice.randrange(1000, 3000)) < 8000:
        changes_ms.append((at_ms, dice.randrange(len(JOBS))))
        since_ms = at_ms - dice.randrange(900)
        # A product that came and went while nobody could ask is known to nobody.
        if since_ms > up_ms + 200 and dice.random() < 0.5:
            up_ms = since_ms + 900
            down_ms.append((since_ms, up_ms))
    for job, recipe in Line(trigger, dice, parts_ms, changes_ms, down_ms).run(10_000):
        assert recipe == job, f"a part of {job} passed by the recipe of {recipe}"
