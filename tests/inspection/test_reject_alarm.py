"""A lane whose parts are all rejected says so, and shuts the gate where that is wanted."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from inspector.config import CameraSettings, LaneSettings, RejectAlarmSettings
from inspector.gate import Incoming, LineState
from inspector.gate.protocol import PhotoEye
from inspector.inspection.events import GateAnswered
from inspector.inspection.lane import Lane
from inspector.tracking import RejectAlarm

MS = 1_000_000


def a_lane(said: dict[str, Any], *, stop: bool) -> Lane:
    """A lane that notes what it tells gate and books; nothing else is there."""
    settings = LaneSettings(
        name="lane-1",
        recipe=Path("none"),
        camera=CameraSettings(producer=Path("none.cti")),
        reject_alarm=RejectAlarmSettings(in_a_row=3, stop=stop),
    )
    ignore: Any = lambda *_given, **_named: None  # noqa: E731
    gate: Any = SimpleNamespace(
        say=lambda state: said.update(state=state), command=ignore, allow_heartbeat=ignore
    )
    books: Any = SimpleNamespace(
        plc=ignore,
        closed=ignore,
        dropped=ignore,
        camera_ready=False,
        reject_alarms=lambda raised, stop: said.update(raised=raised, stop=stop),
    )
    nothing: Any = None
    return Lane(settings, nothing, gate, nothing, books, lambda session, _count: (session, 0))


def reading(number: int, now_ns: int) -> GateAnswered:
    eyes = tuple(PhotoEye(n, n * 300 * MS) for n in range(1, number + 1))
    told = Incoming(7, number, eyes, now_ns - MS, 0, True, True, (), 0, 0, MS)
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
