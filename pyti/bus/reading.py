"""From a delivery to a message, or to the reason why it must not reach a handler."""

from __future__ import annotations

from collections import Counter

import msgspec

from pyti.bus.clock import Clock
from pyti.bus.envelope import Envelope
from pyti.bus.policy import DeadLetter, DeadReason, unreadable
from pyti.bus.registry import Registry
from pyti.bus.transport import Incoming
from pyti.errors import PytiError, TooLarge

__all__ = ["Read", "Reader"]


class Read(msgspec.Struct, frozen=True):
    """A message, or a refusal."""

    message: msgspec.Struct | None
    refusal: DeadLetter | None


class Reader:
    """Checks the envelope first, then decodes the body by the registry."""

    def __init__(self, registry: Registry, clock: Clock, max_body_bytes: int, counters: Counter[str]) -> None:
        self._registry = registry
        self._clock = clock
        self._max_body_bytes = max_body_bytes
        self._counters = counters

    def check_size(self, envelope: Envelope) -> None:
        """Raise ``TooLarge`` when the body exceeds the bound."""
        if len(envelope.body) > self._max_body_bytes:
            raise TooLarge(
                f"a body of {len(envelope.body)} bytes exceeds the bound of {self._max_body_bytes}",
                remedy="Put large data into a blob store and send a reference.",
            )

    def decode(self, envelope: Envelope) -> msgspec.Struct:
        """Return the message. Raises ``TooLarge``, ``UnknownMessage`` or ``InvalidMessage``."""
        self.check_size(envelope)
        return self._registry.decode(envelope.type, envelope.body)

    def read(self, incoming: Incoming) -> Read:
        """Return the message of a delivery, or why it is dead-lettered instead."""
        self._counters["delivered"] += 1
        if incoming.redelivered:
            self._counters["redelivered"] += 1
        envelope = incoming.envelope
        if envelope.deadline is not None and envelope.deadline < self._clock.time():
            late = self._clock.time() - envelope.deadline
            return Read(None, DeadLetter(DeadReason.DEADLINE, f"came {late:.3f} s after its deadline"))
        try:
            return Read(self.decode(envelope), None)
        except PytiError as error:
            return Read(None, unreadable(error, name_known=self._registry.knows_name(envelope.type)))
