"""A gate in a process of its own: ``python -m inspector.gate.hosted FD``, started by `HostedGate`.

Inspection's threads share one interpreter lock, and whoever holds it may be put aside by the machine for
longer than a scan may be late. So where the wires are this machine's, the program is scanned by a process
that does nothing else. When inspection ends or is killed, so does it, in reject.
"""

import signal
import subprocess
import sys
from collections.abc import Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Final

from inspector.config import LaneSettings
from inspector.gate.protocol import Gate, GateFault, GateLinkError, Incoming, Outgoing
from inspector.gate.without_plc import gpio_gate
from inspector.telemetry.logs import configure_logs

_START_S: Final = 20.0
_END_S: Final = 2.0
_Refusal = tuple[GateFault, str, str]
"""What a `GateLinkError` is made of: it does not travel between processes itself."""


class HostedGate:
    """A gate whose program runs in another process. Not thread-safe: one thread owns it.

    Args:
        command: starts that process; the descriptor of its end of the pipe is added.
        lane: the lane's configuration, told to it first.
    """

    def __init__(self, command: Sequence[str], lane: LaneSettings) -> None:
        self._command = command
        self._lane = lane
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection | None = None

    def exchange(self, outgoing: Outgoing) -> Incoming:
        """See `Gate.exchange`."""
        return self._ask(outgoing)

    def exchange_idle(self) -> Incoming:
        """See `Gate.exchange_idle`. It needs the wires, so it fails beside a line that has them."""
        return self._ask(None)

    def close(self) -> None:
        """Reject, and end the process; the next exchange starts it anew."""
        if self._pipe is not None:
            self._pipe.close()
        if self._process is not None:
            try:
                self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = self._pipe = None

    def _ask(self, outgoing: Outgoing | None) -> Incoming:
        pipe, wait_s = self._pipe, self._lane.gate.timeout_ms / 1e3
        try:
            if pipe is None:
                # Its first answer comes when it has started and has its wires.
                pipe, wait_s = self._start(), _START_S
            pipe.send(outgoing)
            if not pipe.poll(wait_s):
                raise self._lost(GateFault.NO_ANSWER, "does not answer")
            answer: Incoming | _Refusal = pipe.recv()
        except (OSError, EOFError) as error:
            raise self._lost(GateFault.CLOSED, "ended") from error
        if isinstance(answer, Incoming):
            return answer
        raise GateLinkError(*answer)

    def _start(self) -> Connection:
        try:
            self._pipe, theirs = Pipe()
            with theirs:
                self._process = subprocess.Popen(
                    [*self._command, str(theirs.fileno())], pass_fds=[theirs.fileno()]
                )
        except OSError as error:
            raise self._lost(
                GateFault.UNREACHABLE, f"cannot be started: {error.strerror}"
            ) from error
        self._pipe.send(self._lane.model_dump_json())
        return self._pipe

    def _lost(self, fault: GateFault, how: str) -> GateLinkError:
        if self._process is not None:
            self._process.kill()
        self.close()
        return GateLinkError(
            fault,
            f"the process of {self._lane.name}'s gate {how}",
            "see the log for why; it is started anew by itself, and parts are rejected meanwhile",
        )


def serve(pipe: Connection, gate: Gate) -> None:
    """Exchange for whoever is at the pipe's other end, until that is gone; then reject."""
    try:
        while True:
            outgoing: Outgoing | None = pipe.recv()
            answer: Incoming | _Refusal
            try:
                answer = gate.exchange_idle() if outgoing is None else gate.exchange(outgoing)
            except GateLinkError as error:
                answer = (error.fault, error.what, error.remedy)
            pipe.send(answer)
    except (EOFError, OSError):
        pass
    finally:
        gate.close()


def main(descriptor: str) -> int:
    """Host the GPIO gate of the lane that the pipe tells of."""
    # Ctrl-C reaches every process of the terminal; this one ends with the process that it serves.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe = Connection(int(descriptor))
    lane = LaneSettings.model_validate_json(pipe.recv())
    configure_logs("gate")
    serve(pipe, gpio_gate(lane))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
