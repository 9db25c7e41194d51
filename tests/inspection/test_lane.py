"""What a lane does with what it is told, seen from what it tells gate, books and camera."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from inspector.config import CameraSettings, LaneSettings, RejectAlarmSettings, Trigger
from inspector.gate import Incoming, LineState
from inspector.gate.protocol import PhotoEye
from inspector.inspection.events import GateAnswered
from inspector.inspection.lane import Lane
from inspector.tracking import RejectAlarm

MS = 1_000_000


def a_lane(said: dict[str, Any], *, stop: bool = False, trigger: Trigger = "hardware") -> Lane:
    """A lane that notes what it tells gate, books and camera; nothing else is there."""
    settings = LaneSettings(
        name="lane-1",
        recipe=Path("none"),
        camera=CameraSettings(producer=Path("none.cti"), trigger=trigger),
        reject_alarm=RejectAlarmSettings(in_a_row=3, stop=stop),
    )
    ignore: Any = lambda *_given, **_named: None  # noqa: E731
    gate: Any = SimpleNamespace(
        say=lambda state: said.update(state=state), command=ignore, allow_heartbeat=ignore
    )
    books: Any = SimpleNamespace(
        plc=ignore,
        gate=ignore,
        closed=ignore,
        dropped=ignore,
        camera_ready=False,
        reject_alarms=lambda raised, stop: said.update(raised=raised, stop=stop),
    )
    camera: Any = SimpleNamespace(trigger=lambda: said.update(triggered=True))
    nothing: Any = None
    return Lane(settings, camera, gate, nothing, books, lambda session, _count: (session, 0))


def reading(number: int, now_ns: int) -> GateAnswered:
    eyes = tuple(PhotoEye(n, n * 300 * MS) for n in range(1, number + 1))
    told = Incoming(7, number, eyes, now_ns - MS, 0, True, True, False, False, (), 0, 0, MS)
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
