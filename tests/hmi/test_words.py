"""The page says in plain words what the line does."""

import pytest

from inspector.core.verdict import Reason
from inspector.hmi.words import REASONS, Level, duration, lane_headline, line_headline
from inspector.records.status import (
    Alarm,
    CameraStatus,
    LaneStatus,
    LineState,
    LineStatus,
    PlcStatus,
)


def lane(name: str = "lane-1", **changes: object) -> LaneStatus:
    usual: dict[str, object] = {
        "name": name,
        "recipe": "type-01",
        "camera": CameraStatus(state="ready"),
        "plc": PlcStatus(up=True),
    }
    return LaneStatus.model_validate(usual | changes)


def line(*lanes: LaneStatus, state: LineState = LineState.RUNNING, **changes: object) -> LineStatus:
    usual: dict[str, object] = {
        "line": "Hall 3",
        "state": state,
        "started": 0.0,
        "updated": 0.0,
        "lanes": lanes or (lane(),),
    }
    return LineStatus.model_validate(usual | changes)


UNPLUGGED = CameraStatus(
    state="lost", reason="camera lane-1 is unplugged; check the cable and its power"
)


def test_every_reason_has_its_words() -> None:
    assert set(REASONS) == set(Reason)
    assert len(set(REASONS.values())) == len(REASONS)


def test_a_line_that_works_is_running() -> None:
    assert line_headline(line(), silent_s=0.4).title == "Running"


def test_a_line_that_never_wrote_is_told() -> None:
    headline = line_headline(None, 0.0)

    assert headline.level is Level.SILENT
    assert headline.title == "No news from the line"


def test_a_silent_line_is_told_with_how_long() -> None:
    headline = line_headline(line(), silent_s=4.2)

    assert headline.level is Level.SILENT
    assert headline.title == "No news from the line for 4 s"


@pytest.mark.parametrize("state", [LineState.STARTING, LineState.STOPPING, LineState.RUNNING])
def test_silence_is_told_whatever_the_line_said_last(state: LineState) -> None:
    assert line_headline(line(state=state), silent_s=3.0).level is Level.SILENT


def test_a_line_that_was_stopped_is_not_missed() -> None:
    assert line_headline(line(state=LineState.STOPPED), silent_s=4000.0).title == "Stopped"


def test_an_unplugged_camera_is_told_with_its_remedy() -> None:
    headline = line_headline(line(lane(camera=UNPLUGGED), state=LineState.REJECTING), 0.0)

    assert headline.level is Level.REJECTING
    assert headline.title == "Rejecting everything: camera lane-1 is unplugged"
    assert headline.detail == "check the cable and its power"


def test_a_lost_camera_is_told_even_where_the_line_says_it_runs() -> None:
    assert line_headline(line(lane(camera=UNPLUGGED)), 0.0).level is Level.REJECTING


def test_a_lost_plc_is_told() -> None:
    status = line(lane(plc=PlcStatus(up=False, reason="no link to the PLC; check its cable")))

    assert "no link to the PLC" in line_headline(status, 0.0).title


def test_a_lane_whose_camera_or_plc_has_not_said_a_word_yet_is_starting() -> None:
    opening = lane(camera=CameraStatus(state="starting"), rejecting=True)
    calling = lane(plc=PlcStatus(up=False), rejecting=True)

    assert lane_headline(opening).detail == "The camera is being opened"
    assert lane_headline(calling).detail == "The gate has not answered yet"
    assert {lane_headline(each).level for each in (opening, calling)} == {Level.WAITING}


def test_one_lane_of_two_does_not_stand_for_the_line() -> None:
    status = line(lane(camera=UNPLUGGED), lane("lane-2"))

    assert line_headline(status, 0.0).title.startswith("lane-1 rejects everything:")
    assert lane_headline(status.lanes[1]).title == "Running"


def test_an_alarm_is_told_while_the_line_runs() -> None:
    alarm = Alarm(text="the disk is nearly full", remedy="Free some disk")
    headline = line_headline(line(alarms=(alarm,)), 0.0)

    assert headline.level is Level.ATTENTION
    assert headline.title == "Running, but: the disk is nearly full"
    assert headline.detail == "Free some disk"


def test_a_gate_that_is_shut_for_an_alarm_does_not_run() -> None:
    alarm = Alarm(text="a reject was not seen to fall; nothing passes", remedy="See the diverter")
    shut = lane(rejecting=True, alarms=(alarm,))

    assert lane_headline(shut).level is Level.REJECTING
    headline = line_headline(line(shut, lane("lane-2")), 0.0)
    assert (
        headline.title == "lane-1 rejects everything: a reject was not seen to fall; nothing passes"
    )


def test_rejecting_everything_for_a_reason_of_its_own() -> None:
    alarm = Alarm(text="the networks disagree with their golden images", remedy="Reload")
    headline = line_headline(line(lane(alarms=(alarm,)), state=LineState.REJECTING), 0.0)

    assert headline.title == "Rejecting everything: the networks disagree with their golden images"


@pytest.mark.parametrize(
    ("seconds", "words"), [(3.9, "4 s"), (99.0, "99 s"), (100.0, "2 min"), (7200.0, "2 h")]
)
def test_durations_are_said_as_one_says_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words
