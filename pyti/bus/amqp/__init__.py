"""The RabbitMQ transport, on aiormq: reconnection, restoration and confirms are done here, in the open."""

from __future__ import annotations

from pyti.bus.amqp.transport import AmqpTransport

__all__ = ["AmqpTransport"]
