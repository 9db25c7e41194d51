"""The verdict to the world: the PLC's reject gate."""

from inspector.config import GateSettings
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
from inspector.gate.registers import GateResult, LineState, PlcAction, PlcReason

__all__ = [
    "Command",
    "Gate",
    "GateFault",
    "GateLinkError",
    "GateResult",
    "Incoming",
    "LineState",
    "Outgoing",
    "PhotoEye",
    "PlcAction",
    "PlcReason",
    "open_gate",
]


def open_gate(settings: GateSettings, lane: str) -> Gate:
    """The driver for a lane's gate. Nothing is sent before the first exchange."""
    return ModbusGate(settings, lane)
