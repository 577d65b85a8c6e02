"""The interface between the bus and what carries its messages; both transports pass the same contract suite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pyti.bus.envelope import Envelope
from pyti.bus.topology import Declarable

__all__ = ["Deliver", "Incoming", "Subscription", "Transport"]


class Incoming(Protocol):
    """One delivery that waits to be settled, exactly once."""

    @property
    def envelope(self) -> Envelope:
        """The message."""

    @property
    def queue(self) -> str:
        """The queue that it came out of."""

    @property
    def exchange(self) -> str:
        """The exchange that it was published to."""

    @property
    def routing_key(self) -> str:
        """The key that it was published with."""

    @property
    def redelivered(self) -> bool:
        """Whether it was handed out before."""

    @property
    def delivery_count(self) -> int:
        """How often it came back unacknowledged, where the queue counts that."""

    async def ack(self) -> None:
        """Settle it for good. Raises ``BusDisconnected`` when its channel is gone: it will be delivered again."""

    async def nack(self, *, requeue: bool) -> None:
        """Give it back to its queue, or let the broker dead-letter it. Raises ``BusDisconnected`` like ``ack``."""


Deliver = Callable[[Incoming], None]
"""Called on the event loop for each delivery; must not block."""


class Subscription(Protocol):
    """A consumer at the broker."""

    async def cancel(self) -> None:
        """Get no more deliveries; those handed out already may still be settled."""

    async def release(self) -> None:
        """Cancel, and give back whatever was handed out and not settled."""


class Transport(Protocol):
    """A way to a broker. Everything may raise ``BusDisconnected`` when there is no connection in time."""

    @property
    def connected(self) -> bool:
        """Whether messages can be published and consumed at this moment."""

    async def open(self) -> None:
        """Connect; raises ``BusDisconnected`` with a remedy when that fails."""

    async def close(self) -> None:
        """Disconnect; whatever is not settled goes back to its queue."""

    async def declare(self, item: Declarable) -> None:
        """Make sure that it stands, now and after every reconnect. ``ConfigError`` when it stands differently."""

    async def publish(self, exchange: str, key: str, envelope: Envelope, *, mandatory: bool) -> None:
        """Return when the broker has confirmed the message.

        Raises ``Unroutable`` when it is mandatory and no queue took it, or the exchange does not exist;
        ``PublishRefused`` when a full queue rejected it.
        """

    async def get(self, queue: str) -> Incoming | None:
        """Return the next message of a queue, if one is ready. ``Unroutable`` when there is no such queue."""

    async def wait_for_message(self, queues: tuple[str, ...], timeout_s: float) -> None:
        """Return when a message may be ready in one of the queues, or after the time; may return too early."""

    async def consume(self, queue: str, tag: str, prefetch: int, deliver: Deliver) -> Subscription:
        """Have at most ``prefetch`` unsettled messages handed to ``deliver``, now and after every reconnect."""

    async def request(
        self, exchange: str, key: str, envelope: Envelope, on_reply: Callable[[Envelope | None], None]
    ) -> None:
        """Publish a mandatory message whose ``correlation_id`` a reply will carry.

        ``on_reply`` gets the reply's envelope, or ``None`` when the way back is lost, at most once.
        """

    def forget(self, correlation_id: str) -> None:
        """Expect no reply any more."""

    async def healthy(self) -> bool:
        """Whether the broker answers and every expected consumer exists."""
