"""Structured logs: one event a line, in snake_case with key-values."""

import contextlib
import io
import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO, cast

import structlog


class _Unfailing(io.TextIOBase):
    """A text stream that drops what it cannot write.

    The log may lie on the very disk that is full, or lead to a terminal that is gone: reporting that must
    not be what stops the line.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


def configure_logs(process: str, level: str = "info") -> structlog.stdlib.BoundLogger:
    """Set up this process's log and return its logger.

    Lines go to stderr: JSON for machines, coloured text where a person's terminal is attached. Loggers
    of libraries are let through from ``warning`` on, so that a library's complaint is never lost.

    Args:
        process: bound to every line, e.g. ``inspection``.
        level: ``debug``, ``info``, ``warning`` or ``error``.
    """
    terminal = sys.stderr.isatty()

    def name_process(
        _logger: object, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        event["process"] = process
        return event

    structlog.configure(
        processors=[
            name_process,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _Unfailing(sys.stderr))),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s"
    )
    logger: structlog.stdlib.BoundLogger = structlog.get_logger()
    return logger
