"""Wires a line from its configuration and supervises its processes.

The supervisor starts acquisition (one a lane), inspection, records and the operators' page, restarts
whatever dies, and serves the sum of their metrics. It does no work of its own, so that it has little to
die of; if it does die, the kernel ends its children and the service manager starts the line anew, while
the PLC rejects for want of a heartbeat.
"""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from inspector.camera.channel import channel_pair
from inspector.camera.ring import Ring
from inspector.config import LineSettings, as_yaml
from inspector.core.errors import ConfigurationError
from inspector.core.files import write_atomically
from inspector.core.process import child_environment
from inspector.telemetry import metrics
from inspector.telemetry.logs import configure_logs

_QUICK_EXIT_S = 2.0
_LONGEST_PAUSE_S = 1.0
_STOP_S = 2.0


@dataclass(slots=True)
class _Process:
    """One supervised process.

    Attributes:
        name: for the log and the restart counter.
        command: arguments after the interpreter.
        descriptors: inherited file descriptors.
        stops: 0 stops first, then 1 …: who feeds others stops before them.
    """

    name: str
    command: list[str]
    descriptors: tuple[int, ...] = ()
    stops: int = 0
    handle: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    restart_at_s: float = 0.0
    pause_s: float = 0.1
    starts: int = 0


class Line:
    """The processes of one line, started together and kept alive until stopped.

    Each reads the settings from the run directory, as they were at the start: one that is started anew would
    otherwise be alone with what somebody has changed in the line's file meanwhile, mistakes included.

    Raises:
        ConfigurationError: the metrics port is taken, or the run directory cannot be written.
    """

    def __init__(self, settings: LineSettings, run_directory: Path) -> None:
        self._settings = settings
        self._log = configure_logs("supervisor", settings.log_level)
        self._run_directory = run_directory
        self.status_file = run_directory / "status.json"
        metrics_directory = run_directory / "metrics"
        configuration = run_directory / "settings.yaml"
        try:
            write_atomically(configuration, as_yaml(settings).encode())
            self.status_file.unlink(missing_ok=True)
            metrics.use_directory(metrics_directory)
        except OSError as error:
            # Another user's line may have left its files there.
            raise ConfigurationError(
                f"{run_directory} cannot be used for the line's state: {error.strerror}",
                "name a folder with --run-directory that the line's user can write, all in it included",
            ) from error
        metrics.expect(lane.name for lane in settings.lanes)
        try:
            self.metrics_port = metrics.serve(
                metrics_directory, settings.metrics.host, settings.metrics.port
            )
        except OSError as error:
            raise ConfigurationError(
                f"metrics cannot listen on {settings.metrics.host}:{settings.metrics.port}: "
                f"{error.strerror}",
                "free the port or set metrics.port to another (0 takes any)",
            ) from error
        self._kept: list[Ring | socket.socket] = []
        self._processes = self._plan(configuration)
        for process in self._processes:
            # Told as 0 from now on, so that its first restart is an increase.
            metrics.RESTARTS.labels(process=process.name)

    def _plan(self, configuration: Path) -> list[_Process]:
        """All processes and the channels between them.

        The supervisor keeps both ends of each channel open, so that either side finds its messages again
        after a restart.
        """
        config = ["--config", str(configuration)]
        planned: list[_Process] = []
        inspection = ["-m", "inspector.inspection", *config, "--status", str(self.status_file)]
        inherited: list[int] = []
        for lane in self._settings.lanes:
            ring = Ring.create(lane.camera.ring_slots)
            camera_end, inspection_end = channel_pair()
            self._kept += [ring, camera_end, inspection_end]
            acquisition = ["-m", "inspector.camera.acquire", *config, "--lane", lane.name]
            acquisition += ["--ring-fd", str(ring.fd), "--channel-fd", str(camera_end.fileno())]
            descriptors = (ring.fd, camera_end.fileno())
            planned.append(_Process(f"acquisition-{lane.name}", acquisition, descriptors))
            inspection += ["--lane-fds", f"{lane.name}:{ring.fd}:{inspection_end.fileno()}"]
            inherited += [ring.fd, inspection_end.fileno()]
        pictures_out, pictures_in = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._kept += [pictures_out, pictures_in]
        inspection += ["--pictures-fd", str(pictures_out.fileno())]
        inherited.append(pictures_out.fileno())
        planned.append(_Process("inspection", inspection, tuple(inherited), stops=0))
        planned.append(
            _Process(
                "records",
                ["-m", "inspector.records", *config, "--channel-fd", str(pictures_in.fileno())],
                (pictures_in.fileno(),),
                stops=1,
            )
        )
        if self._settings.page.enabled:
            page = ["-m", "inspector.hmi", *config, "--status", str(self.status_file)]
            planned.append(_Process("page", page, stops=1))
        return planned

    def start(self) -> None:
        """Start every process."""
        for process in self._processes:
            self._spawn(process)

    def _spawn(self, process: _Process) -> None:
        try:
            process.handle = subprocess.Popen(
                [
                    sys.executable,
                    *process.command,
                    *(["--resume"] if self._resumes(process) else []),
                ],
                pass_fds=process.descriptors,
                env=child_environment(),
                stdin=subprocess.DEVNULL,
                # A terminal's Ctrl-C goes to the supervisor alone, which stops the others in order.
                process_group=0,
            )
        except OSError as error:
            # Perhaps another was just killed for want of memory; those that live go on meanwhile.
            process.restart_at_s = time.monotonic() + _LONGEST_PAUSE_S
            self._log.error(
                "process_not_started",
                name=process.name,
                error=error.strerror,
                remedy="it is tried again each second; see to memory and to the limit on processes",
            )
            return
        process.started_s = time.monotonic()
        process.starts += 1

    @staticmethod
    def _resumes(process: _Process) -> bool:
        return process.name == "inspection" and process.starts > 0

    def supervise(self, stopping: Callable[[], bool]) -> int:
        """Watch and restart until ``stopping()``; return the line's exit code.

        A process that ends with code 2 on its first start has found a mistake in the configuration and
        has said so: the line ends with 2 as well. Later, whatever ends is started anew, with a pause
        that grows to a second while it keeps dying at once.
        """
        while not stopping():
            now = time.monotonic()
            for process in self._processes:
                if process.handle is None:
                    if now >= process.restart_at_s:
                        self._spawn(process)
                    continue
                code = process.handle.poll()
                if code is None:
                    continue
                if code == 2 and process.starts == 1:
                    return 2
                lived = now - process.started_s
                process.pause_s = (
                    min(process.pause_s * 2, _LONGEST_PAUSE_S) if lived < _QUICK_EXIT_S else 0.1
                )
                process.handle = None
                process.restart_at_s = now + process.pause_s
                metrics.RESTARTS.labels(process=process.name).inc()
                self._log.warning("process_ended", name=process.name, code=code)
            time.sleep(0.05)
        return 0

    def stop(self) -> None:
        """Stop every process, sources first; whoever does not end in time is killed."""
        for stage in sorted({process.stops for process in self._processes}):
            handles = [p.handle for p in self._processes if p.stops == stage and p.handle]
            for handle in handles:
                handle.terminate()
            deadline = time.monotonic() + _STOP_S / 2
            for handle in handles:
                try:
                    handle.wait(max(0.0, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    self._log.error("process_killed", pid=handle.pid)
                    handle.kill()
                    handle.wait()
        for kept in self._kept:
            kept.close()


def run_line(settings: LineSettings, run_directory: Path) -> int:
    """Run a line until SIGINT or SIGTERM; return the exit code (0 stopped, 2 cannot start)."""
    asked_to_stop = False

    def stop(_number: int, _frame: object) -> None:
        nonlocal asked_to_stop
        asked_to_stop = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    line = Line(settings, run_directory)
    try:
        line.start()
        return line.supervise(lambda: asked_to_stop)
    finally:
        line.stop()
