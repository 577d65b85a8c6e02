"""Logs of the command line: to stderr, readable on a terminal, JSON elsewhere, quiet unless asked."""

from __future__ import annotations

import logging
import os
import sys

import structlog

__all__ = ["configure_logs"]


def configure_logs(level: str | None = None) -> None:
    """Send logs of ``level`` and above to stderr; unset means ``$PYTI_LOG``, else ``warning``."""
    name = (level or os.environ.get("PYTI_LOG") or "warning").upper()
    number = logging.getLevelNamesMapping().get(name, logging.WARNING)
    # Plain tracebacks: local variables may hold secrets, or megabytes.
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if sys.stderr.isatty()
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=max(number, logging.WARNING), stream=sys.stderr)
    # The bus tells of lost connections itself, in one line; its client library adds a traceback to each.
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)
