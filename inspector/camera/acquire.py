"""The acquisition process of one lane: ``python -m inspector.camera.acquire``.

It is a process of its own because the GenICam binding holds the interpreter lock while it waits, and a
new process is the only sure way back from a lost camera: some producers cannot be closed without it,
some leak with every opening. So each process opens a camera once. It ends with

- 0 when it was told to stop,
- 2 when the configuration does not fit (producer, serial, features): starting it again does not help,
- 3 when the camera was lost or must be opened anew: start it again,
- a signal where it could not end by itself: SIGALRM when a producer's call never returned (start it
  again), SIGTERM or SIGINT when it was told to stop before the camera was open.
"""

import argparse
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Final

import structlog

from inspector.camera.channel import CameraHealth, CameraState, Channel
from inspector.camera.device import Camera, CameraBusyError, CameraGoneError
from inspector.camera.discovery import Discovery, choose
from inspector.camera.nodes import Value
from inspector.camera.ring import Ring
from inspector.camera.session import Session, alive
from inspector.config import LaneSettings, load_line
from inspector.core.errors import ConfigurationError, InspectorError
from inspector.core.process import die_with_parent
from inspector.telemetry.logs import configure_logs
from inspector.telemetry.metrics import LINK_UP

EXIT_CONFIGURATION: Final = 2
EXIT_LOST: Final = 3

_SEARCH_EVERY_S: Final = 0.3
_SAY_EVERY_S: Final = 1.0
_BUSY_PAUSE_S: Final = 1.0
_CLOSE_WITHIN_S: Final = 0.8


class Acquisition:
    """One lane's way from looking for its camera to having lost it."""

    def __init__(
        self,
        lane: LaneSettings,
        ring: Ring,
        channel: Channel,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._lane = lane
        self._ring = ring
        self._channel = channel
        self._log = log
        self._stop = False
        self._said = ""

    def run(self) -> int:
        """Find the camera, acquire from it, and return the exit code."""
        try:
            return self._run()
        except InspectorError as error:
            self._say(CameraState.FAULT, str(error))
            return EXIT_CONFIGURATION

    def _run(self) -> int:
        discovery = Discovery(self._lane.camera.producer)
        index = self._find(discovery)
        try:
            camera = Camera(discovery, index, self._lane.camera, self._skipped)
        except CameraBusyError as error:
            # Not tried again in this process: some producers leak with every attempt.
            self._say(
                CameraState.SEARCHING,
                f"the camera is there but cannot be opened: {error}; end the program that uses it",
            )
            time.sleep(_BUSY_PAUSE_S)
            return EXIT_LOST
        except CameraGoneError as error:
            self._say(CameraState.LOST, f"{error}; check its cable and power")
            return EXIT_LOST
        # Only now, since harvesters installs a handler of its own when a camera is opened.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stopped)
        session = Session(camera, self._lane, self._ring, self._channel, self._log)
        try:
            reason = session.run(lambda: self._stop)
            if reason:
                self._say(CameraState.LOST, reason)
        finally:
            # A camera that is gone may block its closing for ever.
            signal.setitimer(signal.ITIMER_REAL, _CLOSE_WITHIN_S)
            camera.close()
        return EXIT_LOST if reason else 0

    def _find(self, discovery: Discovery) -> int:
        """Search until the lane's camera is there; its index."""
        serial = self._lane.camera.serial
        said_at = -_SAY_EVERY_S
        while True:
            alive()
            found = discovery.search()
            # Once it has delivered, a camera's absence is no mistake in the settings.
            index = choose(found, serial, seen_before=self._ring.written > 0)
            if index is not None:
                self._log.info("camera_found", serial=found[index].serial, model=found[index].model)
                return index
            if time.monotonic() - said_at >= _SAY_EVERY_S:
                said_at = time.monotonic()
                name = "no camera" if serial is None else f"no camera with serial {serial}"
                why = "".join(f" ({line})" for line in discovery.complaints.lines[-1:])
                self._say(
                    CameraState.SEARCHING,
                    f"{name} answers{why}; check its cable, its power and its network address",
                )
            time.sleep(_SEARCH_EVERY_S)

    def _say(self, state: CameraState, reason: str) -> None:
        """Tell inspection each time, the log once."""
        LINK_UP.labels(lane=self._lane.name, link="camera").set(0)
        self._channel.send(
            CameraHealth(
                lane=self._lane.name, state=state, reason=reason, sent_ns=time.monotonic_ns()
            )
        )
        if reason == self._said:
            return
        self._said = reason
        write = self._log.error if state is CameraState.FAULT else self._log.warning
        write(f"camera_{state}", reason=reason)

    def _skipped(self, name: str, value: Value) -> None:
        self._log.info("camera_default_skipped", feature=name, value=value)

    def _stopped(self, _number: int, _frame: FrameType | None) -> None:
        self._stop = True


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, acquire, return the exit code."""
    parser = argparse.ArgumentParser(prog="inspector.camera.acquire", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the line's configuration")
    parser.add_argument("--lane", required=True, help="name of the lane")
    parser.add_argument("--ring-fd", type=int, required=True, help="inherited descriptor: the ring")
    parser.add_argument(
        "--channel-fd", type=int, required=True, help="inherited descriptor: acquisition's end"
    )
    options = parser.parse_args(arguments)
    # Until a camera is open there is nothing to put away, and a producer's call may hold the interpreter
    # lock for seconds: let the kernel end the process at once.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    die_with_parent()
    log = configure_logs("acquisition").bind(lane=options.lane)
    try:
        line = load_line(options.config)
        log = configure_logs("acquisition", line.log_level).bind(lane=options.lane)
        lane = next((lane for lane in line.lanes if lane.name == options.lane), None)
        if lane is None:
            raise ConfigurationError(
                f"{options.config} has no lane {options.lane}", "name one of its lanes"
            )
        ring = Ring.attach(options.ring_fd)
        channel = Channel(socket.socket(fileno=options.channel_fd), lane.name)
    except InspectorError as error:
        log.error("cannot_start", reason=str(error))
        return EXIT_CONFIGURATION
    try:
        return Acquisition(lane, ring, channel, log).run()
    finally:
        channel.close()


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Past the interpreter's own clean-up: producers' finalizers have been seen to crash or hang there,
    # and the exit code must arrive.
    os._exit(code)
