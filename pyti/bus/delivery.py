"""What a handler or a taker gets beside the message: where it came from, and how to answer or settle it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import msgspec

from pyti.bus.envelope import Failure
from pyti.bus.policy import DeadLetter, DeadReason
from pyti.bus.settlement import Settlement
from pyti.bus.transport import Incoming
from pyti.errors import UsageError

__all__ = ["Context", "Delivery"]

Reply = Callable[[Incoming, msgspec.Struct], Awaitable[None]]


class Context:
    """The circumstances of one delivery. Everything but the queue's name was written by the sender."""

    __slots__ = ("_incoming", "_reply")

    def __init__(self, incoming: Incoming, reply: Reply) -> None:
        self._incoming = incoming
        self._reply = reply

    @property
    def message_id(self) -> str:
        """The message's own id, the same on every delivery and retry."""
        return self._incoming.envelope.message_id

    @property
    def correlation_id(self) -> str | None:
        """What the message belongs to."""
        return self._incoming.envelope.correlation_id

    @property
    def type(self) -> str:
        """The tag, such as ``job.run.v1``."""
        return self._incoming.envelope.type

    @property
    def queue(self) -> str:
        """The queue that it came out of."""
        return self._incoming.queue

    @property
    def exchange(self) -> str:
        """The exchange that it was last published to."""
        return self._incoming.exchange

    @property
    def routing_key(self) -> str:
        """The key that it was last published with."""
        return self._incoming.routing_key

    @property
    def redelivered(self) -> bool:
        """Whether it was handed out before without being settled."""
        return self._incoming.redelivered

    @property
    def delivery_count(self) -> int:
        """How often it came back unsettled, where the queue counts that."""
        return self._incoming.delivery_count

    @property
    def attempt(self) -> int:
        """The number of this run under the retry policy, from 1."""
        return self._incoming.envelope.attempt

    @property
    def history(self) -> tuple[Failure, ...]:
        """Earlier failed runs, oldest first."""
        return self._incoming.envelope.history

    @property
    def deadline(self) -> float | None:
        """Unix time after which it would not have been handed over."""
        return self._incoming.envelope.deadline

    @property
    def timestamp(self) -> float | None:
        """Unix time of publishing, in whole seconds over AMQP."""
        return self._incoming.envelope.timestamp

    @property
    def app_id(self) -> str | None:
        """The sending program."""
        return self._incoming.envelope.app_id

    @property
    def user_id(self) -> str | None:
        """The sender's user; RabbitMQ has checked it when it is set."""
        return self._incoming.envelope.user_id

    @property
    def traceparent(self) -> str | None:
        """W3C trace context, passed through."""
        return self._incoming.envelope.traceparent

    @property
    def headers(self) -> Mapping[str, Any]:
        """All headers, as they came."""
        return MappingProxyType(self._incoming.envelope.headers)

    @property
    def reply_to(self) -> str | None:
        """Where a reply is expected, if one is."""
        return self._incoming.envelope.reply_to

    async def reply(self, message: msgspec.Struct) -> None:
        """Answer a request. A requester that went away meanwhile is no error.

        Raises ``UsageError`` when the message is not a request.
        """
        if not self.reply_to:
            raise UsageError(f"message {self.message_id} asks for no reply")
        await self._reply(self._incoming, message)


class Delivery:
    """A message that was taken and waits to be settled, exactly once, by whoever took it.

    Every way of settling raises ``BusDisconnected`` when the connection was lost since; the message comes again.
    """

    def __init__(self, message: msgspec.Struct, context: Context, incoming: Incoming, settlement: Settlement) -> None:
        self.message = message
        self.context = context
        self._incoming = incoming
        self._settlement = settlement
        self._settled = False

    @property
    def settled(self) -> bool:
        """Whether it was settled."""
        return self._settled

    async def ack(self) -> None:
        """Settle it: it is taken care of."""
        with self._settling():
            await self._settlement.ack(self._incoming)

    async def reject(self, *, dead_letter: bool = True, reason: str = "") -> None:
        """Settle it as not taken care of: put it aside with the reason, or forget it."""
        with self._settling():
            if dead_letter:
                await self._settlement.dead_letter(self._incoming, DeadLetter(DeadReason.REJECTED, reason))
            else:
                await self._settlement.ack(self._incoming)

    async def requeue(self, delay_s: float = 0.0) -> None:
        """Give it back, to be delivered again at once or after about ``delay_s`` seconds.

        The delay is bounded by the longest of the retry policy; without one, or from an exclusive queue, it is none.
        """
        with self._settling():
            await self._settlement.requeue(self._incoming, delay_s)

    @contextmanager
    def _settling(self) -> Iterator[None]:
        if self._settled:
            raise UsageError(f"message {self.context.message_id} was settled already")
        self._settled = True
        try:
            yield
        except BaseException:
            self._settled = False  # the owner may settle it in another way
            raise
