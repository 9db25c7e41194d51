"""What ends the inspection process, so that the supervisor starts it anew."""

import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from inspector.config import CameraSettings, LaneSettings
from inspector.inspection.__main__ import Inspection

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


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_when_nobody_listens_to_a_camera_any_more_inspection_ends_and_says_to_whose() -> None:
    def fails(_lane: object) -> None:
        raise ZeroDivisionError("nobody thought of this")

    stopping = threading.Event()
    # Turns until the thread is seen to be gone; were it not looked for, the line would run on.
    turns = iter([*[lambda: stopping.wait(0.01)] * 500, stopping.set])
    gate = SimpleNamespace(start=lambda: None, alive=True)
    inspection: Any = SimpleNamespace(
        _lanes={"lane-1": SimpleNamespace(settings=SETTINGS, gate=gate)},
        _listen=fails,
        _stopping=stopping,
        _turn=lambda: next(turns)(),
        _write_status=lambda _now_ns: None,
        _journal=SimpleNamespace(flush=lambda: None),
        _workbench=SimpleNamespace(alive=True),
        _stop=lambda: None,
    )
    with pytest.raises(RuntimeError, match="nobody listens to the camera of lane-1"):
        Inspection.run(inspection)


def test_inspection_that_failed_ends_though_an_engine_hangs_in_it() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", HANGING], capture_output=True, text=True, timeout=40, check=False
    )
    assert ended.returncode == 1
    assert "RuntimeError: its engine hangs" in ended.stderr
