"""What a lane does with what it is told, seen from what it tells gate, books and camera."""

import queue
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest

from inspector.config import CameraSettings, LaneSettings, RejectAlarmSettings, Trigger
from inspector.core.frame import FrameInfo
from inspector.core.verdict import Outcome, Reason, Verdict
from inspector.gate import JOB_REFUSED, Incoming, LineState
from inspector.gate.protocol import PhotoEye
from inspector.inspection.changeover import Changeover
from inspector.inspection.events import Examined, GateAnswered, Located
from inspector.inspection.eyes import Eyes
from inspector.inspection.judge import Examination
from inspector.inspection.lane import Lane
from inspector.tracking import RejectAlarm, frame_key
from inspector.vision import CupOutline

MS = 1_000_000


def a_lane(
    said: dict[str, Any],
    *,
    stop: bool = False,
    trigger: Trigger = "hardware",
    rows: Mapping[int, int] = MappingProxyType({}),
    camera_ready: bool = False,
) -> Lane:
    """A lane that notes what it tells gate, books and camera; nothing else is there."""
    settings = LaneSettings(
        name="lane-1",
        recipe=Path("none"),
        camera=CameraSettings(producer=Path("none.cti"), trigger=trigger),
        reject_alarm=RejectAlarmSettings(in_a_row=3, stop=stop),
    )
    ignore: Any = lambda *_given, **_named: None  # noqa: E731
    gate: Any = SimpleNamespace(
        say=lambda state, job, recipe: said.update(state=state, job=job, recipe=recipe),
        command=lambda closed, _now: said.setdefault("commands", []).append(closed.verdict.reason),
        allow_heartbeat=ignore,
    )
    books: Any = SimpleNamespace(
        plc=lambda up, reason: said.update(plc_up=up, plc_reason=reason),
        gate=ignore,
        closed=lambda closed: said.setdefault("closed", []).append(
            (closed.part.session, closed.part.number)
        ),
        dropped=lambda what, *_count: said.setdefault("dropped", []).append(what),
        camera_ready=camera_ready,
        event=ignore,
        examined=ignore,
        searched=ignore,
        forget=lambda part: said.update(forgotten=part),
        recipe=lambda label, fault: said.update(recipe=label, fault=fault),
        reject_alarms=lambda raised, stop: said.update(raised=raised, stop=stop),
    )
    camera: Any = SimpleNamespace(
        trigger=lambda: said.update(triggered=True),
        reopen=lambda reason: said.update(reopened=reason),
    )
    workbench: Any = SimpleNamespace(
        locate=lambda _frame: True,
        examine=lambda part, frame, _outline, _deadline: said.update(asked=(part, frame)) or True,
        look_with=lambda _lane, eyes: said.update(looks_with=eyes.label),
    )
    changeover = Changeover(
        "lane-1",
        {0: Path("old"), 1: Path("new"), 2: Path("damaged")},
        lambda path: eyes_of(path.name, camera),
        lambda loaded: said["loaded"].put(loaded),
    )
    said["loaded"] = queue.Queue()
    old = eyes_of("old", camera)
    return Lane(
        settings,
        old,
        gate,
        workbench,
        books,
        changeover,
        lambda session, _count: rows.get(session, 0),
    )


def eyes_of(recipe: str, camera: Any) -> Eyes:
    nothing: Any = None
    fault = "it was changed; restore it" if recipe == "damaged" else ""
    return Eyes(camera, nothing, nothing, recipe, fault)


def reading(number: int, now_ns: int, job: int = 0) -> GateAnswered:
    eyes = tuple(PhotoEye(n, n * 300 * MS) for n in range(1, number + 1))
    told = Incoming(7, number, eyes, now_ns - MS, 0, True, True, False, False, (), 0, 0, MS, job)
    return GateAnswered("lane-1", told)


@pytest.mark.parametrize("stop", [True, False])
def test_parts_without_frames_one_after_the_other_are_an_alarm(stop: bool) -> None:
    said: dict[str, Any] = {}
    lane = a_lane(said, stop=stop)
    lane.handle(reading(0, 100 * MS), 100 * MS)
    for number in (1, 2, 3):
        now_ns = number * 300 * MS + 20 * MS
        lane.handle(reading(number, now_ns), now_ns)
        lane.tick(now_ns + 200 * MS)
    assert said.get("raised", frozenset()) == frozenset()
    lane.tick(2_000 * MS)
    assert said["raised"] == {RejectAlarm.IN_A_ROW}
    assert said["stop"] == stop
    assert said["state"] is (LineState.FAULT if stop else LineState.RUNNING)


