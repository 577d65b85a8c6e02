"""What stands around a message on the wire: properties and headers, checked before use; anybody may send them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

__all__ = [
    "ATTEMPT",
    "DEADLINE",
    "HISTORY",
    "TRACEPARENT",
    "Envelope",
    "Failure",
    "history_header",
    "portable",
    "without_trail",
]

ATTEMPT = "attempt"
DEADLINE = "deadline"
HISTORY = "history"
TRACEPARENT = "traceparent"

MAX_HISTORY = 20
"""Failures that ride along; older ones are left out so that headers stay small."""
MAX_TEXT = 1024
_MAX_ATTEMPT = 1_000_000
_TRAIL = ("x-death", "x-first-death-exchange", "x-first-death-queue", "x-first-death-reason", "x-delivery-count")


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """One failed run of a message's handler: which run, where, with what error, and when (Unix time)."""

    attempt: int
    queue: str
    error: str
    message: str
    at: float
    delay_s: float = 0.0


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A message as the transports carry it: the body's bytes, and what AMQP calls its properties.

    ``timestamp`` is Unix time; ``expiration_s`` is the longest time in a queue, in seconds.
    """

    body: bytes
    type: str = ""
    message_id: str = ""
    correlation_id: str | None = None
    reply_to: str | None = None
    app_id: str | None = None
    user_id: str | None = None
    timestamp: float | None = None
    expiration_s: float | None = None
    content_type: str = "application/json"
    headers: dict[str, Any] = {}

    @property
    def attempt(self) -> int:
        """The number of this run, from 1; 1 where the header is missing or senseless."""
        value = self.headers.get(ATTEMPT)
        return value if type(value) is int and 1 <= value <= _MAX_ATTEMPT else 1

    @property
    def deadline(self) -> float | None:
        """Unix time after which the message is not handled, where a sensible header says so."""
        try:
            value = msgspec.convert(self.headers.get(DEADLINE), float, strict=False)
        except msgspec.ValidationError:
            return None
        return value if math.isfinite(value) else None

    @property
    def traceparent(self) -> str | None:
        """W3C trace context, passed through as text."""
        value = self.headers.get(TRACEPARENT)
        return value if isinstance(value, str) and len(value) <= MAX_TEXT else None

    @property
    def history(self) -> tuple[Failure, ...]:
        """Earlier failed runs, oldest first; what does not decode is left out."""
        rows = self.headers.get(HISTORY)
        failures = []
        for row in rows[-MAX_HISTORY:] if isinstance(rows, list) else ():
            try:
                failures.append(msgspec.convert(row, Failure, strict=False))
            except msgspec.ValidationError:
                continue
        return tuple(failures)


def history_header(history: tuple[Failure, ...]) -> list[dict[str, Any]]:
    """Return the newest ``MAX_HISTORY`` failures as plain values that every transport can carry."""
    return [portable(msgspec.to_builtins(failure)) for failure in history[-MAX_HISTORY:]]


def portable(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return headers as every transport carries them unchanged: floats become text.

    The AMQP client writes floats with 32 bits, which rounds Unix times to minutes. Raises ``TypeError`` for a value
    that is not None, text, bytes, a bool, a number of 64 bits, a time, or a list or mapping of these.
    """
    return {str(key): _portable(value) for key, value in headers.items()}


def _portable(value: Any) -> Any:
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Mapping):
        return portable(value)
    if isinstance(value, list | tuple):
        return [_portable(item) for item in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise TypeError(f"a header's number needs more than 64 bits: {value}")
    if value is None or isinstance(value, str | bytes | bool | int | datetime):
        return value
    raise TypeError(f"a header cannot be a {type(value).__name__}")


def without_trail(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Headers without those that a broker writes about dead-lettering: a retried message starts its own trail."""
    return {key: value for key, value in headers.items() if key not in _TRAIL}
