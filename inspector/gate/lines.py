"""Single GPIO lines of this machine, through the kernel's character device (libgpiod)."""

import errno
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import gpiod
from gpiod.line import Clock, Direction, Edge, Value

from inspector.core.errors import GateError

_CONSUMER: Final = "inspector"
_EVENTS: Final = 64
"""Edges the kernel keeps, and those read at once."""


class OutputLine:
    """A line that is driven, low at first: the gate rejects.

    Args:
        chip: the chip's device, e.g. /dev/gpiochip0.
        line: offset or name of the line.

    Raises:
        GateError: the line cannot be had.
    """

    def __init__(self, chip: str, line: int | str) -> None:
        self._request = _request(
            chip,
            line,
            gpiod.LineSettings(direction=Direction.OUTPUT, output_value=Value.INACTIVE),
        )

    def set(self, high: bool) -> None:
        """Drive it high or low."""
        offset = self._request.offsets[0]
        self._request.set_value(offset, Value.ACTIVE if high else Value.INACTIVE)

    def close(self) -> None:
        """Drive it low and give it back; what it does then is the chip's and the pull-down's."""
        self.set(False)
        self._request.release()


class InputLine:
    """A line whose rising edges are told with the kernel's own time stamps.

    Args:
        chip: the chip's device.
        line: offset or name of the line.
        active_low: a falling voltage is the rising edge.
        debounce_ms: a level counts once it has stood so long; the edge's time is late by as much.

    Raises:
        GateError: the line cannot be had.
    """

    def __init__(self, chip: str, line: int | str, *, active_low: bool, debounce_ms: float) -> None:
        self._where = f"{chip} line {line}"
        self._last_event = 0
        self._request = _request(
            chip,
            line,
            gpiod.LineSettings(
                direction=Direction.INPUT,
                edge_detection=Edge.RISING,
                active_low=active_low,
                debounce_period=timedelta(milliseconds=debounce_ms),
                event_clock=Clock.MONOTONIC,
            ),
        )

    def edges(self) -> Sequence[int]:
        """Edges since this was last asked: host monotonic clock, ns, oldest first.

        Raises:
            GateError: the kernel dropped edges, or has lost the line.
        """
        try:
            if not self._request.wait_edge_events(0):
                return ()
            events = self._request.read_edge_events(_EVENTS)
        except OSError as error:
            raise _unreadable(self._where, error) from error
        for event in events:
            missing = event.line_seqno - self._last_event - 1
            self._last_event = event.line_seqno
            if missing:
                raise GateError(
                    f"{self._where}: {missing} edges of the photo-eye were lost",
                    "raise gate.debounce_ms if the photo-eye chatters; the count begins anew",
                )
        return [event.timestamp_ns for event in events]

    def close(self) -> None:
        """Give it back."""
        self._request.release()


class LevelLine:
    """A line that is read: is it high?

    Args:
        chip: the chip's device.
        line: offset or name of the line.

    Raises:
        GateError: the line cannot be had.
    """

    def __init__(self, chip: str, line: int | str) -> None:
        self._where = f"{chip} line {line}"
        self._request = _request(chip, line, gpiod.LineSettings(direction=Direction.INPUT))

    def high(self) -> bool:
        """Its level now.

        Raises:
            GateError: the kernel has lost the line.
        """
        try:
            return self._request.get_value(self._request.offsets[0]) is Value.ACTIVE
        except OSError as error:
            raise _unreadable(self._where, error) from error

    def close(self) -> None:
        """Give it back."""
        self._request.release()


def _unreadable(where: str, error: OSError) -> GateError:
    return GateError(
        f"{where} cannot be read: {error.strerror}",
        "see whether the chip is still there (gpiodetect)",
    )


def _request(chip: str, line: int | str, settings: gpiod.LineSettings) -> gpiod.LineRequest:
    try:
        return gpiod.request_lines(
            chip, {line: settings}, consumer=_CONSUMER, event_buffer_size=_EVENTS
        )
    except PermissionError as error:
        raise GateError(
            f"{chip} may not be used by this user",
            "add the user to the group that owns it (often gpio) and start the line anew",
        ) from error
    except FileNotFoundError as error:
        raise GateError(
            f"there is no {chip}, or no line {line} on it",
            "correct gate.chip and the line; gpiodetect and gpioinfo list what is there",
        ) from error
    except ValueError as error:
        raise GateError(
            f"{chip} has no line {line}", "correct the line; gpioinfo lists what is there"
        ) from error
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise GateError(
                f"line {line} of {chip} is in use",
                "end the program that holds it (gpioinfo names it), perhaps a line that runs already",
            ) from error
        raise GateError(
            f"line {line} of {chip} cannot be had: {error.strerror}",
            "see that gate.chip names a GPIO chip (gpiodetect)",
        ) from error