@pytest.mark.parametrize(("late_ms", "triggers"), [(10, True), (25, False)])
def test_a_software_trigger_too_late_to_show_its_own_part_for_certain_is_not_fired(
    late_ms: int, triggers: bool
) -> None:
    said: dict[str, Any] = {}
    lane = a_lane(said, trigger="software")
    lane.handle(reading(0, 100 * MS), 100 * MS)
    now_ns = (300 + late_ms) * MS
    lane.handle(reading(1, now_ns), now_ns)
    assert said.get("triggered", False) == triggers


def test_a_software_trigger_is_fired_for_a_count_whose_session_is_a_smaller_number() -> None:
    """A PLC that was loaded anew has lost its start counter, and counts its starts from 1 again."""
    said: dict[str, Any] = {}
    lane = a_lane(said, trigger="software")
    for session in (57, 1):
        said.pop("triggered", None)
        for number in (0, 1):
            now_ns = number * 300 * MS + 10 * MS
            told = reading(number, now_ns)
            lane.handle(replace(told, reading=replace(told.reading, session=session)), now_ns)
        assert said.get("triggered"), f"no part of session {session} gets a frame"


@pytest.mark.parametrize(
    ("timed", "why", "remedy"),
    [
        (True, "no frame though the camera answers", "check the trigger line"),
        (False, "no frame of which is known when it was exposed", "whose clock can be latched"),
    ],
)
def test_a_camera_whose_frames_cannot_be_dated_is_not_told_to_have_sent_none(
    timed: bool, why: str, remedy: str
) -> None:
    said: dict[str, Any] = {}
    lane = a_lane(said, camera_ready=True)
    lane.handle(reading(0, 100 * MS), 100 * MS)
    for number in range(1, 6):
        now_ns = number * 300 * MS + 20 * MS
        lane.handle(reading(number, now_ns), now_ns)
        if not timed:
            lane.handle(replace(a_frame(number), timed=False), now_ns)
        lane.tick(now_ns + 200 * MS)
    lane.tick(3_000 * MS)
    assert why in said["reopened"]
    assert remedy in said["reopened"]


def test_a_part_told_again_with_every_exchange_triggers_once() -> None:
    said: dict[str, Any] = {}
    lane = a_lane(said, trigger="software")
    lane.handle(reading(0, 100 * MS), 100 * MS)
    lane.handle(reading(1, 305 * MS), 305 * MS)
    assert said.pop("triggered")
    lane.handle(reading(1, 310 * MS), 310 * MS)
    assert "triggered" not in said


def test_parts_told_in_an_answer_too_slow_to_date_them_wait_for_a_quicker_one() -> None:
    """After a start there is only that one: by it a part would be dated as late as its successor came."""
    said: dict[str, Any] = {}
    lane = a_lane(said)
    lane.handle(reading(0, 100 * MS), 100 * MS)
    now_ns = 320 * MS
    slow = reading(1, now_ns)
    lane.handle(replace(slow, reading=replace(slow.reading, uncertainty_ns=30 * MS)), now_ns)
    lane.handle(a_frame(1), now_ns)
    assert "asked" not in said
    assert said["dropped"] == ["exchange_too_slow"]
    lane.handle(reading(1, now_ns + 10 * MS), now_ns + 10 * MS)
    part, frame = said["asked"]
    assert (part.number, frame.frame_id) == (1, 1)


def test_a_plc_that_stays_too_slow_is_a_link_that_is_down_and_says_why() -> None:
    said: dict[str, Any] = {}
    lane = a_lane(said)
    for now_ns in range(100 * MS, 1_200 * MS, 100 * MS):
        slow = reading(0, now_ns)
        lane.handle(replace(slow, reading=replace(slow.reading, uncertainty_ns=30 * MS)), now_ns)
        assert said["plc_up"] == (now_ns < 1_100 * MS)
    assert "answers too slowly" in said["plc_reason"]
    lane.handle(reading(0, 1_300 * MS), 1_300 * MS)
    assert (said["plc_up"], said["plc_reason"]) == (True, "")


def test_a_plc_that_counts_anew_under_the_same_session_is_told_with_its_remedy() -> None:
    """Its parts bear numbers that had their verdicts: they get none, and all were rejected in silence."""
    said: dict[str, Any] = {}
    lane = a_lane(said)
    for number in (0, 1, 2, 3):
        lane.handle(reading(number, number * 300 * MS + 10 * MS), number * 300 * MS + 10 * MS)
        assert said["plc_up"]
    for number in (0, 2):
        lane.handle(reading(number, 2_000 * MS), 2_000 * MS)
        assert not said["plc_up"]
        assert "counts anew under the same session 7" in said["plc_reason"]
        assert "; let its program change session" in said["plc_reason"]
    anew = reading(0, 2_100 * MS)
    lane.handle(replace(anew, reading=replace(anew.reading, session=8)), 2_100 * MS)
    assert said["plc_up"]


