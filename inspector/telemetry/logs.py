"""Structured logs: one event a line, in snake_case with key-values."""

import logging
import sys

import structlog


def configure_logs(process: str, level: str = "info") -> structlog.stdlib.BoundLogger:
    """Set up this process's log and return its logger.

    Lines go to stderr: JSON for machines, coloured text where a person's terminal is attached. Loggers
    of libraries are let through from ``warning`` on, so that a library's complaint is never lost.

    Args:
        process: bound to every line, e.g. ``inspection``.
        level: ``debug``, ``info``, ``warning`` or ``error``.
    """
    terminal = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s"
    )
    logger: structlog.stdlib.BoundLogger = structlog.get_logger().bind(process=process)
    return logger
