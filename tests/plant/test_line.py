"""A line on its own: a camera this project did not write, and faults while it runs."""

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import genicam
import psutil
import pytest
import yaml

from inspector.records.reading import open_ledger
from inspector.records.status import LineState, LineStatus, read_status
from inspector.twin.rig import create_rig

pytestmark = [pytest.mark.plant, pytest.mark.timeout(120)]
PROJECT = Path(__file__).parents[2]


class RunningLine:
    """A line with the maker-independent cameras `viky`, and the simulated PLC at its gates."""

    def __init__(self, directory: Path, lanes: int = 1) -> None:
        self.directory = directory
        self.recipe = directory / "recipe"
        shutil.copytree(PROJECT / "calibration" / "type-01", self.recipe)
        self.rigs = [create_rig(directory / f"rig-{number}") for number in range(lanes)]
        plc = [sys.executable, "-m", "inspector.twin.plc"]
        plc += [word for rig in self.rigs for word in ("--rig", str(rig.path))]
        self.plc = subprocess.Popen(
            [*plc, "--log", str(directory / "plc.jsonl"), "--mode", "free_run"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.plc.stdout is not None
        port = int(self.plc.stdout.readline().strip().removeprefix("ready port="))
        camera = {
            "producer": str(Path(genicam.__file__).parent / "viky.cti"),
            "pixel_format": "Mono8",
            "trigger": "free_run",
            "frame_rate_hz": 10,
        }
        configuration = directory / "line.yaml"
        configuration.write_text(
            yaml.safe_dump(
                {
                    "models": str(PROJECT / "models"),
                    "lanes": [
                        {
                            "name": f"lane-{number + 1}",
                            "recipe": str(self.recipe),
                            "camera": camera | {"serial": str(number)},
                            "gate": {"port": port, "base_register": 100 * number},
                        }
                        for number in range(lanes)
                    ],
                    "records": {"directory": str(directory / "records"), "keep_free_mb": 1},
                    "page": {"enabled": False},
                    "metrics": {"port": 0},
                }
            )
        )
        self.log = directory / "line.log"
        run = [sys.executable, "-m", "inspector", "run"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*run, str(configuration), "--run-directory", str(directory / "run")],
                stderr=log,
            )

    def until(self, holds: Callable[[LineStatus], bool]) -> LineStatus:
        """The first status of which this holds."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            status = read_status(self.directory / "run" / "status.json")
            if status is not None and holds(status):
                return status
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.1)
        raise AssertionError(f"{status}\n{self.log.read_text()[-2000:]}")

    def child(self, module: str) -> psutil.Process:
        """The line's process that runs this module."""
        return next(
            child
            for child in psutil.Process(self.process.pid).children()
            if f"inspector.{module}" in child.cmdline()
        )

    def metrics(self) -> str:
        """What Prometheus would scrape."""
        ports = [
            connection.laddr.port
            for connection in psutil.Process(self.process.pid).net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        ]
        with urllib.request.urlopen(f"http://127.0.0.1:{ports[0]}/metrics", timeout=5) as answer:
            text: str = answer.read().decode()
        return text

    def end(self) -> None:
        """Stop everything, however the test went."""
        for process in (self.process, self.plc):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        for rig in self.rigs:
            rig.close()


@pytest.fixture
def line(tmp_path: Path) -> Iterator[RunningLine]:
    line = RunningLine(tmp_path)
    yield line
    line.end()


def ready(status: LineStatus) -> bool:
    return status.lanes[0].camera.state == "ready" and status.lanes[0].plc.up


def test_the_whole_line_runs_unchanged_on_a_camera_this_project_did_not_write(
    line: RunningLine,
) -> None:
    line.until(ready)
    deadline = time.monotonic() + 20
    frames = 'inspector_frames_total{lane="lane-1",state="complete"}'
    while frames not in line.metrics() and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(3)
    status = line.until(ready)
    assert frames in line.metrics()
    # Its frames have no time, and show a ball and no cup: no part may ever be called clean.
    assert any("none is any part's" in alarm.text for alarm in status.lanes[0].alarms)
    assert status.state is LineState.REJECTING
    assert 'inspector_nothing_passes_raised{lane="lane-1"} 1.0' in line.metrics()
    assert "\ninspector_status_time_seconds " in line.metrics()
    assert not status.lanes[0].parts.get("clean")  # type: ignore[call-overload]
    children = psutil.Process(line.process.pid).children(recursive=True)
    line.process.send_signal(signal.SIGTERM)
    assert line.process.wait(10) == 0
    _, alive = psutil.wait_procs(children, timeout=2)
    assert not alive


def test_lanes_share_one_inspection_and_a_lost_one_leaves_the_other_alone(tmp_path: Path) -> None:
    line = RunningLine(tmp_path, lanes=2)
    try:
        status = line.until(lambda status: all(lane.plc.up for lane in status.lanes))
        assert [lane.name for lane in status.lanes] == ["lane-1", "lane-2"]
        line.until(lambda status: all(lane.camera.state == "ready" for lane in status.lanes))
        acquisition = next(
            child
            for child in psutil.Process(line.process.pid).children()
            if "inspector.camera.acquire" in child.cmdline() and "lane-2" in child.cmdline()
        )
        acquisition.suspend()
        status = line.until(lambda status: status.lanes[1].camera.state == "lost")
        assert ready(status)
        acquisition.kill()
        line.until(lambda status: all(lane.camera.state == "ready" for lane in status.lanes))
    finally:
        line.end()


def test_a_recipe_that_is_damaged_while_the_line_runs_makes_it_reject_and_say_so(
    line: RunningLine,
) -> None:
    line.until(ready)
    golden = line.recipe / "golden" / "1.png"
    golden.write_bytes(golden.read_bytes()[:-1])
    line.child("inspection").kill()
    damaged = "golden/1.png is damaged"
    status = line.until(lambda status: damaged in status.lanes[0].model_dump_json())
    assert status.state is LineState.REJECTING
    assert damaged in status.lanes[0].alarms[0].text
    assert "recipe_unusable" in line.log.read_text()
    assert line.process.poll() is None


def test_a_plc_that_goes_away_is_told_and_found_again(line: RunningLine) -> None:
    line.until(ready)
    line.plc.send_signal(signal.SIGSTOP)
    try:
        status = line.until(lambda status: not status.lanes[0].plc.up)
    finally:
        line.plc.send_signal(signal.SIGCONT)
    assert "gave no answer" in status.lanes[0].plc.reason
    line.until(ready)
    os.sync()
    with open_ledger(line.directory / "records") as ledger:
        kinds = [kind for _, kind, _, _ in ledger.events()]
    assert "plc_link_down" in kinds
