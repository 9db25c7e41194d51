"""The line's side of the handshake, and blocks of a PLC, for the tests of the OPC UA server."""

import itertools

import pytest

from inspector.config.gates import OpcUaGateSettings
from inspector.core.gate_codes import GateStatus
from inspector.core.part import PartId
from inspector.core.verdict import Outcome, Reason
from inspector.gate import (
    Command,
    Gate,
    GateFault,
    GateLinkError,
    Incoming,
    LineState,
    Outgoing,
)
from inspector.gate.registers import (
    PhotoEyeEvent,
    PlcBlock,
)
from tests.gate.opcua.client import PlcClient, until

MS = 1_000_000
IDLE = Outgoing(alive=True, state=LineState.RUNNING)
SILENCE_MS = 1000
RECIPE = "type-01 v3 0123456789ab"


def settings(port: int) -> OpcUaGateSettings:
    return OpcUaGateSettings(driver="opcua", port=port, timeout_ms=SILENCE_MS)


def fault_of(gate: Gate, outgoing: Outgoing = IDLE) -> GateFault | None:
    try:
        gate.exchange(outgoing)
    except GateLinkError as error:
        return error.fault
    return None


def error_of(gate: Gate) -> GateLinkError:
    with pytest.raises(GateLinkError) as caught:
        gate.exchange(IDLE)
    return caught.value


sessions = itertools.count(1000)
sequences = itertools.count(1)


def block(session: int, *eyes: PhotoEyeEvent, clock_ms: int = 5000, beat: int = 0) -> PlcBlock:
    sequence = next(sequences) % 65536
    count = eyes[-1].number if eyes else 0
    return PlcBlock(sequence, GateStatus.READY, beat, session, count, clock_ms, 0, 0, eyes)


def ok(session: int, number: int, at_ns: int = 0) -> Command:
    return Command(PartId("lane-1", session, number), Outcome.PASS, Reason.CLEAN, at_ns)


def told(gate: Gate, plc: PlcClient, session: int, outgoing: Outgoing) -> Incoming:
    """The PLC writes, the line answers, and the answer is there to be read."""
    before = plc.line()
    plc.write(block(session))
    incoming = gate.exchange(outgoing)
    until(
        lambda: (now := plc.line()) is not None and (not before or now.sequence != before.sequence)
    )
    return incoming
