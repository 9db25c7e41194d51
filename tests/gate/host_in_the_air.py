"""The gate's process on wires in the air, for `test_hosted.py`: a part comes by every 150 ms.

``python -m tests.gate.host_in_the_air FILE FD``: each level of the diverter is a line of FILE.
"""

import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from inspector.config import LaneSettings
from inspector.core.errors import GateError
from inspector.gate.hosted import serve
from inspector.gate.without_plc import gpio_gate

MS = 1_000_000


class Wires:
    """What the diverter is told stands in a file; None of it opens anything."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._next_ns = time.monotonic_ns() + 150 * MS

    def edges(self) -> Sequence[int]:
        now_ns = time.monotonic_ns()
        if now_ns < self._next_ns:
            return ()
        self._next_ns = now_ns + 150 * MS
        return (now_ns,)

    def belt_runs(self) -> bool:
        return True

    def pass_until(self, _until_ns: int) -> None:
        self._note("pass")

    def reject(self) -> None: ...

    def close(self) -> None:
        self._note("closed")

    def _note(self, word: str) -> None:
        with self._file.open("a") as file:
            print(word, file=file)


def main(file: str, descriptor: str) -> None:
    pipe = Connection(int(descriptor))
    lane = LaneSettings.model_validate_json(pipe.recv())

    def wires(_settings: object) -> Wires:
        if file == "none":
            raise GateError("there is no chip", "plug one in")
        return Wires(Path(file))

    serve(pipe, gpio_gate(lane, wires))


if __name__ == "__main__":
    main(*sys.argv[1:])
