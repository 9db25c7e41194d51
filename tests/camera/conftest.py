"""A bench for the acquisition process: what the supervisor and inspection are to it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from inspector.camera.channel import CameraHealth, CameraState, channel_pair
from inspector.camera.client import Acquisition
from inspector.camera.ring import Ring
from inspector.core.frame import FrameInfo

LANE = "lane-1"


@dataclass
class Bench:
    """Starts and restarts one lane's acquisition process; ring and channel outlive it."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ring = Ring.create(12)
        self._camera_end, inspection_end = channel_pair()
        self.acquisition = Acquisition(self.ring.fd, inspection_end, LANE)
        self.process: subprocess.Popen[bytes] | None = None
        self.health: list[CameraHealth] = []

    def start(self, gate: Any = None, **camera: Any) -> None:
        """Start a process with these settings of camera and gate; without any, as the one before."""
        config = self.folder / "line.yaml"
        if camera:
            lane = {"name": LANE, "recipe": "recipe", "camera": camera, "gate": gate or {}}
            config.write_text(yaml.safe_dump({"lanes": [lane]}))
        command = [sys.executable, "-m", "inspector.camera.acquire", "--config", str(config)]
        command += ["--lane", LANE, "--ring-fd", str(self.ring.fd)]
        command += ["--channel-fd", str(self._camera_end.fileno())]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                pass_fds=[self.ring.fd, self._camera_end.fileno()],
                stderr=log,
                env=os.environ | self.environment,
            )

    def log(self) -> list[str]:
        """Lines of all processes so far."""
        return (self.folder / "log").read_text().splitlines()

    def frames(self, count: int, within_s: float = 10.0) -> list[FrameInfo]:
        """The next frames; health heard meanwhile is kept in `health`."""
        got: list[FrameInfo] = []
        until = time.monotonic() + within_s
        while len(got) < count:
            message = self.acquisition.receive(max(until - time.monotonic(), 0.001))
            if isinstance(message, FrameInfo):
                got.append(message)
            elif message is not None:
                self.health.append(message)
                assert message.state is not CameraState.FAULT, message.reason
            elif time.monotonic() > until:
                pytest.fail(f"{len(got)} of {count} frames; {self.health[-1:]}; {self.log()[-3:]}")
        return got

    def hear(self, state: CameraState, within_s: float = 10.0, **about: object) -> CameraHealth:
        """The next health message of this state and these values."""
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            message = self.acquisition.receive(max(until - time.monotonic(), 0.001))
            if isinstance(message, CameraHealth):
                self.health.append(message)
                if message.state is state and all(
                    getattr(message, name) == value for name, value in about.items()
                ):
                    return message
        pytest.fail(f"never {state}; {self.health[-1:]}; {self.log()[-3:]}")

    def exit_code(self, within_s: float = 10.0) -> int:
        """Wait for the process to end by itself."""
        assert self.process is not None
        return self.process.wait(within_s)

    def terminate(self) -> int:
        """Tell the process to stop; its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)

    def memory_mb(self) -> float:
        """Memory of the process that is not the ring, MB."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        lines = dict(line.split(":", 1) for line in status.splitlines())
        return int(lines["RssAnon"].split()[0]) / 1024

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.acquisition.close()
        self._camera_end.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def until(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    """Wait for a condition."""
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)
