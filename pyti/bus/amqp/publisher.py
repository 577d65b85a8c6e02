"""Publishing to RabbitMQ: many at once, each confirmed, repeated over a reconnect; requests with direct reply-to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
from aiormq import exceptions as amqp
from aiormq.abc import AbstractConnection, DeliveredMessage
from aiormq.channel import Channel

from pyti.bus.amqp.channels import open_channel
from pyti.bus.amqp.faults import CHANNEL_ERRORS, blames, refusal, translated
from pyti.bus.amqp.link import Link
from pyti.bus.amqp.wire import from_wire, to_properties
from pyti.bus.envelope import Envelope
from pyti.bus.options import Options
from pyti.errors import BusDisconnected, PublishRefused, Unroutable

__all__ = ["DIRECT_REPLY", "Publisher"]

DIRECT_REPLY = "amq.rabbitmq.reply-to"
_PAUSE_S = 0.05

OnReply = Callable[[Envelope | None], None]


class Publisher:
    """The publishing half of the transport. The links are set by the transport before use."""

    link: Link
    topology: Link
    """Restores the topology: nothing is published before that is done, or it might be unroutable."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._channel: Channel | None = None
        self._requests: Channel | None = None
        self._opening = asyncio.Lock()
        self._window = asyncio.Semaphore(options.window)
        self._waiting = 0
        self._in_flight: dict[str, asyncio.Event] = {}
        self._replies: dict[str, OnReply] = {}

    async def on_up(self, connection: AbstractConnection) -> None:
        """Open the channel for publishing."""
        self._channel = await open_channel(connection, confirms=True)

    def on_down(self) -> None:
        """Tell every requester that its reply cannot come any more."""
        self._channel = self._requests = None
        replies, self._replies = self._replies, {}
        for on_reply in replies.values():
            on_reply(None)

    async def publish(self, exchange: str, key: str, envelope: Envelope, *, mandatory: bool) -> None:
        """Publish and wait for the confirm, over reconnects, within the publish limit."""
        if not (self.link.is_up and self.topology.is_up) and self._waiting >= self._options.max_waiting:
            raise BusDisconnected(f"the broker is away and {self._waiting} publishes wait already")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._options.publish_timeout_s), self._window, self._alone(envelope.message_id):
                while True:
                    if await self._attempt(exchange, key, envelope, mandatory=mandatory):
                        return
                    await asyncio.sleep(_PAUSE_S)
        except TimeoutError:
            state = "the broker did not confirm" if self.link.is_up else "there was no connection"
            raise BusDisconnected(
                f"message {envelope.message_id} was not confirmed within {self._options.publish_timeout_s:g} s: {state}"
            ) from None
        finally:
            self._waiting -= 1

    async def _attempt(self, exchange: str, key: str, envelope: Envelope, *, mandatory: bool) -> bool:
        """Publish once; answer whether the broker took it, or the connection was lost and it must be tried again."""
        try:
            channel = await self._open_channel()
            with translated():
                await self._put(channel, exchange, key, envelope, mandatory=mandatory)
        except BusDisconnected:
            return False
        except CHANNEL_ERRORS as error:
            if blames(error, exchange, key):
                raise refusal(error, f"cannot publish to {exchange!r} with {key!r}") from error
            return False
        return True

    async def _put(self, channel: Channel, exchange: str, key: str, envelope: Envelope, *, mandatory: bool) -> None:
        await channel.connection.ready()  # waits while the broker blocks publishers
        try:
            await channel.basic_publish(
                envelope.body,
                exchange=exchange,
                routing_key=key,
                properties=to_properties(envelope),
                mandatory=mandatory,
                wait=False,
            )
        except amqp.PublishError as error:
            raise Unroutable(
                f"no queue takes {key!r} from exchange {exchange!r}", remedy="Is the consumer's side running?"
            ) from error
        except amqp.DeliveryError as error:
            raise PublishRefused(f"a queue behind exchange {exchange!r} refused {key!r}: it is full") from error

    async def _open_channel(self) -> Channel:
        await self.topology.connection()
        connection = await self.link.connection()
        async with self._opening:
            if self._channel is None or self._channel.is_closed or self._channel.connection is not connection:
                with translated():
                    await self.on_up(connection)
            if self._channel is None:
                raise BusDisconnected("the connection was lost while its channel opened")
            return self._channel

    @asynccontextmanager
    async def _alone(self, message_id: str) -> AsyncIterator[None]:
        """Keep publishes of one message id apart: the broker's returns name nothing else."""
        while (busy := self._in_flight.get(message_id)) is not None:
            await busy.wait()
        done = self._in_flight[message_id] = asyncio.Event()
        try:
            yield
        finally:
            del self._in_flight[message_id]
            done.set()

    async def request(self, exchange: str, key: str, envelope: Envelope, on_reply: OnReply) -> None:
        """Publish a request on the channel that its reply will come back to."""
        correlation_id = envelope.correlation_id or envelope.message_id
        channel = await self._open_requests()
        self._replies[correlation_id] = on_reply
        try:
            with translated():
                addressed = msgspec.structs.replace(envelope, reply_to=DIRECT_REPLY)
                await self._put(channel, exchange, key, addressed, mandatory=True)
        except CHANNEL_ERRORS as error:
            self.forget(correlation_id)
            raise refusal(error, f"cannot send a request to {exchange!r} with {key!r}") from error
        except BaseException:
            self.forget(correlation_id)
            raise

    def forget(self, correlation_id: str) -> None:
        """Expect no reply any more."""
        self._replies.pop(correlation_id, None)

    async def _open_requests(self) -> Channel:
        await self.topology.connection()
        connection = await self.link.connection()
        async with self._opening:
            channel = self._requests
            if channel is None or channel.is_closed or channel.connection is not connection:
                with translated():
                    channel = await open_channel(connection, confirms=True)
                    await channel.basic_consume(DIRECT_REPLY, self._on_reply, no_ack=True)
                self._requests = channel
            return channel

    async def _on_reply(self, message: DeliveredMessage) -> None:
        envelope = from_wire(message)
        on_reply = self._replies.pop(envelope.correlation_id or "", None)
        if on_reply is not None:
            on_reply(envelope)
