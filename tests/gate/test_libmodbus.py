"""The handshake with a PLC in C on libmodbus, as client and as server: a part is counted and passes."""

import shutil
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pytest

from inspector.config.gates import ModbusGateSettings, ModbusServerGateSettings
from inspector.core.gate_codes import GateAction, GateReason, GateStatus
from inspector.core.part import PartId
from inspector.core.verdict import Outcome, Reason
from inspector.gate import Command, Gate, GateLinkError, GateResult, LineState, Outgoing, open_gate
from inspector.gate import registers as r
from tests.gate.client_peer import ModbusClientPlc

HEADER = Path("/usr/include/modbus/modbus.h")


def defines() -> Iterable[str]:
    """The layout, for the compiler."""
    plc = {register.name: register.offset for register in r.PLC_TO_LINE}
    line = {register.name: register.offset for register in r.LINE_TO_PLC}
    values = {
        "MAP_VERSION": r.MAP_VERSION,
        "PLC_SIZE": r.PLC_TO_LINE_SIZE,
        "LINE_SIZE": r.LINE_TO_PLC_SIZE,
        "PHOTO_EYE_1": plc["photo_eye[1].number"],
        "GATE_RESULT_1": plc["gate_result[1].number"],
        "RESULT_1": line["result[1].number"],
        "READY": GateStatus.READY,
        "OK": r.ResultCode.OK,
        "PASSED": GateAction.PASSED,
        "WHY_OK": GateReason.OK,
    }
    values |= {f"PLC_{name.upper()}": at for name, at in plc.items() if "[" not in name}
    values |= {f"LINE_{name.upper()}": at for name, at in line.items() if "[" not in name}
    return (f"-D{name}={int(value)}" for name, value in values.items())


@pytest.fixture(scope="module")
def plc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled program."""
    compiler = shutil.which("gcc")
    if compiler is None or not HEADER.exists():
        pytest.fail("no gcc or no libmodbus-dev; `make test` installs them")
    program = tmp_path_factory.mktemp("libmodbus") / "plc"
    source = Path(__file__).with_name("libmodbus_plc.c")
    command = [compiler, "-O1", "-Wall", "-Werror", *defines(), str(source), "-lmodbus"]
    subprocess.run([*command, "-o", str(program)], check=True)
    return program


def converse(gate: Gate, plc: subprocess.Popen[str]) -> list[GateResult]:
    """Judge whatever part is counted OK, until the PLC has all it wanted; what its gate did."""
    started_ns = time.monotonic_ns()
    commands: tuple[Command, ...] = ()
    done: list[GateResult] = []
    judged = 0
    while plc.poll() is None:
        with suppress(GateLinkError):  # before it came, and after it went
            incoming = gate.exchange(Outgoing(True, LineState.RUNNING, commands))
            commands = ()
            done += incoming.gate_results
            for eye in incoming.photo_eyes:
                if eye.number > judged:
                    judged = eye.number
                    assert started_ns < eye.at_ns < time.monotonic_ns()
                    part = PartId("lane-1", incoming.session, judged)
                    commands = (Command(part, Outcome.PASS, Reason.CLEAN, eye.at_ns),)
        time.sleep(0.005)
    gate.close()
    return done


def test_a_plc_that_is_a_client_counts_a_part_and_gets_its_ok(plc: Path) -> None:
    port = ModbusClientPlc().port
    settings = ModbusServerGateSettings(
        driver="modbus_server", host="127.0.0.1", port=port, timeout_ms=1000
    )
    gate = open_gate(settings, "lane-1")
    with pytest.raises(GateLinkError, match="does not connect"):
        gate.exchange(Outgoing(alive=False, state=LineState.STARTING))
    with subprocess.Popen([plc, "client", str(port)], text=True) as process:
        done = converse(gate, process)
    assert process.returncode == 0
    assert done == [GateResult(1, GateAction.PASSED, GateReason.OK)]


def test_a_plc_that_is_a_server_counts_a_part_and_gets_its_ok(plc: Path) -> None:
    with subprocess.Popen([plc, "server"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        gate = open_gate(ModbusGateSettings(port=port, timeout_ms=1000), "lane-1")
        done = converse(gate, process)
    assert process.returncode == 0
    assert done == [GateResult(1, GateAction.PASSED, GateReason.OK)]
