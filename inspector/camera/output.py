"""The camera's output line as the diverter's wire: high for as long as a timer in the camera runs."""

import time
from typing import Final

from inspector.camera.nodes import Nodes
from inspector.config.gates import CameraGateSettings
from inspector.core.errors import CameraError

_LONGEST_NS: Final = 500_000_000
"""No pulse is longer, whatever is asked for."""


class GateOutput:
    """The line, low at first: the gate rejects.

    The camera itself ends each pulse. A user output that the host sets and takes back would do with any
    camera, but would stay high when the host dies between the two; so there is no such way.

    Raises:
        CameraError: the camera lacks a feature, or does not take its value.
    """

    def __init__(self, nodes: Nodes, settings: CameraGateSettings) -> None:
        self._nodes = nodes
        self._source = f"{settings.timer}Active"
        self._slowest_ns = round(settings.late_ms * 1e6)
        nodes.write("LineSelector", settings.output_line)
        self.shut()
        if nodes.takes("LineMode", "Output"):
            nodes.write("LineMode", "Output")
        nodes.write("TimerSelector", settings.timer)
        nodes.write("TimerTriggerSource", settings.timer_signal)
        nodes.write("SoftwareSignalSelector", settings.timer_signal)

    def pass_until(self, until_ns: int) -> None:
        """One pulse from now until this host monotonic time, or less.

        Raises:
            CameraError: the camera does not take it, or takes so long that it would end too late.
        """
        self._nodes.write("LineSource", self._source)
        began_ns = time.monotonic_ns()
        self._nodes.write("TimerDuration", min(until_ns - began_ns, _LONGEST_NS) / 1e3)
        self._nodes.execute("SoftwareSignalPulse")
        slow_ns = time.monotonic_ns() - began_ns
        if slow_ns > self._slowest_ns:
            self.shut()
            raise CameraError(
                f"the camera took {slow_ns // 1_000_000} ms to begin a pass, so it was given up",
                "see what else is on its network, and what else this computer does",
            )

    def shut(self) -> None:
        """Low at once, though the timer may still run.

        Raises:
            CameraError: the camera does not take it.
        """
        self._nodes.write("LineSource", "Off")
