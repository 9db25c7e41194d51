"""The diverter on the camera's own output line: the acquisition process, which has the camera, is asked."""

from collections.abc import Callable, Sequence

from inspector.core.errors import GateError


class CameraWires:
    """See `Wires`. No photo-eye: in free run the line counts the cups that it sees.

    A pass is asked for once, with its end, and the camera's timer makes it: to ask again with every scan
    would be more than the camera's control channel carries.

    Args:
        pass_until: asks the acquisition process for a pulse until a host time, 0 for none; False when the
            request was dropped.
    """

    def __init__(self, pass_until: Callable[[int], bool]) -> None:
        self._ask = pass_until
        self._passing = False

    def edges(self) -> Sequence[int]:
        """See `Wires.edges`: never any."""
        return ()

    def belt_runs(self) -> bool:
        """See `Wires.belt_runs`: nobody is asked."""
        return True

    def pass_until(self, until_ns: int) -> None:
        """See `Wires.pass_until`."""
        if not self._passing:
            self._passing = True
            self._send(until_ns)

    def reject(self) -> None:
        """See `Wires.reject`."""
        if self._passing:
            self._passing = False
            self._send(0)

    def close(self) -> None:
        """See `Wires.close`. Where nobody takes the request the camera's timer ends the pass."""
        if self._passing:
            self._ask(0)

    def _send(self, until_ns: int) -> None:
        if not self._ask(until_ns):
            raise GateError(
                "the camera's process does not take requests",
                "see the log for why; it is started anew by itself, and so is the count",
            )


def no_camera(_until_ns: int) -> bool:
    """Where there is no acquisition process to ask."""
    return False
