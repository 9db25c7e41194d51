"""Photo-eye and diverter on GPIO lines of this machine."""

import contextlib
import importlib.util
import os
import select
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

from inspector.config.gates import GpioGateSettings
from inspector.core.errors import GateError
from inspector.gate.pulse import MESSAGE

_START_S: Final = 20.0
_END_S: Final = 1.0


class HeldOutput:
    """An output that another process holds, so that a pass ends whatever becomes of this one.

    Args:
        command: starts that process; see `inspector.gate.pulse` for how it is spoken to.

    Raises:
        GateError: it does not start, or cannot have its line.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._commands = self._process.stdin.fileno()
        # A holder that does not read must not hold up the program.
        os.set_blocking(self._commands, False)
        self._told_to_pass = False
        said = b""
        if select.select([self._process.stdout], [], [], _START_S)[0]:
            said = self._process.stdout.readline()
        if said != b"ready\n":
            self._end()
            what, _, remedy = said.decode(errors="replace").strip().partition("\t")
            raise GateError(
                what or "the process that holds the diverter's line does not start",
                remedy or "see the log for why",
            )

    def pass_until(self, until_ns: int) -> None:
        """Drive the line high until then."""
        self._told_to_pass = True
        self._tell(until_ns)

    def reject(self) -> None:
        """Drive it low."""
        if self._told_to_pass:
            self._tell(0)
            self._told_to_pass = False
        elif self._process.poll() is not None:
            raise self._ended()

    def close(self) -> None:
        """Drive it low and give it back."""
        self._end()

    def _tell(self, until_ns: int) -> None:
        try:
            os.write(self._commands, MESSAGE.pack(until_ns))
        except OSError as error:
            raise self._ended() from error

    def _ended(self) -> GateError:
        return GateError(
            "the process that holds the diverter's line ended or does not listen",
            "see the log for why; it is started anew",
        )

    def _end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


class GpioWires:
    """See `Wires`. The inputs are read here, the diverter's line is held by a process of its own.

    Raises:
        GateError: a line cannot be had.
    """

    def __init__(self, settings: GpioGateSettings) -> None:
        if importlib.util.find_spec("gpiod") is None:
            raise GateError("GPIO lines need the package gpiod", "pip install 'inspector[gpio]'")
        from inspector.gate.lines import InputLine, LevelLine

        chip = settings.chip
        self._eye: InputLine | None = None
        self._drive: LevelLine | None = None
        with contextlib.ExitStack() as opened:
            holder = [sys.executable, "-m", "inspector.gate.pulse", chip]
            self._diverter = HeldOutput([*holder, str(settings.diverter_line)])
            opened.callback(self._diverter.close)
            if settings.photo_eye_line is not None:
                self._eye = InputLine(
                    chip,
                    settings.photo_eye_line,
                    active_low=settings.photo_eye_active_low,
                    debounce_ms=settings.debounce_ms,
                )
                opened.callback(self._eye.close)
            if settings.drive_line is not None:
                self._drive = LevelLine(chip, settings.drive_line)
                opened.callback(self._drive.close)
            self._opened = opened.pop_all()

    def edges(self) -> Sequence[int]:
        """See `Wires.edges`."""
        return () if self._eye is None else self._eye.edges()

    def belt_runs(self) -> bool:
        """See `Wires.belt_runs`."""
        return True if self._drive is None else self._drive.high()

    def pass_until(self, until_ns: int) -> None:
        """See `Wires.pass_until`."""
        self._diverter.pass_until(until_ns)

    def reject(self) -> None:
        """See `Wires.reject`."""
        self._diverter.reject()

    def close(self) -> None:
        """See `Wires.close`."""
        self._opened.close()
