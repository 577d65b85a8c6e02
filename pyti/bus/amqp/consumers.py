"""Consuming from RabbitMQ: declarations and consumers that stand again after every reconnect, and a watchdog."""

from __future__ import annotations

import asyncio

import structlog
from aiormq import spec
from aiormq.abc import AbstractConnection, DeliveredMessage
from aiormq.channel import Channel

from pyti.bus.amqp.channels import open_channel
from pyti.bus.amqp.faults import CHANNEL_ERRORS, refusal, translated
from pyti.bus.amqp.link import Link
from pyti.bus.amqp.wire import from_wire
from pyti.bus.options import Options
from pyti.bus.supervision import TaskSet
from pyti.bus.topology import Declarable, Exchange, Queue
from pyti.bus.transport import Deliver
from pyti.errors import BusDisconnected, BusError, ConfigError

__all__ = ["AmqpIncoming", "AmqpSubscription", "Consumers"]

_log = structlog.get_logger("pyti.bus")


class AmqpIncoming:
    """One delivery, tied to the channel that it came over."""

    __slots__ = ("_channel", "_tag", "delivery_count", "envelope", "exchange", "queue", "redelivered", "routing_key")

    def __init__(self, queue: str, channel: Channel, message: DeliveredMessage) -> None:
        self.envelope = from_wire(message)
        self.queue = queue
        self.exchange = message.exchange or ""
        self.routing_key = message.routing_key or ""
        self.redelivered = bool(message.redelivered)
        count = self.envelope.headers.get("x-delivery-count")
        self.delivery_count = count if isinstance(count, int) else 0
        self._channel = channel
        self._tag = message.delivery_tag or 0

    async def ack(self) -> None:
        """Settle it for good."""
        with translated():
            await self._channel.basic_ack(self._tag, wait=False)

    async def nack(self, *, requeue: bool) -> None:
        """Give it back, or have it dead-lettered."""
        with translated():
            await self._channel.basic_nack(self._tag, requeue=requeue, wait=False)


class AmqpSubscription:
    """A consumer that is wanted, and the channel on which it stands now."""

    def __init__(self, owner: Consumers, queue: str, tag: str, prefetch: int, deliver: Deliver) -> None:
        self._owner = owner
        self.queue = queue
        self.tag = tag
        self.prefetch = prefetch
        self.deliver = deliver
        self.channel: Channel | None = None

    @property
    def stands(self) -> bool:
        """Whether the broker has this consumer, as far as the client knows."""
        return self.channel is not None and not self.channel.is_closed and self.tag in self.channel.consumers

    async def begin(self, connection: AbstractConnection) -> None:
        """Open a channel of its own and consume."""
        channel = await open_channel(connection, confirms=False)
        channel.on_consumer_cancel_callbacks.add(self._owner.on_cancelled)

        async def on_message(message: DeliveredMessage) -> None:
            self.deliver(AmqpIncoming(self.queue, channel, message))

        await channel.basic_qos(prefetch_count=self.prefetch)
        await channel.basic_consume(self.queue, on_message, consumer_tag=self.tag)
        self.channel = channel

    async def cancel(self) -> None:
        """Get no more deliveries."""
        self._owner.subscriptions.discard(self)
        if self.channel is not None and self.stands:
            try:
                with translated():
                    await self.channel.basic_cancel(self.tag)
            except (BusDisconnected, *CHANNEL_ERRORS):
                _log.debug("a consumer ended with its channel", consumer=self.tag)

    async def release(self) -> None:
        """Close the channel: what is not settled goes back."""
        self._owner.subscriptions.discard(self)
        channel, self.channel = self.channel, None
        if channel is not None and not channel.is_closed:
            try:
                with translated():
                    await channel.close()
            except (BusDisconnected, *CHANNEL_ERRORS):
                _log.debug("a channel ended before it was closed", consumer=self.tag)


