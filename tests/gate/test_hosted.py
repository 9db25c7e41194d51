"""The gate's own process: asked, refused, killed, stopped, left alone."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inspector.config import LaneSettings
from inspector.core.part import PartId
from inspector.core.verdict import Outcome, Reason
from inspector.gate import (
    Command,
    GateAction,
    GateFault,
    GateLinkError,
    GateResult,
    LineState,
    Outgoing,
    open_lane_gate,
)
from inspector.gate.hosted import HostedGate

IDLE = Outgoing(alive=True, state=LineState.RUNNING)
LANE = LaneSettings.model_validate(
    {
        "name": "lane-1",
        "recipe": "none",
        "camera": {"producer": "none.cti"},
        "part": {"travel_ms": 400, "min_interval_ms": 140},
        "gate": {
            "driver": "gpio",
            "chip": "/dev/gpiochip99",
            "diverter_line": 1,
            "photo_eye_line": 0,
            "late_ms": 50,
            "timeout_ms": 5000,
        },
    }
)


def host(file: str) -> list[str]:
    return [sys.executable, "-m", "tests.gate.host_in_the_air", file]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """What the diverter was told, line by line."""
    return tmp_path / "diverter"


@pytest.fixture
def gate(file: Path) -> Iterator[HostedGate]:
    driver = HostedGate(host(str(file)), LANE)
    yield driver
    driver.close()


def soon(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def test_parts_with_an_ok_pass_through_a_gate_in_another_process(
    gate: HostedGate, file: Path
) -> None:
    done: list[GateResult] = []
    told = (0, 0)

    def is_done() -> bool:
        nonlocal told
        incoming = gate.exchange(IDLE)
        done.extend(incoming.gate_results)
        if (incoming.session, incoming.part_count) > told:
            told = (incoming.session, incoming.part_count)
            part = PartId("lane-1", *told)
            command = Command(part, Outcome.PASS, Reason.CLEAN, 0)
            gate.exchange(Outgoing(True, LineState.RUNNING, (command,)))
        return any(row.action is GateAction.PASSED for row in done)

    soon(is_done)
    gate.close()
    words = file.read_text().split()
    assert "pass" in words
    assert words[-1] == "closed"


@pytest.mark.parametrize(
    ("deed", "fault", "says"),
    [
        (signal.SIGKILL, GateFault.CLOSED, "process of lane-1's gate ended"),
        (signal.SIGSTOP, GateFault.NO_ANSWER, "does not answer"),
    ],
)
def test_a_process_that_is_killed_or_stopped_is_named_and_the_next_exchange_starts_another(
    file: Path, deed: signal.Signals, fault: GateFault, says: str
) -> None:
    quick = LANE.model_copy(update={"gate": LANE.gate.model_copy(update={"timeout_ms": 1000})})
    gate = HostedGate(host(str(file)), quick)
    session = gate.exchange(IDLE).session
    assert gate._process is not None
    gate._process.send_signal(deed)
    with pytest.raises(GateLinkError, match=says) as caught:
        soon(lambda: gate.exchange(IDLE).plc_running is None)
    assert caught.value.fault is fault
    assert gate.exchange(IDLE).session > session
    gate.close()


def test_wires_that_cannot_be_had_are_named_through_the_process() -> None:
    gate = HostedGate(host("none"), LANE)
    with pytest.raises(GateLinkError, match="there is no chip; plug one in") as caught:
        gate.exchange(IDLE)
    assert caught.value.fault is GateFault.UNREACHABLE
    gate.close()


def test_the_real_process_says_that_there_is_no_chip() -> None:
    gate = open_lane_gate(LANE)
    with pytest.raises(GateLinkError, match="there is no /dev/gpiochip99, or no line 1 on it"):
        gate.exchange_idle()
    gate.close()


def test_it_rejects_and_ends_when_the_process_that_it_serves_is_killed(file: Path) -> None:
    script = (
        "import os; from tests.gate.test_hosted import *;"
        f"gate = HostedGate(host({str(file)!r}), LANE); gate.exchange(IDLE);"
        "os.kill(os.getpid(), 9)"
    )
    served = subprocess.run([sys.executable, "-c", script], check=False)
    assert served.returncode == -signal.SIGKILL
    soon(lambda: file.exists() and file.read_text().split()[-1:] == ["closed"])


@pytest.mark.parametrize("trouble", [errno.EAGAIN, errno.ENOMEM])
def test_a_machine_that_has_no_room_for_the_process_is_a_link_that_is_down_until_it_has(
    gate: HostedGate, monkeypatch: pytest.MonkeyPatch, trouble: int
) -> None:
    def refuse(*_command: object, **_options: object) -> None:
        raise OSError(trouble, os.strerror(trouble))

    with monkeypatch.context() as full:
        full.setattr(subprocess, "Popen", refuse)
        with pytest.raises(
            GateLinkError, match=f"cannot be started: {os.strerror(trouble)}"
        ) as caught:
            gate.exchange(IDLE)
    assert caught.value.fault is GateFault.UNREACHABLE
    assert gate.exchange(IDLE).plc_running


def test_a_process_that_ends_before_it_was_told_its_lane_is_a_link_that_is_down(
    gate: HostedGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    popen = subprocess.Popen

    def ended(_command: list[str], *, pass_fds: list[int]) -> "subprocess.Popen[bytes]":
        process = popen(["true"])
        process.wait()
        return process

    monkeypatch.setattr(subprocess, "Popen", ended)
    with pytest.raises(GateLinkError, match="the process of lane-1's gate ended"):
        gate.exchange(IDLE)
