"""What stands on the broker: exchanges, queues and bindings as plain frozen values, checked when they are made."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from pyti.bus.backoff import Backoff
from pyti.bus.routing import ExchangeKind

__all__ = ["Binding", "Declarable", "Exchange", "Queue", "Retries", "Topology", "delay_name"]


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """A durable exchange."""

    name: str
    kind: ExchangeKind = "topic"


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """A queue with typed arguments; a combination that RabbitMQ would refuse or ignore raises ``ValueError``.

    ``kind`` quorum is durable and replicated and counts deliveries. ``exclusive`` belongs to one connection and goes
    with it. ``delivery_limit`` redeliveries are allowed; the next return dead-letters the message. ``message_ttl_s``
    bounds the time in the queue. ``dead_letter_strategy`` at-least-once needs a quorum queue with overflow
    ``reject-publish``.
    """

    name: str
    kind: Literal["quorum", "classic"] = "quorum"
    exclusive: bool = False
    auto_delete: bool = False
    delivery_limit: int | None = None
    dead_letter_exchange: str | None = None
    dead_letter_routing_key: str | None = None
    dead_letter_strategy: Literal["at-most-once", "at-least-once"] = "at-most-once"
    message_ttl_s: float | None = None
    max_length: int | None = None
    overflow: Literal["drop-head", "reject-publish"] = "drop-head"

    def __post_init__(self) -> None:
        if not self.name or len(self.name.encode()) > 255 or self.name.startswith("amq."):
            raise ValueError(f"a queue needs a name of 1 to 255 bytes outside 'amq.', not {self.name!r}")
        if self.kind == "quorum" and (self.exclusive or self.auto_delete):
            raise ValueError(f"queue {self.name}: a quorum queue cannot be exclusive or delete itself")
        if self.delivery_limit is not None and (self.kind != "quorum" or self.delivery_limit < 0):
            raise ValueError(f"queue {self.name}: only a quorum queue counts deliveries, and the limit is 0 or more")
        if self.dead_letter_exchange is None and self.dead_letter_routing_key is not None:
            raise ValueError(f"queue {self.name}: a dead-letter routing key needs a dead-letter exchange")
        if self.dead_letter_strategy == "at-least-once" and (
            self.kind != "quorum" or self.overflow != "reject-publish" or self.dead_letter_exchange is None
        ):
            raise ValueError(
                f"queue {self.name}: at-least-once dead-lettering needs a quorum queue, a dead-letter exchange "
                "and overflow='reject-publish'"
            )
        if self.message_ttl_s is not None and self.message_ttl_s < 0:
            raise ValueError(f"queue {self.name}: a time to live is 0 or more")
        if self.max_length is not None and self.max_length < 0:
            raise ValueError(f"queue {self.name}: a maximum length is 0 or more")

    @property
    def durable(self) -> bool:
        """Whether the queue survives a restart of the broker."""
        return not (self.exclusive or self.auto_delete)

    def arguments(self) -> dict[str, Any]:
        """Return the ``x-`` arguments of ``queue.declare``; unset ones are left out so that policies can set them."""
        values: dict[str, Any] = {
            "x-queue-type": self.kind,
            "x-delivery-limit": self.delivery_limit,
            "x-dead-letter-exchange": self.dead_letter_exchange,
            "x-dead-letter-routing-key": self.dead_letter_routing_key,
            "x-dead-letter-strategy": self.dead_letter_strategy
            if self.dead_letter_strategy != "at-most-once"
            else None,
            "x-message-ttl": None if self.message_ttl_s is None else round(self.message_ttl_s * 1000),
            "x-max-length": self.max_length,
            "x-overflow": self.overflow if self.overflow != "drop-head" else None,
        }
        return {key: value for key, value in values.items() if value is not None}


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """What an exchange hands to a queue: a pattern for topic exchanges, the exact key for direct ones."""

    exchange: str
    queue: str
    key: str = ""


Declarable = Exchange | Queue | Binding


class Retries(msgspec.Struct, frozen=True, kw_only=True):
    """The delay queues through which failed messages come back: ``<namespace>.retry.<delay>``, one per delay.

    A time to live works at the head of a queue only, so different delays need different queues. Each has a fanout
    exchange of the same name; the routing key is the queue to come back to, which the default exchange finds again
    when the message has waited.
    """

    namespace: str = "pyti"
    backoff: Backoff = Backoff()

    def exchange_for(self, delay_s: float) -> str:
        """Return the exchange of the shortest delay that is not below ``delay_s``, else of the longest.

        Raises ``ValueError`` when the policy never retries.
        """
        delays = self.backoff.delays()
        if not delays:
            raise ValueError("a policy of one attempt has no delay queues")
        fitting = next((delay for delay in delays if delay >= delay_s), delays[-1])
        return f"{self.namespace}.retry.{delay_name(fitting)}"

    def objects(self) -> tuple[Declarable, ...]:
        """Return the exchanges, queues and bindings of every delay of the policy."""
        found: list[Declarable] = []
        for delay in self.backoff.delays():
            name = f"{self.namespace}.retry.{delay_name(delay)}"
            found.append(Exchange(name=name, kind="fanout"))
            found.append(
                Queue(
                    name=name,
                    message_ttl_s=delay,
                    dead_letter_exchange="",
                    dead_letter_strategy="at-least-once",
                    overflow="reject-publish",
                )
            )
            found.append(Binding(exchange=name, queue=name))
        return tuple(found)


class Topology(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a program expects to stand on the broker; declared at opening, again after a reconnect."""

    exchanges: tuple[Exchange, ...] = ()
    queues: tuple[Queue, ...] = ()
    bindings: tuple[Binding, ...] = ()
    retries: Retries | None = None

    def objects(self) -> tuple[Declarable, ...]:
        """All of it in an order in which it can be declared."""
        retries = self.retries.objects() if self.retries else ()
        return (*self.exchanges, *self.queues, *self.bindings, *retries)


def delay_name(delay_s: float) -> str:
    """Write a delay as a person reads it in a queue's name: ``500ms``, ``4s``."""
    milliseconds = round(delay_s * 1000)
    return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"
