"""The in-process transport: several buses of one event loop share a broker in memory by its name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from weakref import WeakValueDictionary

import msgspec

from pyti.bus.broker import Broker, Peer
from pyti.bus.clock import Clock
from pyti.bus.envelope import Envelope
from pyti.bus.queueing import Consumer, Delivered
from pyti.bus.topology import Declarable
from pyti.bus.transport import Deliver
from pyti.errors import BusDisconnected, Unroutable

__all__ = ["InProcessTransport", "broker_named"]

_brokers: WeakValueDictionary[str, Broker] = WeakValueDictionary()


def broker_named(name: str, clock: Clock | None = None) -> Broker:
    """Return the broker of that name; it lives, with its messages, as long as somebody holds it."""
    broker = _brokers.get(name)
    if broker is None:
        broker = _brokers[name] = Broker(clock)
    return broker


class InProcessIncoming:
    """One delivery of the in-memory broker."""

    __slots__ = (
        "_broker",
        "_delivered",
        "delivery_count",
        "envelope",
        "exchange",
        "queue",
        "redelivered",
        "routing_key",
    )

    def __init__(self, broker: Broker, delivered: Delivered) -> None:
        entry = delivered.entry
        self._broker = broker
        self._delivered = delivered
        self.envelope = entry.envelope
        self.queue = delivered.state.spec.name
        self.exchange = entry.exchange
        self.routing_key = entry.key
        self.redelivered = entry.redelivered
        self.delivery_count = entry.delivery_count

    async def ack(self) -> None:
        """Settle it for good."""
        self._broker.settle(self._delivered, ack=True)

    async def nack(self, *, requeue: bool) -> None:
        """Give it back, or have it dead-lettered."""
        self._broker.settle(self._delivered, ack=False, requeue=requeue)


class InProcessSubscription:
    """A consumer at the in-memory broker."""

    def __init__(self, broker: Broker, queue: str, consumer: Consumer) -> None:
        self._broker = broker
        self._queue = queue
        self._consumer = consumer
        consumer.on_cancelled = self._on_cancelled
        self.wanted = True
        self.lost = False

    def _on_cancelled(self) -> None:
        self.lost = True

    async def cancel(self) -> None:
        """Get no more deliveries."""
        self._broker.cancel(self._queue, self._consumer, release=False)
        self.wanted = False

    async def release(self) -> None:
        """Cancel, and give back what is not settled."""
        self._broker.cancel(self._queue, self._consumer, release=True)
        self.wanted = False


class InProcessTransport:
    """A connection to a ``Broker`` in memory."""

    def __init__(self, name: str, broker: Broker) -> None:
        self._broker = broker
        self._peer = Peer(name, self._on_reply, self._on_lost)
        self._replies: dict[str, Callable[[Envelope | None], None]] = {}
        self._subscriptions: list[InProcessSubscription] = []

    @property
    def connected(self) -> bool:
        """Whether the broker has not lost this connection."""
        return self._broker.is_connected(self._peer)

    async def open(self) -> None:
        """Connect."""
        self._broker.connect(self._peer)

    async def close(self) -> None:
        """Disconnect; whatever is not settled goes back."""
        self._broker.disconnect(self._peer)

    async def declare(self, item: Declarable) -> None:
        """Make sure that it stands."""
        self._check()
        self._broker.declare(item, self._peer)

    async def publish(self, exchange: str, key: str, envelope: Envelope, *, mandatory: bool) -> None:
        """Put the message into every queue that takes it."""
        self._check()
        self._broker.publish(exchange, key, envelope, mandatory=mandatory)

    async def get(self, queue: str) -> InProcessIncoming | None:
        """Return the next ready message of a queue."""
        self._check()
        delivered = self._broker.get(queue, self._peer)
        return None if delivered is None else InProcessIncoming(self._broker, delivered)

    async def wait_for_message(self, queues: tuple[str, ...], timeout_s: float) -> None:
        """Wait until one of the queues gets a message."""
        arrived = asyncio.Event()
        stop = self._broker.watch(queues, arrived.set)
        try:
            async with asyncio.timeout(timeout_s):
                await arrived.wait()
        except TimeoutError:
            return
        finally:
            stop()

    async def consume(self, queue: str, tag: str, prefetch: int, deliver: Deliver) -> InProcessSubscription:
        """Have messages handed to ``deliver``."""
        self._check()
        consumer = Consumer(
            self._peer,
            tag,
            prefetch,
            lambda delivered: deliver(InProcessIncoming(self._broker, delivered)),
            lambda: None,
        )
        subscription = InProcessSubscription(self._broker, queue, consumer)
        self._broker.consume(queue, consumer)
        self._subscriptions.append(subscription)
        return subscription

    async def request(
        self, exchange: str, key: str, envelope: Envelope, on_reply: Callable[[Envelope | None], None]
    ) -> None:
        """Publish a message that is answered straight to this connection."""
        self._check()
        correlation_id = envelope.correlation_id
        if correlation_id is None:
            raise Unroutable("a request needs a correlation id")
        self._replies[correlation_id] = on_reply
        try:
            self._broker.publish(exchange, key, _addressed(envelope, self._peer.reply_key), mandatory=True)
        except BaseException:
            self.forget(correlation_id)
            raise

    def forget(self, correlation_id: str) -> None:
        """Expect no reply any more."""
        self._replies.pop(correlation_id, None)

    async def healthy(self) -> bool:
        """Whether the connection stands with all its consumers."""
        self._subscriptions = [found for found in self._subscriptions if found.wanted]
        return self.connected and not any(found.lost for found in self._subscriptions)

    def _check(self) -> None:
        if not self.connected:
            raise BusDisconnected("the in-process broker has closed this connection")

    def _on_reply(self, envelope: Envelope) -> None:
        on_reply = self._replies.pop(envelope.correlation_id or "", None)
        if on_reply is not None:
            on_reply(envelope)

    def _on_lost(self) -> None:
        replies, self._replies = self._replies, {}
        for on_reply in replies.values():
            on_reply(None)


def _addressed(envelope: Envelope, reply_key: str) -> Envelope:
    return msgspec.structs.replace(envelope, reply_to=reply_key)