class Consumers:
    """The consuming half of the transport. ``link`` is set by the transport before use."""

    link: Link

    def __init__(self, options: Options) -> None:
        self._options = options
        self._declared: dict[Declarable, None] = {}
        self.subscriptions: set[AmqpSubscription] = set()
        self._get_channel: Channel | None = None
        self._opening = asyncio.Lock()
        self._tasks = TaskSet()
        self._look = asyncio.Event()

    # -- life ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to watch the consumers."""
        self._tasks.start(self._watch(), "bus:watchdog")

    async def stop(self) -> None:
        """Close every channel, in order, so that what was written on it reaches the broker."""
        await self._tasks.cancel()
        for subscription in tuple(self.subscriptions):
            await subscription.release()
        channel, self._get_channel = self._get_channel, None
        if channel is not None and not channel.is_closed:
            try:
                with translated():
                    await channel.close()
            except (BusDisconnected, *CHANNEL_ERRORS):
                _log.debug("the channel for taking ended before it was closed")

    async def on_up(self, connection: AbstractConnection) -> None:
        """Restore topology and consumers on a new connection. ``ConfigError`` when something stands differently."""
        for item in self._declared:
            await _declare(connection, item)
        for subscription in tuple(self.subscriptions):
            await subscription.begin(connection)

    def on_down(self) -> None:
        """Forget the channels of the old connection."""
        self._get_channel = None
        for subscription in self.subscriptions:
            subscription.channel = None

    def on_cancelled(self, _frame: spec.Basic.Cancel) -> None:
        """Look at once: the broker ended a consumer, because its queue went."""
        self._look.set()

    # -- work ------------------------------------------------------------------------------------------------------

    async def declare(self, item: Declarable) -> None:
        """Declare now, and again after every reconnect."""
        connection = await self._connection()
        with translated():
            await _declare(connection, item)
        self._declared[item] = None

    async def consume(self, queue: str, tag: str, prefetch: int, deliver: Deliver) -> AmqpSubscription:
        """Consume now, and again after every reconnect."""
        connection = await self._connection()
        subscription = AmqpSubscription(self, queue, tag, prefetch, deliver)
        try:
            with translated():
                await subscription.begin(connection)
        except CHANNEL_ERRORS as error:
            raise refusal(error, f"cannot consume {queue!r}") from error
        self.subscriptions.add(subscription)
        return subscription

    async def get(self, queue: str) -> AmqpIncoming | None:
        """Fetch one message. A cancelled caller's message is given back."""
        channel = await self._taking_channel()
        work = self._tasks.start(_fetch(channel, queue), f"get:{queue}")
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            # Cutting the library's wait short would close the channel and with it every delivery taken over it.
            work.add_done_callback(self._give_back)
            raise

    def _give_back(self, work: asyncio.Task[AmqpIncoming | None]) -> None:
        if not work.cancelled() and work.exception() is None and (incoming := work.result()) is not None:
            self._tasks.start(_requeue(incoming), f"give-back:{incoming.queue}")

    async def standing(self) -> bool:
        """Say whether every wanted consumer stands and the broker answers."""
        if not self.link.is_up or not all(subscription.stands for subscription in self.subscriptions):
            return False
        connection = await self._connection()
        with translated():
            probe = await open_channel(connection, confirms=False)
            await probe.close()
        return True

    async def _connection(self) -> AbstractConnection:
        try:
            async with asyncio.timeout(self._options.publish_timeout_s):
                return await self.link.connection()
        except TimeoutError:
            raise BusDisconnected(
                f"there was no connection to the broker for {self._options.publish_timeout_s:g} s"
            ) from None

    async def _taking_channel(self) -> Channel:
        connection = await self._connection()
        async with self._opening:
            channel = self._get_channel
            if channel is None or channel.is_closed or channel.connection is not connection:
                with translated():
                    channel = self._get_channel = await open_channel(connection, confirms=False)
            return channel

    async def _watch(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._options.watch_interval_s):
                    await self._look.wait()
            except TimeoutError:
                pass
            self._look.clear()
            missing = [found for found in self.subscriptions if not found.stands] if self.link.is_up else []
            if missing:
                await self._mend(missing)

    async def _mend(self, missing: list[AmqpSubscription]) -> None:
        names = [subscription.tag for subscription in missing]
        _log.warning("consumers are missing; restoring them", connection=self.link.label, consumers=names)
        try:
            connection = await self._connection()
            with translated():
                for item in tuple(self._declared):
                    await _declare(connection, item)
                for subscription in missing:
                    if subscription in self.subscriptions and not subscription.stands:
                        await subscription.release()
                        self.subscriptions.add(subscription)
                        await subscription.begin(connection)
        except (BusError, ConfigError, *CHANNEL_ERRORS) as error:
            _log.warning("consumers could not be restored yet", connection=self.link.label, error=str(error))


async def _fetch(channel: Channel, queue: str) -> AmqpIncoming | None:
    try:
        with translated():
            message = await channel.basic_get(queue)
    except CHANNEL_ERRORS as error:
        raise refusal(error, f"cannot take from {queue!r}") from error
    return AmqpIncoming(queue, channel, message) if isinstance(message.delivery, spec.Basic.GetOk) else None


async def _requeue(incoming: AmqpIncoming) -> None:
    try:
        await incoming.nack(requeue=True)
    except BusDisconnected:
        _log.debug("the channel is gone; the broker gives the message back itself", queue=incoming.queue)


async def _declare(connection: AbstractConnection, item: Declarable) -> None:
    channel = await open_channel(connection, confirms=False)
    try:
        if isinstance(item, Exchange):
            await channel.exchange_declare(item.name, exchange_type=item.kind, durable=True)
        elif isinstance(item, Queue):
            await channel.queue_declare(
                item.name,
                durable=item.durable,
                exclusive=item.exclusive,
                auto_delete=item.auto_delete,
                arguments=item.arguments(),
            )
        else:
            await channel.queue_bind(item.queue, item.exchange, item.key)
    except CHANNEL_ERRORS as error:
        raise refusal(error, f"cannot declare {item!r}") from error
    await channel.close()
