"""The verdict to the world: the PLC's reject gate."""

from inspector.config import LaneGateSettings, ModbusServerGateSettings, S7GateSettings
from inspector.core.errors import GateError
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


def open_gate(settings: LaneGateSettings, lane: str) -> Gate:
    """The driver for a lane's gate. Nothing is sent before the first exchange.

    Raises:
        GateError: the driver's library is not installed.
    """
    if isinstance(settings, ModbusServerGateSettings):
        return _modbus_server(settings, lane)
    if isinstance(settings, S7GateSettings):
        return _s7(settings, lane)
    return ModbusGate(settings, lane)


def _modbus_server(settings: ModbusServerGateSettings, lane: str) -> Gate:
    from inspector.gate.modbus_server import ModbusServerGate

    return ModbusServerGate(settings, lane)


def _s7(settings: S7GateSettings, lane: str) -> Gate:
    try:
        from inspector.gate.s7 import S7Gate
    except ModuleNotFoundError as error:
        raise GateError(
            f"the gate of {lane} speaks S7, but its library is not installed ({error.name})",
            "pip install 'inspector[s7]'",
        ) from error
    return S7Gate(settings, lane)
