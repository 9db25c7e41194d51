"""The thread that speaks with a PLC: while it is well, and when it ends."""

import queue
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from inspector.config import CameraSettings, LaneSettings
from inspector.gate import GateFault, GateLinkError
from inspector.inspection import gate_link
from inspector.inspection.__main__ import Inspection
from inspector.inspection.events import Event, GateFailed
from inspector.inspection.gate_link import GateLink

SETTINGS = LaneSettings(
    name="lane-1", recipe=Path("none"), camera=CameraSettings(producer=Path("none.cti"))
)


class Wire:
    """A gate of which each exchange fails as it is told to."""

    def __init__(self) -> None:
        self.error: Exception = GateLinkError(GateFault.NO_ANSWER, "the PLC is silent", "wake it")

    def exchange(self, _outgoing: object) -> None:
        raise self.error

    def close(self) -> None:
        pass


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    wire = Wire()
    monkeypatch.setattr(gate_link, "open_lane_gate", lambda *_given: wire)
    return wire


def test_a_plc_that_does_not_answer_is_tried_again_by_the_same_thread(wire: Wire) -> None:
    posted: queue.Queue[Event] = queue.Queue()
    link = GateLink(SETTINGS, posted.put)
    link.start()
    told = [posted.get(timeout=10) for _ in range(2)]
    assert told == [GateFailed("lane-1", "the PLC is silent; wake it")] * 2
    assert link.alive
    link.stop()
    assert not link.alive


def test_a_line_whose_plcs_are_all_silent_says_its_last_word_before_the_supervisor_ends_it(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(_outgoing: object) -> None:
        time.sleep(0.4)
        raise wire.error

    monkeypatch.setattr(wire, "exchange", slow)
    ignore: Any = lambda *_given, **_named: None  # noqa: E731
    lanes = {n: SimpleNamespace(stop=ignore, gate=GateLink(SETTINGS, ignore)) for n in range(4)}
    for lane in lanes.values():
        lane.gate.start()
    said_s: list[float] = []
    inspection: Any = SimpleNamespace(
        _lanes=lanes,
        _write_status=lambda _now_ns, stopped: said_s.append(time.monotonic()),
        _journal=SimpleNamespace(append=ignore, close=ignore),
        _workbench=SimpleNamespace(stop=ignore),
    )
    began_s = time.monotonic()
    Inspection._stop(inspection)
    assert said_s[0] - began_s < 1.0
