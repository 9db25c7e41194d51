"""Holds the diverter's GPIO line: ``python -m inspector.gate.pulse CHIP LINE``, started by `gpio.py`.

It is a process of its own so that the end of a pass depends on nobody else: whether inspection hangs, is
stopped or is killed, the line goes back to reject at the time that was said with the pass. It is told so in
eight bytes on its standard input: host monotonic time in ns until which the line passes, 0 for reject.
The end of the input is a reject, too, and its own end. Before it listens it says ``ready``, or in one line
what is wrong and what to do about it, with a tab between.
"""

import os
import select
import signal
import struct
import sys
import time
from collections.abc import Callable
from typing import Final

from inspector.core.errors import GateError
from inspector.core.process import come_first

MESSAGE: Final = struct.Struct("<q")
_LONGEST_NS: Final = 200_000_000
"""No pass lasts longer without being told again, whatever it is told."""


def hold(commands: int, set_line: Callable[[bool], None]) -> None:
    """Pass and reject as told on the descriptor ``commands``, until its other end is closed."""
    passing, until_ns = False, 0
    while True:
        left_ns = until_ns - time.monotonic_ns()
        if passing and left_ns <= 0:
            passing = False
            set_line(False)
        if not select.select([commands], [], [], left_ns / 1e9 if passing else None)[0]:
            continue
        told = os.read(commands, 64 * MESSAGE.size)
        if not told:
            set_line(False)
            return
        now_ns = time.monotonic_ns()
        # Messages are written whole; the newest counts.
        until_ns = min(MESSAGE.unpack(told[-MESSAGE.size :])[0], now_ns + _LONGEST_NS)
        if passing != (until_ns > now_ns):
            passing = not passing
            set_line(passing)


def main(chip: str, line: str) -> int:
    """Take the line, hold it, give it back; exit code 2 when it cannot be had."""
    # Ctrl-C reaches every process of the terminal, and a service manager's stop every one of the service.
    # This one ends with the process that it serves: in its midst a pass would be left to the chip.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    from inspector.gate.lines import OutputLine

    try:
        output = OutputLine(chip, line)
    except GateError as error:
        print(f"{error.what}\t{error.remedy}", flush=True)
        return 2
    come_first()
    print("ready", flush=True)
    try:
        hold(sys.stdin.fileno(), output.set)
    finally:
        output.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
