"""From a lane's configuration to the gate that is driven from here."""

from collections.abc import Callable
from typing import Final

from inspector.config import LaneSettings
from inspector.config.gates import CameraGateSettings, DirectGateSettings, GpioGateSettings
from inspector.core.belt import BeltLimits
from inspector.core.gate_program import Parameters
from inspector.gate.camera_output import CameraWires
from inspector.gate.direct import DirectGate
from inspector.gate.gpio import GpioWires
from inspector.gate.scanner import Pace, Wires

_EDGE_MS: Final = 1.0
"""From the end of the debounce to the edge's being there to be read, at most."""
_AT_SPEED: Final = BeltLimits(settle_ns=0)
"""A belt of which nobody tells whether it runs is taken to have its speed."""


def gpio_gate(
    lane: LaneSettings, open_wires: Callable[[GpioGateSettings], Wires] = GpioWires
) -> DirectGate:
    """The gate of a lane on lines of this machine, scanned in this process."""
    gate = lane.gate
    assert isinstance(gate, GpioGateSettings)
    belt = _AT_SPEED if gate.drive_line is None else BeltLimits()
    pace = _pace(gate, gate.late_ms, gate.debounce_ms + _EDGE_MS)
    return _direct(gate, lane, belt, pace, lambda: open_wires(gate))


def camera_gate(lane: LaneSettings, camera_pass: Callable[[int], bool]) -> DirectGate:
    """The gate of a lane on its camera's output; see `CameraWires` for ``camera_pass``."""
    gate = lane.gate
    assert isinstance(gate, CameraGateSettings)
    pace = _pace(gate, 2 * gate.reach_ms, 0)
    return _direct(gate, lane, _AT_SPEED, pace, lambda: CameraWires(camera_pass))


def _direct(
    gate: GpioGateSettings | CameraGateSettings,
    lane: LaneSettings,
    belt: BeltLimits,
    pace: Pace,
    open_wires: Callable[[], Wires],
) -> DirectGate:
    program = Parameters(
        photo_eye=lane.camera.trigger != "free_run",
        travel=_ns(lane.part.travel_ms),
        reach=_ns(gate.reach_ms),
        margin=_ns(gate.margin_ms),
        heartbeat_ns=_ns(gate.heartbeat_ms),
        belt=belt,
    )
    return DirectGate(
        open_wires, program, pace, lane.name, where=gate.address, timeout_ms=gate.timeout_ms
    )


def _pace(gate: DirectGateSettings, hold_ms: float, eye_delay_ms: float) -> Pace:
    return Pace(_ns(gate.scan_ms), _ns(gate.late_ms), _ns(hold_ms), _ns(eye_delay_ms))


def _ns(ms: float) -> int:
    return round(ms * 1e6)
