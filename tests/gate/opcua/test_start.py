"""The OPC UA server comes and goes, or says why not."""

import socket
import sys
import threading
from pathlib import Path

import pytest

from inspector.config.gates import OpcUaGateSettings
from inspector.core.errors import GateError
from inspector.gate import (
    GateFault,
    GateLinkError,
    open_gate,
    probe_gate,
)
from tests.gate.opcua.client import free_port, until
from tests.gate.opcua.line import IDLE, error_of, fault_of, settings


def test_the_server_starts_in_its_own_time_and_close_frees_its_port() -> None:
    where = settings(free_port())
    gate = open_gate(where, "lane-1")
    with pytest.raises(GateLinkError, match="is starting; wait") as caught:
        gate.exchange(IDLE)
    assert caught.value.fault is GateFault.UNREACHABLE
    until(lambda: fault_of(gate) is GateFault.NO_ANSWER)
    assert "served by a running line" in probe_gate(where, "lane-1")
    gate.close()
    until(lambda: f"opcua-{where.port}" not in {thread.name for thread in threading.enumerate()})
    assert "free for the line" in probe_gate(where, "lane-1")


def test_a_port_that_another_program_holds_is_said_to_be_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        where = settings(holder.getsockname()[1])
        with pytest.raises(GateError, match="cannot be listened on: Address already in use; free"):
            probe_gate(where, "lane-1")
        gate = open_gate(where, "lane-1")
        until(lambda: fault_of(gate) is not None and "already in use" in str(error_of(gate)))
        assert error_of(gate).fault is GateFault.UNREACHABLE
        gate.close()


def test_without_the_library_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("inspector.gate.opcua")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "asyncua", None)
    with pytest.raises(GateError, match=r"pip install 'inspector\[opcua\]'"):
        open_gate(settings(4840), "lane-1")


def test_certificates_that_are_not_there_are_named(tmp_path: Path) -> None:
    where = OpcUaGateSettings(
        driver="opcua",
        port=free_port(),
        certificate=tmp_path / "line.der",
        private_key=tmp_path / "line.key",
        trusted_clients=tmp_path,
    )
    with pytest.raises(GateError, match="holds no client's certificate"):
        probe_gate(where, "lane-1")
    (tmp_path / "plc.pem").write_text("no certificate")
    with pytest.raises(GateError, match=r"line\.der cannot be read"):
        probe_gate(where, "lane-1")
    (tmp_path / "line.der").write_bytes(b"nor this")
    with pytest.raises(GateError, match="holds no certificate; export it anew"):
        probe_gate(where, "lane-1")
