"""From a message to the envelope in which it is published."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

import msgspec

from pyti.bus.clock import Clock
from pyti.bus.envelope import ATTEMPT, DEADLINE, Envelope, portable
from pyti.bus.registry import Registry

__all__ = ["Composer"]


class Composer:
    """Writes envelopes in the name of one program and one user of the broker."""

    def __init__(self, registry: Registry, clock: Clock, *, app: str, user: str | None) -> None:
        self._registry = registry
        self._clock = clock
        self._app = app
        self._user = user

    def compose(
        self,
        message: msgspec.Struct,
        *,
        correlation_id: str | None = None,
        headers: Mapping[str, Any] | None = None,
        reply_to: str | None = None,
        message_id: str | None = None,
        expiration_s: float | None = None,
        deadline: float | None = None,
    ) -> Envelope:
        """Return the envelope. ``UnknownMessage`` for an unregistered type, ``TypeError`` for an impossible header."""
        tag, body = self._registry.encode(message)
        carried = {ATTEMPT: 1, **portable(headers or {})}
        if deadline is not None:
            carried[DEADLINE] = repr(float(deadline))
        return Envelope(
            body=body,
            type=tag,
            message_id=message_id or secrets.token_hex(16),
            correlation_id=correlation_id,
            reply_to=reply_to,
            app_id=self._app,
            user_id=self._user,
            timestamp=self._clock.time(),
            expiration_s=expiration_s,
            headers=carried,
        )
