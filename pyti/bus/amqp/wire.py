"""Between envelopes and AMQP properties."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from pyti.bus.envelope import Envelope

__all__ = ["PERSISTENT", "from_wire", "to_properties"]

PERSISTENT = 2
_MAX_EXPIRATION_MS = 2**32 - 1


def to_properties(envelope: Envelope) -> Basic.Properties:
    """Return the properties of an envelope; times in queues become milliseconds, timestamps whole seconds."""
    expiration = envelope.expiration_s
    return Basic.Properties(
        content_type=envelope.content_type,
        headers=envelope.headers,
        delivery_mode=PERSISTENT,
        correlation_id=envelope.correlation_id,
        reply_to=envelope.reply_to,
        expiration=None if expiration is None else str(max(0, min(_MAX_EXPIRATION_MS, round(expiration * 1000)))),
        message_id=envelope.message_id,
        timestamp=None if envelope.timestamp is None else datetime.fromtimestamp(int(envelope.timestamp), UTC),
        message_type=envelope.type,
        user_id=envelope.user_id,
        app_id=envelope.app_id,
    )


def from_wire(message: DeliveredMessage) -> Envelope:
    """Return the envelope of a delivered message."""
    properties = message.header.properties
    headers: dict[str, Any] = dict(properties.headers or {})
    timestamp = properties.timestamp
    return Envelope(
        body=bytes(message.body),
        type=properties.message_type or "",
        message_id=properties.message_id or "",
        correlation_id=properties.correlation_id,
        reply_to=properties.reply_to,
        app_id=properties.app_id,
        user_id=properties.user_id,
        timestamp=timestamp.replace(tzinfo=timestamp.tzinfo or UTC).timestamp()
        if isinstance(timestamp, datetime)
        else None,
        expiration_s=_seconds(properties.expiration),
        content_type=properties.content_type or "",
        headers=headers,
    )


def _seconds(expiration: str | None) -> float | None:
    return int(expiration) / 1000 if expiration and expiration.isascii() and expiration.isdigit() else None
