"""The verdict to the world: the PLC's reject gate."""

import sys
from collections.abc import Callable
from contextlib import closing

from inspector.config import LaneSettings
from inspector.config.gates import (
    CameraGateSettings,
    GpioGateSettings,
    ModbusServerGateSettings,
    OpcUaGateSettings,
    PlcGateSettings,
    S7GateSettings,
)
from inspector.core.errors import GateError
from inspector.core.gate_codes import GateAction, GateReason
from inspector.gate.camera_output import no_camera
from inspector.gate.hosted import HostedGate
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
from inspector.gate.watch import GateCondition, GateWatch
from inspector.gate.without_plc import camera_gate

__all__ = [
    "JOB_REFUSED",
    "Command",
    "Gate",
    "GateAction",
    "GateCondition",
    "GateFault",
    "GateLinkError",
    "GateReason",
    "GateResult",
    "GateWatch",
    "Incoming",
    "LineState",
    "Outgoing",
    "PhotoEye",
    "no_camera",
    "open_gate",
    "open_lane_gate",
    "probe_gate",
]


def open_gate(settings: PlcGateSettings, lane: str) -> Gate:
    """The driver for the PLC at a lane's gate. Nothing is sent before the first exchange.

    Raises:
        GateError: the driver's library is not installed.
    """
    try:
        match settings:
            case ModbusServerGateSettings():
                from inspector.gate.modbus_server import ModbusServerGate

                return ModbusServerGate(settings, lane)
            case S7GateSettings():
                from inspector.gate.s7 import S7Gate

                return S7Gate(settings, lane)
            case OpcUaGateSettings():
                from inspector.gate.opcua import OpcUaGate

                return OpcUaGate(settings, lane)
            case _:
                return ModbusGate(settings, lane)
    except ModuleNotFoundError as error:
        raise GateError(
            f"the gate of {lane} is driven by {settings.driver}, whose library is not installed "
            f"({error.name})",
            f"pip install 'inspector[{settings.driver}]'",
        ) from error


def probe_gate(settings: PlcGateSettings, lane: str) -> str:
    """What is found where the gate's link should be, without disturbing a line that runs.

    Raises:
        GateError: a line could not use it; also where the driver's library is not installed.
    """
    gate = open_gate(settings, lane)
    if isinstance(settings, OpcUaGateSettings):
        from inspector.gate.opcua import probe

        return probe(settings)
    with closing(gate):
        gate.exchange_idle()
    return f"{settings.address} answers"


def open_lane_gate(lane: LaneSettings, camera_pass: Callable[[int], bool] = no_camera) -> Gate:
    """The gate of a lane, be there a PLC or none. Nothing is sent or moved before the first exchange.

    Args:
        lane: the lane's configuration.
        camera_pass: asks the lane's camera for a pulse on its output until a host time; see `CameraWires`.
    """
    match lane.gate:
        case GpioGateSettings():
            return HostedGate([sys.executable, "-m", "inspector.gate.hosted"], lane)
        case CameraGateSettings():
            return camera_gate(lane, camera_pass)
        case plc:
            return open_gate(plc, lane.name)