def test_a_plc_that_returns_to_a_session_that_has_ended_is_told_with_its_remedy() -> None:
    """Its parts are ignored, and so it rejected all of them in silence."""
    said: dict[str, Any] = {}
    lane = a_lane(said)
    for session in (7, 8, 7):
        told = reading(0, 100 * MS)
        lane.handle(replace(told, reading=replace(told.reading, session=session)), 100 * MS)
    assert not said["plc_up"]
    assert "counts under session 7 again, which has ended; let its program" in said["plc_reason"]
    told = reading(0, 200 * MS)
    lane.handle(replace(told, reading=replace(told.reading, session=9)), 200 * MS)
    assert said["plc_up"]


def test_a_plc_that_counted_anew_while_the_line_was_away_is_told_with_its_remedy() -> None:
    said: dict[str, Any] = {}
    lane = a_lane(said, rows={7: 100})
    for now_ns in (300 * MS, 310 * MS):
        lane.handle(reading(1, now_ns), now_ns)
    assert not said["plc_up"]


def test_a_plc_that_returns_to_a_session_of_which_there_are_rows_is_told_with_its_remedy() -> None:
    """Loaded anew it counts its starts from 1 again: each part's row was refused, and nobody was told."""
    said: dict[str, Any] = {}
    lane = a_lane(said, rows={1: 100})
    for session in (57, 1):
        for number in (0, 1):
            told = reading(number, number * 300 * MS + 10 * MS)
            told = replace(told, reading=replace(told.reading, session=session))
            lane.handle(told, number * 300 * MS + 10 * MS)
    assert not said["plc_up"]
    assert "counts anew under the same session 1: part 1 after 100; let" in said["plc_reason"]
    lane.tick(3_000 * MS)
    # Part 1 of session 57 is known to be over; part 1 of session 1 has its row of before.
    assert said["closed"] == [(57, 1)]


def test_in_free_run_a_count_has_a_session_of_which_there_are_no_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A computer whose clock has no battery starts at the same time twice."""
    monkeypatch.setattr("time.time", lambda: 1_000.5)
    for rows in ({}, {1_000: 40}, {1_000: 40, 1_001: 90}):
        said: dict[str, Any] = {}
        lane = a_lane(said, trigger="free_run", rows=rows)
        for exposed_ms in range(0, 3_000, 50):
            frame = replace(a_frame(1), frame_id=exposed_ms, width=2880, exposed_ns=exposed_ms * MS)
            lane.handle(frame, frame.exposed_ns)
            x = 1440 + 7.0 * (exposed_ms - 1_000)
            cups = (CupOutline(x, 4.0, 2.0, True, 1.0),) if 0 <= x <= 2880 else ()
            lane.handle(Located(frame, cups), frame.exposed_ns)
            lane.tick(frame.exposed_ns)
        assert said["closed"] == [(1_000 + len(rows), 1)]


def test_in_free_run_the_gate_gets_no_heartbeat_while_the_plcs_clock_is_not_known() -> None:
    said: dict[str, Any] = {}
    lane = a_lane(said, trigger="free_run")
    lane.tick(100 * MS)
    quick = reading(0, 100 * MS)
    lane.handle(replace(quick, reading=replace(quick.reading, uncertainty_ns=30 * MS)), 100 * MS)
    assert not lane.healthy(100 * MS)
    lane.handle(quick, 110 * MS)
    assert lane.healthy(110 * MS)


def a_frame(number: int) -> FrameInfo:
    at_ns = number * 300 * MS
    return FrameInfo(
        "lane-1", 1, number, 0, 0, 8, 8, "Mono8", at_ns, at_ns + 20 * MS, complete=True
    )


def looked_at(said: dict[str, Any], recipe: str) -> Examined:
    """The workbench's answer: nothing found, by this recipe."""
    part, frame = said["asked"]
    verdict = Verdict(part, Outcome.PASS, Reason.CLEAN, 0.1, recipe=recipe)
    return Examined(part, frame_key(frame), Examination(verdict, None, None, {}), 0)


def see(lane: Lane, number: int, job: int = 0) -> int:
    """A part comes past and its frame arrives; the time after that."""
    now_ns = number * 300 * MS + 20 * MS
    lane.handle(reading(number, now_ns, job), now_ns)
    lane.handle(a_frame(number), now_ns)
    return now_ns + 50 * MS


def test_while_another_recipe_is_loaded_nothing_passes_and_then_the_new_one_judges() -> None:
    said: dict[str, Any] = {}
    lane = a_lane(said)
    lane.handle(reading(0, 100 * MS), 100 * MS)
    see(lane, 1, job=1)
    assert (said["state"], said["job"]) == (LineState.STARTING, 0)
    assert "asked" not in said
    lane.handle(said["loaded"].get(timeout=5), 400 * MS)
    assert (said["state"], said["job"], said["looks_with"]) == (LineState.RUNNING, 1, "new")
    assert said["recipe"] == "new"
    now_ns = see(lane, 2, job=1)
    lane.handle(looked_at(said, "new"), now_ns)
    lane.handle(reading(2, now_ns + 500 * MS, job=1), now_ns + 500 * MS)
    assert said["commands"] == [Reason.CHANGEOVER, Reason.CLEAN]


