"""The gate on the output line of the simulated Triton: who asks may die, the camera ends each pass."""

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from inspector.camera.channel import CameraState
from inspector.camera.output import GateOutput
from inspector.config import LaneSettings
from inspector.config.gates import CameraGateSettings
from inspector.core.errors import CameraError
from inspector.core.part import PartId
from inspector.core.verdict import Outcome, Reason
from inspector.gate import Command, LineState, Outgoing, open_lane_gate
from inspector.twin.rig import ENVIRONMENT_VARIABLE, Rig, create_rig
from inspector.twin.triton.build import producer_path

from .conftest import LANE, Bench, until

MS = 1_000_000
FREE_RUN = {"trigger": "free_run", "node_values": {"Width": 16, "Height": 2}}
GATE = {"driver": "camera", "output_line": "Line1", "reach_ms": 10, "late_ms": 30}


@dataclass
class Plant:
    """A rig, and an acquisition process that moves its diverter."""

    bench: Bench
    rig: Rig

    def start(self, **gate: str) -> None:
        self.bench.start({**GATE, **gate}, producer=str(producer_path()), **FREE_RUN)

    @property
    def passing(self) -> bool:
        return self.rig.output_line(1)

    def pass_for(self, lasts_ms: int) -> int:
        """Ask for a pass until it is given; when it ends at the earliest."""
        asked_ns = 0

        def given() -> bool:
            nonlocal asked_ns
            asked_ns = time.monotonic_ns() + lasts_ms * MS
            assert self.bench.acquisition.pass_until(asked_ns)
            time.sleep(0.02)
            return self.passing

        until(given)
        return asked_ns


@pytest.fixture
def plant(bench: Bench) -> Iterator[Plant]:
    with create_rig() as rig:
        bench.environment[ENVIRONMENT_VARIABLE] = str(rig.path)
        yield Plant(bench, rig)


def test_the_gate_rests_in_reject_passes_when_asked_and_ends_the_pass_itself(plant: Plant) -> None:
    plant.start()
    plant.bench.hear(CameraState.READY)
    assert not plant.passing
    until_ns = plant.pass_for(400)
    until(lambda: not plant.passing)
    assert time.monotonic_ns() >= until_ns


@pytest.mark.parametrize("deed", [signal.SIGKILL, signal.SIGSTOP])
def test_a_pass_ends_though_the_process_that_began_it_is_killed_or_stopped(
    plant: Plant, deed: signal.Signals
) -> None:
    plant.start()
    plant.bench.hear(CameraState.READY)
    plant.pass_for(400)
    assert plant.bench.process is not None
    plant.bench.process.send_signal(deed)
    until(lambda: not plant.passing)


def test_a_reject_ends_a_pass_at_once(plant: Plant) -> None:
    plant.start()
    plant.bench.hear(CameraState.READY)
    plant.pass_for(100_000)
    assert plant.bench.acquisition.pass_until(0)
    until(lambda: not plant.passing)
    # Not because its time was over: the line does not follow the timer any more.
    assert plant.rig._camera["timer_lines"][0] == 0


def test_no_pass_is_longer_than_half_a_second_whatever_is_asked_for(plant: Plant) -> None:
    plant.start()
    plant.bench.hear(CameraState.READY)
    plant.pass_for(3_600_000)
    until(lambda: not plant.passing)


@pytest.mark.parametrize(
    ("gate", "says"),
    [
        ({"timer": "Timer7"}, "TimerSelector does not offer Timer7; choose one of Timer0"),
        ({"output_line": "Line9"}, "LineSelector does not offer Line9"),
    ],
)
def test_a_camera_that_cannot_end_a_pass_itself_is_not_used_as_a_gate(
    plant: Plant, gate: dict[str, str], says: str
) -> None:
    plant.start(**gate)
    assert says in plant.bench.hear(CameraState.FAULT).reason
    assert plant.bench.exit_code() == 2


def test_parts_with_an_ok_open_it_and_those_between_do_not(plant: Plant) -> None:
    plant.start()
    plant.bench.hear(CameraState.READY)
    lane = LaneSettings.model_validate(
        {
            "name": LANE,
            "recipe": "recipe",
            "camera": {"producer": "none.cti", "trigger": "free_run"},
            "part": {"min_interval_ms": 450, "travel_ms": 900, "decide_before_ms": 300},
            "gate": GATE | {"reach_ms": 200, "late_ms": 50, "timeout_ms": 5000},
        }
    )
    gate = open_lane_gate(lane, plant.bench.acquisition.pass_until)
    first_ns = time.monotonic_ns() + 200 * MS
    told = 0
    opened: set[int] = set()
    # A busy machine may count anew and give a pass up: then parts are rejected, and later ones must do.
    while len(opened) < 3:
        now_ns = time.monotonic_ns()
        commands: tuple[Command, ...] = ()
        if now_ns > first_ns + told * 600 * MS:
            ok = told % 2 == 0
            outcome, reason = (
                (Outcome.PASS, Reason.CLEAN) if ok else (Outcome.REJECT, Reason.DEFECT)
            )
            part = PartId(LANE, 5, told + 1)
            commands = (Command(part, outcome, reason, first_ns + told * 600 * MS),)
            told += 1
        gate.exchange(Outgoing(True, LineState.RUNNING, commands))
        if plant.passing:
            opened.add(round((time.monotonic_ns() - first_ns - 900 * MS) / (600 * MS)))
        assert told < 60
        time.sleep(0.002)
    gate.close()
    assert all(part % 2 == 0 for part in opened)


class SlowNodes:
    """A camera whose network loses and repeats the command that starts the timer."""

    def __init__(self) -> None:
        self.written: list[tuple[str, object]] = []

    def takes(self, _name: str, _value: object) -> bool:
        return False

    def write(self, name: str, value: object) -> None:
        self.written.append((name, value))

    def execute(self, _name: str) -> None:
        time.sleep(0.05)


def test_a_pass_that_the_camera_begins_too_slowly_is_given_up() -> None:
    nodes: Any = SlowNodes()
    output = GateOutput(nodes, CameraGateSettings(driver="camera", late_ms=30))
    with pytest.raises(CameraError, match="to begin a pass, so it was given up"):
        output.pass_until(time.monotonic_ns() + 100 * MS)
    assert nodes.written[-1] == ("LineSource", "Off")
