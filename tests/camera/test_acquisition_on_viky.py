"""The very same acquisition process on a producer and cameras that this project did not write."""

import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import genicam
import numpy as np
import psutil
import pytest

from inspector.camera.channel import CameraState
from inspector.camera.probe import Level, probe_camera
from inspector.config import CameraSettings

from .conftest import Bench, until

VIKY = Path(genicam.__file__).parent / "viky.cti"
FREE_RUN: dict[str, Any] = {
    "producer": str(VIKY),
    "serial": "1",
    "pixel_format": "Mono8",
    "trigger": "free_run",
    "frame_rate_hz": 60,
}


def test_frames_of_a_foreign_producer_arrive_whole_and_in_order(bench: Bench) -> None:
    bench.start(node_values={"Width": 800, "Height": 600}, **FREE_RUN)
    bench.hear(CameraState.READY)
    pictures, frames = [], []
    for _ in range(30):
        (frame,) = bench.frames(1)
        picture = bench.acquisition.pixels(frame)
        assert picture is not None
        assert picture.shape == (600, 800)
        frames.append(frame)
        pictures.append(picture)
    assert all(after.frame_id == before.frame_id + 1 for before, after in pairwise(frames))
    assert all(frame.exposed_ns <= frame.received_ns for frame in frames)
    # A ball flies across an empty field: pictures differ, and each is mostly empty.
    assert len({picture.tobytes() for picture in pictures}) > 20
    assert all(np.median(picture) == picture.max() for picture in pictures)
    # It has no time stamps: its frames are looked at by people, and are no part's.
    assert not any(frame.timed for frame in frames)
    assert not bench.hear(CameraState.READY).timed
    assert bench.terminate() == 0


def test_colour_comes_without_the_fourth_channel(bench: Bench) -> None:
    bench.start(**FREE_RUN | {"pixel_format": "RGBa8"})
    (frame,) = bench.frames(1)
    picture = bench.acquisition.pixels(frame)
    assert picture is not None
    assert picture.shape == (400, 400, 3)


def test_memory_does_not_grow_while_frames_flow(bench: Bench) -> None:
    bench.start(**FREE_RUN | {"frame_rate_hz": 200})
    bench.frames(100)
    before_mb = bench.memory_mb()
    bench.frames(200)
    assert bench.memory_mb() - before_mb < 2


def test_frames_that_nobody_reads_do_not_stop_the_camera(bench: Bench) -> None:
    bench.start(**FREE_RUN | {"frame_rate_hz": 200})
    bench.frames(1)
    seen = bench.ring.written
    until(lambda: bench.ring.written > seen + 250)
    # The oldest that still wait in the channel have left the ring; they are not given out torn.
    waiting = bench.frames(50)
    assert all(bench.acquisition.pixels(frame) is None for frame in waiting)


def test_several_cameras_and_none_named_is_refused_with_their_serials(bench: Bench) -> None:
    bench.start(**{key: value for key, value in FREE_RUN.items() if key != "serial"})
    assert bench.exit_code() == 2
    assert "3 cameras are there, with serials 0, 1, 2" in bench.log()[-1]


def test_a_trigger_that_the_camera_lacks_is_refused_by_name(bench: Bench) -> None:
    bench.start(**FREE_RUN | {"trigger": "hardware"})
    assert bench.exit_code() == 2
    assert "no feature TriggerMode" in bench.log()[-1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_both_ways_to_stop_are_heard_although_harvesters_takes_the_one(
    bench: Bench, number: signal.Signals
) -> None:
    bench.start(**FREE_RUN)
    bench.frames(1)
    assert bench.process is not None
    bench.process.send_signal(number)
    assert bench.exit_code() == 0


def test_the_process_does_not_outlive_its_supervisor(bench: Bench, tmp_path: Path) -> None:
    bench.start(**FREE_RUN)
    bench.frames(1)
    assert bench.process is not None
    command = [str(part) for part in bench.process.args]  # type: ignore[union-attr]
    bench.terminate()
    script = "import subprocess, sys, time; fds = [int(f) for f in sys.argv[1].split(',')]\n"
    script += "from inspector.core.process import child_environment as env\n"
    script += "child = subprocess.Popen(sys.argv[2:], pass_fds=fds, env=env())\n"
    script += "print(child.pid, flush=True); time.sleep(60)"
    fds = [int(command[command.index(name) + 1]) for name in ("--ring-fd", "--channel-fd")]
    supervisor = subprocess.Popen(
        [sys.executable, "-c", script, ",".join(map(str, fds)), *command],
        stdout=subprocess.PIPE,
        pass_fds=fds,
        env=os.environ,
    )
    assert supervisor.stdout is not None
    child = int(supervisor.stdout.readline())
    bench.hear(CameraState.READY)
    supervisor.kill()
    supervisor.wait()
    supervisor.stdout.close()
    until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie")


def test_the_doctor_is_told_what_was_found_and_what_is_wrong() -> None:
    script = "import sys, json; from inspector.config import CameraSettings\n"
    script += "from inspector.camera.probe import probe_camera\n"
    script += "found = probe_camera(CameraSettings.model_validate_json(sys.argv[1]))\n"
    script += "print(json.dumps([[f.level, f.what, f.remedy] for f in found]))"

    def findings(**changed: Any) -> str:
        settings = CameraSettings(**FREE_RUN | changed)
        command = [sys.executable, "-c", script, settings.model_dump_json()]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    good = findings()
    assert "cameras found: Viky 0, Viky 1, Viky 2" in good
    assert "the camera takes its settings: Mono8" in good
    assert Level.ERROR not in good
    assert "the camera's clock cannot be latched: no frame can be told from its neighbour's" in good
    assert "no camera with serial 9 is there, only 0, 1, 2" in findings(serial="9")
    assert "choose one of RGBa8, Mono8" in findings(pixel_format="BayerRG8")


def test_the_doctor_survives_a_producer_that_is_not_there(tmp_path: Path) -> None:
    (finding,) = probe_camera(CameraSettings(producer=tmp_path / "missing.cti"))
    assert finding.level is Level.ERROR
    assert "set camera.producer" in finding.remedy