def test_what_the_old_recipe_says_after_the_change_does_not_count() -> None:
    said: dict[str, Any] = {}
    lane = a_lane(said)
    lane.handle(reading(0, 100 * MS), 100 * MS)
    now_ns = see(lane, 1)
    lane.handle(reading(1, now_ns, job=1), now_ns)
    lane.handle(said["loaded"].get(timeout=5), now_ns)
    lane.handle(looked_at(said, "old"), now_ns + 10 * MS)
    assert said["commands"] == [Reason.CHANGEOVER]


def test_a_frame_of_the_old_product_that_comes_after_the_change_is_not_judged_by_the_new_recipe() -> (
    None
):
    """A frame may be under way for longer than a recipe takes to load."""
    said: dict[str, Any] = {}
    lane = a_lane(said)
    lane.handle(reading(0, 100 * MS), 100 * MS)
    lane.handle(reading(1, 310 * MS, job=1), 310 * MS)
    lane.handle(said["loaded"].get(timeout=5), 500 * MS)
    lane.handle(a_frame(1), 550 * MS)
    assert "asked" not in said
    assert said["commands"] == [Reason.CHANGEOVER]


def test_a_job_that_is_not_there_shuts_the_gate_until_another_is_asked_for() -> None:
    said: dict[str, Any] = {}
    lane = a_lane(said)
    lane.handle(reading(0, 100 * MS, job=7), 100 * MS)
    assert (said["state"], said["job"]) == (LineState.FAULT, JOB_REFUSED)
    assert said["fault"] == "the PLC asks for job 7; name its recipe under jobs"
    see(lane, 1, job=7)
    assert said["commands"] == [Reason.CHANGEOVER]
    lane.handle(reading(1, 400 * MS, job=0), 400 * MS)
    lane.handle(said["loaded"].get(timeout=5), 410 * MS)
    assert (said["state"], said["job"]) == (LineState.RUNNING, 0)


@pytest.mark.parametrize("refused", [2, 7], ids=["damaged", "not there"])
def test_a_job_asked_for_after_one_that_was_refused_is_not_said_to_be_refused_while_it_is_loaded(
    refused: int,
) -> None:
    said: dict[str, Any] = {}
    lane = a_lane(said)
    lane.handle(reading(0, 100 * MS, job=refused), 100 * MS)
    if refused == 2:
        lane.handle(said["loaded"].get(timeout=5), 110 * MS)
    assert (said["state"], said["job"]) == (LineState.FAULT, JOB_REFUSED)
    lane.handle(reading(0, 120 * MS, job=1), 120 * MS)
    assert (said["state"], said["job"]) == (LineState.STARTING, 0)
    lane.handle(said["loaded"].get(timeout=5), 130 * MS)
    assert (said["state"], said["job"]) == (LineState.RUNNING, 1)


def test_what_was_seen_of_a_part_that_is_closed_already_is_not_kept() -> None:
    said: dict[str, Any] = {}
    lane = a_lane(said)
    lane.handle(reading(0, 100 * MS), 100 * MS)
    see(lane, 1)
    lane.tick(2_000 * MS)
    assert said["commands"] == [Reason.LATE]
    lane.handle(looked_at(said, "old"), 2_010 * MS)
    assert said["forgotten"].number == 1


def test_a_recipe_that_cannot_be_used_shuts_the_gate_and_says_itself_why_of_each_part() -> None:
    said: dict[str, Any] = {}
    lane = a_lane(said)
    lane.handle(reading(0, 100 * MS, job=2), 100 * MS)
    lane.handle(said["loaded"].get(timeout=5), 110 * MS)
    assert (said["state"], said["job"]) == (LineState.FAULT, JOB_REFUSED)
    assert said["fault"] == "it was changed; restore it"
    see(lane, 1, job=2)
    assert said["asked"][0].number == 1
    assert said["looks_with"] == "damaged"


def test_a_wish_that_changes_while_a_recipe_is_loaded_is_the_one_that_counts() -> None:
    said: dict[str, Any] = {}
    lane = a_lane(said)
    lane.handle(reading(0, 100 * MS, job=1), 100 * MS)
    lane.handle(reading(0, 110 * MS, job=0), 110 * MS)
    first = said["loaded"].get(timeout=5)
    lane.handle(first, 120 * MS)
    assert said["state"] is LineState.STARTING
    lane.handle(said["loaded"].get(timeout=5), 130 * MS)
    assert (said["state"], said["job"], said["looks_with"]) == (LineState.RUNNING, 0, "old")
