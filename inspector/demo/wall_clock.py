"""A wall clock of the line's own, which a fault can set without harming anybody else's."""

import subprocess
from pathlib import Path

from inspector.core.errors import InspectorError
from inspector.twin.triton.build import find_compiler

_SOURCE = Path(__file__).with_suffix(".cpp")


class WallClock:
    """The clock of whatever runs in its environment; right until it is set.

    Args:
        folder: where the library is built and the file lies that says how wrong the clock is.

    Raises:
        InspectorError: there is no compiler, or it failed.
    """

    def __init__(self, folder: Path) -> None:
        library, self._file = folder / "wall-clock.so", folder / "wall-clock"
        command = [*find_compiler(), "-std=c++17", "-O2", "-fPIC", "-shared"]
        built = subprocess.run(
            [*command, str(_SOURCE), "-o", str(library)],
            capture_output=True,
            text=True,
            check=False,
        )
        if built.returncode:
            raise InspectorError(
                f"a wall clock that can be set does not compile: {built.stderr.strip()}",
                "install g++ (or pip install ziglang) and try again",
            )
        self._file.write_bytes(bytes(8))
        self.environment = {"LD_PRELOAD": str(library), "INSPECTOR_WALL_CLOCK": str(self._file)}

    def set_off_by(self, seconds: int) -> None:
        """From now on the clock differs by so much from the true one."""
        with self._file.open("r+b", buffering=0) as file:
            file.write(seconds.to_bytes(8, "little", signed=True))
