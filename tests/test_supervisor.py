"""What the supervisor does about processes that end, and about those that cannot be started."""

import errno
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inspector.config import LineSettings, load_line
from inspector.line import Line, _Process
from inspector.telemetry import metrics


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    """A line whose only process is one that waits to be stopped."""
    monkeypatch.setenv(metrics.MULTIPROCESS_VARIABLE, "put back afterwards")
    lane = {"name": "lane-1", "recipe": "none", "camera": {"producer": "none.cti"}}
    settings = LineSettings.model_validate({"lanes": [lane], "metrics": {"port": 0}})
    made = Line(settings, tmp_path / "run")
    made._processes = [_Process("page", ["-c", "import time; time.sleep(60)"])]
    yield made
    made.stop()


def test_every_process_reads_the_settings_that_held_when_the_line_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is started anew hours later, too: what the file says by then is for the next start."""
    monkeypatch.setenv(metrics.MULTIPROCESS_VARIABLE, "put back afterwards")
    file = tmp_path / "line.yaml"
    lane = "{name: lane-1, recipe: type-01, jobs: {3: type-03}, camera: {producer: none.cti}}"
    file.write_text(f"lanes: [{lane}]\nmetrics: {{port: 0}}")
    settings = load_line(file)
    made = Line(settings, tmp_path / "run")
    file.write_text("half a")
    try:
        for process in made._processes:
            after = process.command.index("--config") + 1
            assert load_line(Path(process.command[after])) == settings
    finally:
        made.stop()


def test_a_machine_that_has_no_room_for_a_process_is_asked_again(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after one was killed for want of memory: ending the others would cost every lane its parts."""
    refused: list[Any] = []
    start = subprocess.Popen

    def no_room(*given: Any, **named: Any) -> Any:
        if len(refused) < 2:
            refused.append(given)
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return start(*given, **named)

    monkeypatch.setattr(subprocess, "Popen", no_room)
    (process,) = line._processes
    give_up_s = time.monotonic() + 20
    line.start()
    assert line.supervise(lambda: process.starts > 0 or time.monotonic() > give_up_s) == 0
    assert len(refused) == 2
    assert process.starts == 1
