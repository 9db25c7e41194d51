"""The verdict to the world: the PLC's reject gate."""

from inspector.config import ModbusGateSettings
from inspector.core.gate_codes import GateAction, GateReason
from inspector.gate.modbus import ModbusGate
from inspector.gate.protocol import (
    Command,
    Gate,
    GateFault,
    GateLinkError,
    Incoming,
    Outgoing,
    PhotoEye,
)
from inspector.gate.registers import JOB_REFUSED, GateResult, LineState

__all__ = [
    "JOB_REFUSED",
    "Command",
    "Gate",
    "GateAction",
    "GateFault",
    "GateLinkError",
    "GateReason",
    "GateResult",
    "Incoming",
    "LineState",
    "Outgoing",
    "PhotoEye",
    "open_gate",
]


def open_gate(settings: ModbusGateSettings, lane: str) -> Gate:
    """The driver for a lane's gate. Nothing is sent before the first exchange."""
    return ModbusGate(settings, lane)
