"""The RabbitMQ transport: one connection for publishing, one for consuming, each kept open by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

from pyti.bus.amqp.consumers import AmqpIncoming, AmqpSubscription, Consumers
from pyti.bus.amqp.link import Link
from pyti.bus.amqp.publisher import Publisher
from pyti.bus.envelope import Envelope
from pyti.bus.location import Location
from pyti.bus.options import Options
from pyti.bus.topology import Declarable
from pyti.bus.transport import Deliver
from pyti.errors import BusDisconnected

__all__ = ["AmqpTransport"]

_HEALTH_LIMIT_S = 5.0


class AmqpTransport:
    """Two links, because a memory alarm blocks connections that publish and must not block those that consume."""

    def __init__(self, location: Location, *, name: str, app: str, options: Options, random: Random) -> None:
        self._publisher = Publisher(options)
        self._consumers = Consumers(options)
        self._publisher.link = self._publishing = Link(
            location,
            f"{app} {name} publish",
            app=app,
            options=options,
            random=random,
            on_up=self._publisher.on_up,
            on_down=self._publisher.on_down,
        )
        self._consumers.link = self._consuming = Link(
            location,
            f"{app} {name} consume",
            app=app,
            options=options,
            random=random,
            on_up=self._consumers.on_up,
            on_down=self._consumers.on_down,
        )

        self._publisher.topology = self._consuming

    @property
    def connected(self) -> bool:
        """Whether both connections stand."""
        return self._publishing.is_up and self._consuming.is_up

    async def open(self) -> None:
        """Connect both ways."""
        await self._consuming.open()
        try:
            await self._publishing.open()
        except BaseException:
            await self._consuming.close()
            raise
        self._consumers.start()

    async def close(self) -> None:
        """Disconnect both ways; what is not settled goes back."""
        try:
            await self._consumers.stop()
        finally:
            try:
                await self._publishing.close()
            finally:
                await self._consuming.close()

    async def declare(self, item: Declarable) -> None:
        """Declare on the consuming connection, which owns exclusive queues."""
        await self._consumers.declare(item)

    async def publish(self, exchange: str, key: str, envelope: Envelope, *, mandatory: bool) -> None:
        """Publish and wait for the confirm."""
        await self._publisher.publish(exchange, key, envelope, mandatory=mandatory)

    async def get(self, queue: str) -> AmqpIncoming | None:
        """Fetch one message, if one is ready."""
        return await self._consumers.get(queue)

    async def wait_for_message(self, queues: tuple[str, ...], timeout_s: float) -> None:
        """Wait; the broker wakes nobody who only looks."""
        del queues
        await asyncio.sleep(timeout_s)

    async def consume(self, queue: str, tag: str, prefetch: int, deliver: Deliver) -> AmqpSubscription:
        """Consume on a channel of its own."""
        return await self._consumers.consume(queue, tag, prefetch, deliver)

    async def request(
        self, exchange: str, key: str, envelope: Envelope, on_reply: Callable[[Envelope | None], None]
    ) -> None:
        """Publish a request with direct reply-to."""
        await self._publisher.request(exchange, key, envelope, on_reply)

    def forget(self, correlation_id: str) -> None:
        """Expect no reply any more."""
        self._publisher.forget(correlation_id)

    async def healthy(self) -> bool:
        """Say whether both connections stand, the broker answers in 5 s, and every wanted consumer exists."""
        try:
            async with asyncio.timeout(_HEALTH_LIMIT_S):
                return self._publishing.is_up and await self._consumers.standing()
        except (TimeoutError, BusDisconnected):
            return False
