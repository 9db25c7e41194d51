"""node-opcua plays the PLC: a client by people who never saw this project."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from asyncua.crypto.cert_gen import (
    dump_private_key_as_pem,
    generate_private_key,
    generate_self_signed_app_certificate,
)
from asyncua.ua.uaerrors import BadCertificateUntrusted
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from inspector.config.gates import OpcUaGateSettings
from inspector.core.gate_codes import GateAction, GateReason, GateStatus
from inspector.core.part import PartId
from inspector.core.verdict import Outcome, Reason
from inspector.gate import (
    Command,
    Gate,
    GateFault,
    GateLinkError,
    GateResult,
    LineState,
    Outgoing,
    PhotoEye,
    open_gate,
)
from inspector.gate.opcua.server import APPLICATION, NAMESPACE
from inspector.gate.registers import (
    LINE_TO_PLC,
    MAP_VERSION,
    PLC_TO_LINE,
    ResultCode,
)
from tests.gate.opcua.client import free_port
from tests.gate.opcua.noise import Noise

PEER = Path(__file__).parent / "node_opcua"
RECIPE = "type-01 v3 0123456789ab"
SESSION = 77


@dataclass
class Line:
    """The line's side while the peer runs: it passes every part at once."""

    gate: Gate
    told: int = 0
    eyes: tuple[PhotoEye, ...] = ()
    results: tuple[GateResult, ...] = ()
    last_fault: GateFault | None = None

    def turn(self) -> None:
        commands = tuple(
            Command(PartId("lane-1", SESSION, eye.number), Outcome.PASS, Reason.CLEAN, eye.at_ns)
            for eye in self.eyes
            if eye.number > self.told
        )
        self.told = max([self.told, *(command.part.number for command in commands)])
        try:
            incoming = self.gate.exchange(
                Outgoing(True, LineState.RUNNING, commands, recipe=RECIPE)
            )
        except GateLinkError as error:
            self.last_fault = error.fault
            return
        self.eyes = incoming.photo_eyes
        self.results += incoming.gate_results


@pytest.fixture
def node() -> str:
    if not (PEER / "node_modules" / "node-opcua-client").is_dir():
        pytest.fail("node-opcua is not installed; `make test` installs it (npm ci)")
    return "node"


def play(node: str, line: Line, settings: OpcUaGateSettings, **more: str) -> dict[str, object]:
    """The peer's report; the line turns meanwhile."""
    while line.last_fault is not GateFault.NO_ANSWER:
        line.turn()
        time.sleep(0.05)
    orders = {
        "endpoint": f"{settings.address}/",
        "namespace": NAMESPACE,
        "plc": [register._asdict() for register in PLC_TO_LINE],
        "line": [register._asdict() for register in LINE_TO_PLC],
        "constant": {
            "map_version": MAP_VERSION,
            "status": int(GateStatus.READY | GateStatus.LINE_ALIVE | GateStatus.PHOTO_EYE),
            "session": SESSION,
        },
        "gate_result": {
            "gate_result[1].number": 1,
            "gate_result[1].action": GateAction.PASSED,
            "gate_result[1].reason": GateReason.OK,
        },
        **more,
    }
    with subprocess.Popen(
        [node, "plc.js"],
        cwd=PEER,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as peer:
        assert peer.stdin is not None
        peer.stdin.write(json.dumps(orders))
        peer.stdin.close()
        peer.stdin = None
        while peer.poll() is None:
            line.turn()
            time.sleep(0.01)
        said, complaint = peer.communicate()
    assert peer.returncode == 0, complaint
    report: dict[str, object] = json.loads(said.splitlines()[-1])
    return report


def check(report: dict[str, object], line: Line) -> None:
    assert report["outcome"] == ResultCode.OK
    assert report["recipe"] == RECIPE
    assert report["state"] == "ContinuousExecution"
    assert report["events"] == [
        {
            "ResultId": f"lane-1/{SESSION}/1",
            "PartId": 1,
            "Outcome": "OK",
            "Reason": "clean",
            "InternalRecipeId": RECIPE,
        }
    ]
    assert line.results == (GateResult(1, GateAction.PASSED, GateReason.OK),)


@pytest.fixture
def opened() -> Iterator[list[Gate]]:
    gates: list[Gate] = []
    yield gates
    for gate in gates:
        gate.close()


def test_another_client_counts_a_part_sees_its_ok_and_acknowledges_it(
    node: str, opened: list[Gate]
) -> None:
    settings = OpcUaGateSettings(driver="opcua", port=free_port(), timeout_ms=1000)
    line = Line(open_gate(settings, "lane-1"))
    opened.append(line.gate)
    report = play(node, line, settings)
    check(report, line)
    assert report["second_writer"] == "BadUserAccessDenied"
    sys.stdout.write(
        f"\nround trip, write and read, ms: {report['round_trip_ms']}; "
        f"part counted to OK seen, ms: {report['verdict_ms']}\n"
    )


def certificate(folder: Path, name: str, uri: str, use: x509.ObjectIdentifier) -> tuple[Path, Path]:
    key = generate_private_key()
    made = generate_self_signed_app_certificate(
        key, name, {}, [x509.UniformResourceIdentifier(uri), x509.DNSName("localhost")], [use]
    )
    files = folder / f"{name}.pem", folder / f"{name}.key.pem"
    files[0].write_bytes(made.public_bytes(Encoding.PEM))
    files[1].write_bytes(dump_private_key_as_pem(key))
    return files


def test_with_certificates_only_a_trusted_client_speaks_and_only_encrypted(
    node: str, opened: list[Gate], tmp_path: Path
) -> None:
    trusted = tmp_path / "trusted"
    trusted.mkdir()
    own = certificate(tmp_path, "line", APPLICATION, ExtendedKeyUsageOID.SERVER_AUTH)
    plc = certificate(tmp_path, "plc", "urn:plc", ExtendedKeyUsageOID.CLIENT_AUTH)
    stranger = certificate(tmp_path, "stranger", "urn:plc", ExtendedKeyUsageOID.CLIENT_AUTH)
    (trusted / "plc.pem").write_bytes(plc[0].read_bytes())
    settings = OpcUaGateSettings(
        driver="opcua",
        port=free_port(),
        timeout_ms=1000,
        certificate=own[0],
        private_key=own[1],
        trusted_clients=trusted,
    )
    line = Line(open_gate(settings, "lane-1"))
    opened.append(line.gate)

    def files(pair: tuple[Path, Path]) -> dict[str, str]:
        return {
            "certificate": str(pair[0]),
            "privateKey": str(pair[1]),
            "applicationUri": "urn:plc",
        }

    with pytest.raises(AssertionError, match="BadCertificateUntrusted"):
        play(node, line, settings, **files(stranger))
    # A client that does not ask for end points gets a bare channel, but no session on it.
    with pytest.raises(BadCertificateUntrusted):
        Noise(settings.host, settings.port).alive()
    check(play(node, line, settings, **files(plc)), line)
