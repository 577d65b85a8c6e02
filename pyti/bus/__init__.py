"""A message bus for asyncio: typed, versioned messages over RabbitMQ or, for embedding and tests, in one process.

It loses nothing: publishing is confirmed, handlers acknowledge by returning, failures come back through delay queues,
and what cannot be handled is dead-lettered with the reason. It knows nothing of packages or machines::

    registry = Registry(JobRun, JobResult)
    async with Bus.open("inprocess:demo", registry=registry, topology=topology, name="worker") as bus:
        await bus.publish("pyti.cmd", "job.x86_64.bookworm.normal", JobRun(...))
        async with bus.consume("pyti.results.master", on_result, prefetch=10):
            ...
"""

from __future__ import annotations

from pyti.bus.backoff import Backoff
from pyti.bus.broker import Broker
from pyti.bus.bus import Bus
from pyti.bus.clock import Clock, SystemClock, VirtualClock
from pyti.bus.consumer import Handler
from pyti.bus.delivery import Context, Delivery
from pyti.bus.envelope import Failure
from pyti.bus.inprocess import broker_named
from pyti.bus.options import Options
from pyti.bus.policy import DeadReason
from pyti.bus.registry import Registry
from pyti.bus.topology import Binding, Declarable, Exchange, Queue, Retries, Topology

__all__ = [
    "Backoff",
    "Binding",
    "Broker",
    "Bus",
    "Clock",
    "Context",
    "DeadReason",
    "Declarable",
    "Delivery",
    "Exchange",
    "Failure",
    "Handler",
    "Options",
    "Queue",
    "Registry",
    "Retries",
    "SystemClock",
    "Topology",
    "VirtualClock",
    "broker_named",
]
