"""The bus: publish, consume, take, request, over whichever transport the URL names."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any, Self

import msgspec
import structlog

from pyti.bus.clock import Clock
from pyti.bus.composing import Composer
from pyti.bus.connecting import transport_for
from pyti.bus.consumer import Consuming, Handler
from pyti.bus.delivery import Context, Delivery
from pyti.bus.envelope import Envelope
from pyti.bus.fairness import TakeOrder
from pyti.bus.location import Location
from pyti.bus.options import Options
from pyti.bus.reading import Reader
from pyti.bus.registry import Registry
from pyti.bus.settlement import Settlement
from pyti.bus.topology import Declarable, Queue, Topology
from pyti.bus.transport import Incoming, Transport
from pyti.errors import BusDisconnected, RequestTimeout, Unroutable

__all__ = ["Bus"]

_log = structlog.get_logger("pyti.bus")


class Bus:
    """A connection to a broker that speaks the messages of one registry. Made by ``Bus.open``."""

    def __init__(
        self,
        transport: Transport,
        location: Location,
        *,
        registry: Registry,
        topology: Topology,
        name: str,
        app: str,
        options: Options,
        clock: Clock,
        random: Random,
    ) -> None:
        self.name = name
        self.counters: Counter[str] = Counter()
        """How many messages were published, delivered, acked, retried, dead_lettered and so on."""
        self._transport = transport
        self._topology = topology
        self._options = options
        self._random = random
        self._composer = Composer(registry, clock, app=app, user=location.user)
        self._queues: dict[str, Queue] = {}
        self._order = TakeOrder()
        self._consuming: list[Consuming] = []
        self._reader = Reader(registry, clock, options.max_body_bytes, self.counters)
        self._settlement = Settlement(
            transport,
            clock,
            self.counters,
            find_queue=self._queues.get,
            retries=topology.retries,
            user=location.user,
        )

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str,
        *,
        registry: Registry,
        topology: Topology | None = None,
        name: str,
        app: str = "pyti",
        options: Options | None = None,
        clock: Clock | None = None,
        random: Random | None = None,
    ) -> AsyncIterator[Self]:
        """Connect to ``inprocess:<name>`` or ``amqp[s]://…``, declare the topology, and disconnect at the end.

        ``name`` and ``app`` are what people read in the broker's management UI.
        Raises ``ConfigError`` for a senseless URL or a topology that stands differently, ``BusDisconnected`` when
        there is no broker within ``options.connect_timeout_s``.
        """
        location = Location.parse(url)
        options = options or Options()
        random = random or Random()  # noqa: S311 - jitter needs no secrecy
        transport, clock = transport_for(location, name=name, app=app, options=options, clock=clock, random=random)
        bus = cls(
            transport,
            location,
            registry=registry,
            topology=topology or Topology(),
            name=name,
            app=app,
            options=options,
            clock=clock,
            random=random,
        )
        await transport.open()
        try:
            for item in bus._topology.objects():
                await bus.declare(item)
            _log.info("bus open", bus=name, broker=location.shown)
            yield bus
        finally:
            await transport.close()
            _log.info("bus closed", bus=name, **bus.counters)

    # -- state -----------------------------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether there is a connection at this moment."""
        return self._transport.connected

    async def healthy(self) -> bool:
        """Whether the broker answers, every expected consumer exists, and nothing of the machinery failed."""
        return all(found.failure is None for found in self._consuming) and await self._transport.healthy()

    async def declare(self, item: Declarable) -> None:
        """Make an exchange, queue or binding stand, now and after every reconnect.

        Raises ``ConfigError`` when it stands differently or belongs to another, ``Unroutable`` when a binding names
        something that is missing.
        """
        await self._transport.declare(item)
        if isinstance(item, Queue):
            self._queues[item.name] = item

    # -- publishing ------------------------------------------------------------------------------------------------

    async def publish(
        self,
        exchange: str,
        routing_key: str,
        message: msgspec.Struct,
        *,
        correlation_id: str | None = None,
        headers: Mapping[str, Any] | None = None,
        reply_to: str | None = None,
        message_id: str | None = None,
        expiration_s: float | None = None,
        deadline: float | None = None,
        mandatory: bool = True,
    ) -> str:
        """Publish, wait for the broker's confirm, and return the message id.

        ``expiration_s`` bounds the time in a queue; ``deadline`` (Unix time) is when it must no longer be handled.
        While the broker is away this waits, up to ``options.publish_timeout_s``; a publish whose confirm was lost is
        repeated under the same message id, so a message can arrive twice. Floats in ``headers`` travel as text.

        Raises ``Unroutable``, ``PublishRefused``, ``BusDisconnected``, ``TooLarge``, ``UnknownMessage``.
        """
        envelope = self._composer.compose(
            message,
            correlation_id=correlation_id,
            headers=headers,
            reply_to=reply_to,
            message_id=message_id,
            expiration_s=expiration_s,
            deadline=deadline,
        )
        self._reader.check_size(envelope)
        try:
            await self._transport.publish(exchange, routing_key, envelope, mandatory=mandatory)
        except Unroutable:
            self.counters["unroutable"] += 1
            raise
        self.counters["published"] += 1
        return envelope.message_id

    # -- consuming -------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def consume(
        self, queue: str, handler: Handler, *, prefetch: int = 10, grace_s: float | None = None
    ) -> AsyncIterator[None]:
        """Run ``handler(message, context)`` for each message of ``queue`` while the body runs, ``prefetch`` at once.

        The handler's return acknowledges; a retryable ``PytiError`` brings the message back later; any other error
        dead-letters it; cancellation gives it back. At the end running handlers get ``grace_s`` seconds.

        Raises ``Unroutable`` when there is no such queue.
        """
        if prefetch < 1:
            raise ValueError("prefetch is at least 1")
        consuming = Consuming(
            queue,
            handler,
            prefetch,
            reader=self._reader,
            settlement=self._settlement,
            reply=self._reply,
            random=self._random,
        )
        await consuming.start(self._transport, f"{self.name}:{queue}")
        self._consuming.append(consuming)
        grace = 0.0
        try:
            yield
            grace = self._options.grace_s if grace_s is None else grace_s
        finally:
            self._consuming.remove(consuming)
            await consuming.stop(grace)

    async def take(self, queues: Sequence[str], *, timeout_s: float) -> Delivery | None:
        """Return the next message of several queues in order of preference, or ``None`` after ``timeout_s`` seconds.

        Every eighth time the order is reversed, so that the last queue is never starved. Whoever takes a message
        settles it. What cannot be read is dead-lettered on the way and not handed out.

        Raises ``BusDisconnected`` when there is no connection in time, ``Unroutable`` when a queue does not exist.
        """
        wanted = tuple(queues)
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        idle, longest = self._options.idle_s
        while True:
            for queue in self._order.order(wanted):
                incoming = await self._transport.get(queue)
                if incoming is None:
                    continue
                self._order.took(wanted)
                delivery = await self._delivery(incoming)
                if delivery is not None:
                    return delivery
                break
            else:
                left = end - loop.time()
                if left <= 0:
                    return None
                pause = min(left, idle * (0.5 + 0.5 * self._random.random()))
                await self._transport.wait_for_message(wanted, pause)
                idle = min(longest, idle * 2)

    async def _delivery(self, incoming: Incoming) -> Delivery | None:
        read = self._reader.read(incoming)
        if read.message is not None:
            return Delivery(read.message, Context(incoming, self._reply), incoming, self._settlement)
        if (refusal := read.refusal) is not None:
            settle = self._settlement
            await settle.quietly("dead-letter", incoming, lambda: settle.dead_letter(incoming, refusal))
        return None

    # -- request and reply -----------------------------------------------------------------------------------------

    async def request(
        self,
        exchange: str,
        routing_key: str,
        message: msgspec.Struct,
        *,
        timeout_s: float,
        headers: Mapping[str, Any] | None = None,
    ) -> Any:
        """Publish a request and return the reply's message.

        Raises ``Unroutable`` at once when nobody listens, ``RequestTimeout`` after ``timeout_s`` seconds,
        ``BusDisconnected`` when the way back was lost, and what decoding the reply raises.
        """
        correlation_id = secrets.token_hex(16)
        envelope = self._composer.compose(
            message, correlation_id=correlation_id, headers=headers, expiration_s=timeout_s
        )
        self._reader.check_size(envelope)
        answer: asyncio.Future[Envelope] = asyncio.get_running_loop().create_future()

        def on_reply(reply: Envelope | None) -> None:
            if answer.done():
                return
            if reply is None:
                answer.set_exception(BusDisconnected("the connection was lost before the reply came"))
            else:
                answer.set_result(reply)

        try:
            async with asyncio.timeout(timeout_s):
                await self._transport.request(exchange, routing_key, envelope, on_reply)
                reply = await answer
        except TimeoutError:
            raise RequestTimeout(f"no reply to {envelope.type} from {routing_key!r} within {timeout_s:g} s") from None
        finally:
            self._transport.forget(correlation_id)
            if answer.done() and not answer.cancelled():
                answer.exception()
        self.counters["replies"] += 1
        return self._reader.decode(reply)

    async def _reply(self, incoming: Incoming, message: msgspec.Struct) -> None:
        request = incoming.envelope
        envelope = self._composer.compose(message, correlation_id=request.correlation_id)
        self._reader.check_size(envelope)
        # Not mandatory: RabbitMQ returns such a reply as unroutable even when the requester gets it.
        await self._transport.publish("", request.reply_to or "", envelope, mandatory=False)
