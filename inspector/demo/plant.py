"""Starts the simulated plant and a line beside it, shows both, and compares them at the end."""

import fcntl
import json
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import yaml
from rich.console import Console
from rich.live import Live

from inspector.config import Trigger
from inspector.core.errors import ConfigurationError, InspectorError
from inspector.core.files import check_results, write_result
from inspector.core.process import child_environment, memory_directory
from inspector.demo.faults import DISK_FULL, NONE, Fault, Scene, scenario
from inspector.demo.small_disk import small_disk
from inspector.demo.summary import Summary, summarise
from inspector.demo.table import progress_table, summary_table
from inspector.demo.traces import read_actions, read_rows, read_truth
from inspector.demo.wall_clock import WallClock
from inspector.demo.wire import Wire
from inspector.recipe import load_recipe
from inspector.records.status import LineStatus, read_status
from inspector.twin.rig import ENVIRONMENT_VARIABLE, LoggedFrame, Rig, create_rig
from inspector.twin.triton.build import producer_path

LANE = "lane-1"
_PROJECT = Path(__file__).parents[2]
MODELS = _PROJECT / "models"
RECIPE = _PROJECT / "calibration" / "type-01"
_TRUTH = "truth.jsonl"
BELT_PX_PER_S = 9000.0
"""0.62 m/s at 144 px/cm: two cups a second stand 31 cm apart. Where more come, the belt is faster."""
_APART_PX = 2000.0
_MIN_INTERVAL_SHARE = 0.75
"""Of the time from one cup to the next: what is nearer is too close."""
_EYE_ERROR_MS = 6.0
"""The PLC's scan and 1 ms."""
TRAVEL_MS = 1200.0
_START_S = 60.0
_STOP_S = 2.0
_TRUTH_AFTER_GATE_NS = 100_000_000


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What to run.

    Attributes:
        parts: end after so many; None runs until Ctrl-C.
        json_file: where the summary goes as JSON, beside the terminal.
        rate_hz: parts per second.
        seed: same seed, same cups.
        defect_rate: share of cups with a defect.
        trigger: hardware, software or free_run.
        encoder: the gate follows the belt by an encoder, not by time.
        recipe: folder of the recipe that judges.
        workers: parts looked at side by side.
        drawn: so many cups are drawn, and come again and again; None draws each anew.
        faults: name of a scenario in `inspector.demo.faults`.
        directory: ledger, pictures, logs, traces and a copy of the recipe; emptied first, and held.
    """

    parts: int | None
    json_file: Path | None
    rate_hz: float
    seed: int
    defect_rate: float
    trigger: Trigger
    encoder: bool
    recipe: Path
    workers: int
    drawn: int | None
    faults: str
    directory: Path

    @property
    def belt_px_per_s(self) -> float:
        """How fast cups cross the picture: so that they stand apart at any rate."""
        return max(BELT_PX_PER_S, self.rate_hz * _APART_PX)

    @property
    def min_interval_ms(self) -> float:
        """What is nearer than this to its neighbour is too close."""
        return min(150.0, _MIN_INTERVAL_SHARE * 1e3 / self.rate_hz)


@contextmanager
def emptied(directory: Path) -> Iterator[None]:
    """The demo's folder, in place of a former demo's, and no other demo's meanwhile.

    Raises:
        InspectorError: it holds something else, which is left as it is, or cannot be made, or another demo
            runs in it.
    """
    truth = directory / _TRUTH
    with ExitStack() as until_then:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            if any(directory.iterdir()) and not truth.exists():
                raise InspectorError(
                    f"{directory} holds what is no demo's, and the demo empties its folder",
                    "name a new one with --directory, or delete this one yourself",
                )
            held = until_then.enter_context(truth.open("ab"))
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for path in set(directory.iterdir()) - {truth}:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        except BlockingIOError:
            raise InspectorError(
                f"another demo runs in {directory}", "end it, or name another with --directory"
            ) from None
        except OSError as error:
            raise InspectorError(
                f"{directory} cannot be used: {error.strerror}", "name another with --directory"
            ) from error
        yield


def run_demo(options: DemoOptions) -> int:
    """Run the plant; return 0 only if every invariant held.

    Raises:
        InspectorError: the plant or the line could not be started; the message names the remedy.
    """
    faults = scenario(options.faults)
    check_results(options.json_file)
    if not MODELS.is_dir():
        raise InspectorError(
            "the demo's networks are in the project's folder, not in what pip installs",
            "run make demo in a checkout of the project",
        )
    # Whoever ends the demo politely ends it as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console()
    directory = options.directory.resolve()
    records = directory / "records"
    with (
        emptied(directory),
        small_disk(records) if options.faults == DISK_FULL else nullcontext(),
        create_rig(belt_px_per_s=options.belt_px_per_s) as rig,
        tempfile.TemporaryDirectory(prefix="inspector-", dir=memory_directory()) as run_directory,
    ):
        with console.status("building the simulated camera and converting the teacher, once …"):
            producer = producer_path()
            load_recipe(options.recipe, MODELS).teacher_graph()
        plant = _Plant(options, directory, Path(run_directory), rig, producer)
        try:
            with Wire(plant.start_plc()) as wire:
                scene = plant.start(console, wire)
                frames = plant.run(console, faults, scene)
                plant.stop()
        finally:
            plant.stop()
        summary = plant.summary(frames)
    console.print(summary_table(summary))
    for line in summary.broken[:20]:
        console.print(f"[red]{line}[/]")
    if options.json_file is not None:
        seen = summary.as_json() | {
            "stopped_within_s": plant.stopped_within_s,
            "faults": plant.faults_done,
        }
        write_result(options.json_file, (json.dumps(seen, indent=2) + "\n").encode())
    return 0 if summary.invariants_held else 1


class _Plant:
    """The plant's processes and the line, for one run."""

    def __init__(
        self,
        options: DemoOptions,
        directory: Path,
        run_directory: Path,
        rig: Rig,
        producer: Path,
    ) -> None:
        self._options = options
        self._directory = directory
        self._run_directory = run_directory
        self._rig = rig
        self._producer = producer
        self._wall_clock = None if options.faults == NONE else WallClock(directory)
        self._children: dict[str, subprocess.Popen[str]] = {}
        self._stopped_ns: int | None = None
        self.stopped_within_s = 0.0
        self.faults_done: list[dict[str, object]] = []

    # -- start -------------------------------------------------------------------------------------

    def start_plc(self) -> int:
        """Start the PLC; return the port on which it listens."""
        mode = "free_run" if self._options.trigger == "free_run" else "photo_eye"
        wiring = ["--rig", str(self._rig.path)]
        command = ["-m", "inspector.twin.plc", *wiring, "--port", "0", "--mode", mode]
        command += ["--encoder"] if self._options.encoder else []
        log = str(self._directory / "plc.jsonl")
        plc = self._spawn("plc", [*command, "--travel-ms", str(TRAVEL_MS), "--log", log])
        return _announced_port(plc)

    def start(self, console: Console, wire: Wire) -> Scene:
        """Conveyor, then line; returns when the line is ready for parts, with what faults may touch."""
        options, directory = self._options, self._directory
        conveyor = ["-m", "inspector.twin.conveyor", "--rig", str(self._rig.path)]
        conveyor += ["--truth", str(directory / _TRUTH), "--seed", str(options.seed)]
        conveyor += ["--rate", str(options.rate_hz), "--defect-rate", str(options.defect_rate)]
        conveyor += ["--travel-ms", str(TRAVEL_MS)]
        conveyor += [] if options.drawn is None else ["--drawn", str(options.drawn)]
        if options.parts is not None:
            conveyor += ["--parts", str(options.parts)]
        self._spawn("conveyor", conveyor)
        records = directory / "records"
        page, metrics = _free_port(8080), _free_port(9108)
        shutil.copytree(options.recipe, self._recipe)
        configuration = directory / "line.yaml"
        configuration.write_text(yaml.safe_dump(self._configuration(wire.port, page, metrics)))
        line = ["-m", "inspector.demo.line", "run", str(configuration)]
        clock = self._wall_clock.environment if self._wall_clock else {}
        line += ["--run-directory", str(self._run_directory)]
        supervisor = self._spawn("line", line, clock)
        with console.status("starting the line …"):
            self._wait_until_ready()
        console.print(f"operators' page  http://127.0.0.1:{page}/")
        console.print(f"metrics          http://127.0.0.1:{metrics}/metrics")
        console.print(f"ledger and logs  {directory}")
        plc = self._children["plc"].pid
        return Scene(self._rig, wire, supervisor.pid, self._recipe, records, plc, self._wall_clock)

    @property
    def _recipe(self) -> Path:
        return self._directory / "recipe"

    def _configuration(self, plc_port: int, page: int, metrics: int) -> dict[str, object]:
        return {
            "name": "demo",
            "models": str(MODELS),
            "lanes": [
                {
                    "name": LANE,
                    "recipe": str(self._recipe),
                    "jobs": {1: str(self._recipe)},
                    "camera": {
                        "producer": str(self._producer),
                        "trigger": self._options.trigger,
                        "exposure_us": 1000.0,
                    },
                    "part": {
                        "min_interval_ms": self._options.min_interval_ms,
                        "eye_error_ms": _EYE_ERROR_MS,
                        "travel_ms": TRAVEL_MS,
                        "belt_px_per_s": self._options.belt_px_per_s,
                    },
                    "gate": {"port": plc_port},
                }
            ],
            "records": {"directory": str(self._directory / "records"), "keep_free_mb": 100},
            "page": {"port": page},
            "metrics": {"port": metrics},
            # A race of engines, where several are installed, costs seconds that a demo has not.
            "engine": "onnxruntime",
            "workers": self._options.workers,
        }

    def _spawn(
        self, name: str, command: list[str], environment: Mapping[str, str] = MappingProxyType({})
    ) -> subprocess.Popen[str]:
        with (self._directory / f"{name}.log").open("w") as log:
            child = subprocess.Popen(
                [sys.executable, *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if name == "plc" else log,
                stderr=log,
                text=True,
                env=child_environment()
                | {ENVIRONMENT_VARIABLE: str(self._rig.path)}
                | dict(environment),
                # Ctrl-C reaches this process alone, which stops the others in order.
                process_group=0,
            )
        self._children[name] = child
        return child

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            self._raise_if_dead()
            status = self._status()
            if status is not None and all(
                lane.camera.state == "ready" and lane.plc.up for lane in status.lanes
            ):
                return
            time.sleep(0.1)
        raise InspectorError(
            f"the line was not ready within {_START_S:.0f} s", f"see {self._directory}/line.log"
        )

    def _raise_if_dead(self) -> None:
        for name, child in self._children.items():
            if child.poll() is not None:
                raise ConfigurationError(
                    f"the {name} ended with code {child.returncode}: {self._last_words(name)}",
                    f"see the logs in {self._directory}",
                )

    def _last_words(self, name: str) -> str:
        lines = (self._directory / f"{name}.log").read_text().strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    # -- run ---------------------------------------------------------------------------------------

    def run(self, console: Console, faults: tuple[Fault, ...], scene: Scene) -> list[LoggedFrame]:
        """Switch the belt on and watch until the last part is through, or Ctrl-C."""
        frames: list[LoggedFrame] = []
        pending = list(faults)
        self._rig.belt_on = True
        began = time.monotonic()
        try:
            with Live(console=console, refresh_per_second=4) as live:
                while not self._finished():
                    self._raise_if_dead()
                    while pending and time.monotonic() - began >= pending[0].at_s:
                        fault = pending.pop(0)
                        fault.deed(scene)
                        done = {"says": fault.says, "mends": fault.mends}
                        self.faults_done.append(done | {"at_ns": time.monotonic_ns()})
                        console.print(f"[yellow]fault: {fault.says}[/]")
                    self._take_new(frames)
                    live.update(progress_table(self._status(), self._options.parts))
                    time.sleep(0.25)
        except KeyboardInterrupt:
            console.print("stopping …")
        self._take_new(frames)
        return frames

    def _take_new(self, frames: list[LoggedFrame]) -> None:
        """The camera's log holds the newest frames only: they are kept while the demo runs."""
        frames += self._rig.frames_seen(frames[-1].sequence if frames else 0)

    def _finished(self) -> bool:
        """All parts have been published, and the diverter has dealt with the last."""
        if self._options.parts is None:
            return False
        last = self._rig.part(self._options.parts)
        return last is not None and time.monotonic_ns() > last.gate_ns + 500_000_000

    def _status(self) -> LineStatus | None:
        return read_status(self._run_directory / "status.json")

    # -- stop --------------------------------------------------------------------------------------

    def stop(self) -> None:
        """End the line before the PLC it speaks with, so that every row is written; once."""
        if self._stopped_ns is not None:
            return
        self._stopped_ns = time.monotonic_ns()
        plc_last = sorted(self._children.items(), key=lambda named: named[0] == "plc")
        for name, child in plc_last:
            if name != "plc":
                child.terminate()
        for _name, child in plc_last:
            _end(child)
        self.stopped_within_s = (time.monotonic_ns() - self._stopped_ns) / 1e9

    def summary(self, frames: list[LoggedFrame]) -> Summary:
        """Compare ledger, gate and truth, of the parts that were through the gate when it stopped."""
        directory = self._directory
        assert self._stopped_ns is not None
        published = read_truth(directory / _TRUTH)
        horizon = self._stopped_ns - int(TRAVEL_MS * 1e6) - _TRUTH_AFTER_GATE_NS
        through = [cup for cup in published if cup.eye_ns <= horizon]
        still_travelling = {cup.number for cup in published} - {cup.number for cup in through}
        rows = read_rows(
            directory / "records",
            time.time_ns() - time.monotonic_ns(),
            published if self._options.trigger == "free_run" else None,
            tolerance_ns=int(0.4e9 / self._options.rate_hz),
        )
        duration_s = (through[-1].eye_ns - through[0].eye_ns) / 1e9 if len(through) > 1 else 0.0
        return summarise(
            truth={cup.number: cup.kinds for cup in through},
            rows=[row for row in rows if row.number not in still_travelling],
            actions=read_actions(directory / "plc.jsonl"),
            frames=frames,
            duration_s=duration_s,
        )


def _end(child: subprocess.Popen[str]) -> None:
    child.terminate()
    try:
        child.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _announced_port(plc: subprocess.Popen[str]) -> int:
    """The port the PLC says it listens on."""
    assert plc.stdout is not None
    readable, _, _ = select.select([plc.stdout], [], [], 20.0)
    words = plc.stdout.readline().strip() if readable else ""
    if not words.startswith("ready port="):
        raise InspectorError("the simulated PLC did not start", "see plc.log of the demo")
    return int(words.removeprefix("ready port="))


def _free_port(wanted: int) -> int:
    """``wanted`` if it is free on loopback, else any."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise InspectorError("no TCP port is free", "end what holds them")
