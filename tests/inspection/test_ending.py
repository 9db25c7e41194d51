"""What ends the inspection process, so that the supervisor starts it anew."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from inspector.config import CameraSettings, LaneSettings
from inspector.inspection import gate_link
from inspector.inspection.__main__ import Inspection, _resume
from inspector.inspection.gate_link import GateLink

SETTINGS = LaneSettings(
    name="lane-1", recipe=Path("none"), camera=CameraSettings(producer=Path("none.cti"))
)
HANGING = """
import sys, threading, time
from inspector.inspection import __main__ as inspection

class Inspection:
    def __init__(self, *given, **named): pass
    def run(self):
        # Not a daemon: as a library's own threads may be, it holds up the interpreter's end.
        threading.Thread(target=time.sleep, args=(60,)).start()
        raise RuntimeError("its engine hangs")

inspection.Inspection = Inspection
inspection.load_line = lambda path: type("Line", (), {"log_level": "info", "lanes": ()})
sys.argv = ["inspection", "--config", "none", "--status", "none", "--lane-fds", "a:1:1", "--pictures-fd", "1"]
sys.exit(inspection.main())
"""


def running(gate: Any, listen: Callable[[object], object]) -> Any:
    """Inspection of one lane that turns for some seconds at most."""
    stopping = threading.Event()
    # Were what ends it not looked for, the line would run on.
    turns = iter([*[lambda: stopping.wait(0.01)] * 500, stopping.set])
    return SimpleNamespace(
        _lanes={"lane-1": SimpleNamespace(settings=SETTINGS, gate=gate)},
        _listen=listen,
        _stopping=stopping,
        _turn=lambda: next(turns)(),
        _write_status=lambda _now_ns: None,
        _journal=SimpleNamespace(flush=lambda: None),
        _workbench=SimpleNamespace(alive=True),
        _stop=lambda: None,
    )


def fails(*_given: object) -> None:
    raise ZeroDivisionError("nobody thought of this")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_when_nobody_listens_to_a_camera_any_more_inspection_ends_and_says_to_whose() -> None:
    gate = SimpleNamespace(start=lambda: None, alive=True)
    with pytest.raises(RuntimeError, match="nobody listens to the camera of lane-1"):
        Inspection.run(running(gate, fails))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_when_nobody_speaks_with_a_plc_any_more_inspection_ends_and_says_with_whose(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wire = SimpleNamespace(exchange=fails, close=lambda: None)
    monkeypatch.setattr(gate_link, "open_lane_gate", lambda *_given: wire)
    over = threading.Event()
    gate = GateLink(SETTINGS, lambda _event: None)
    with pytest.raises(RuntimeError, match="nobody speaks with the gate of lane-1"):
        Inspection.run(running(gate, lambda _lane: over.wait(30)))
    over.set()


def test_inspection_that_failed_ends_though_an_engine_hangs_in_it() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", HANGING], capture_output=True, text=True, timeout=40, check=False
    )
    assert ended.returncode == 1
    assert "RuntimeError: its engine hangs" in ended.stderr


def test_a_status_folder_that_takes_nothing_does_not_end_inspection_at_its_first_contact(
    tmp_path: Path,
) -> None:
    past = _resume(tmp_path / "records", "lane-1", tmp_path / "gone" / "first-contact.json")
    assert past(7, 57) == 57
