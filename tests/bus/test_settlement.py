"""Settling when the broker does not play along."""

import msgspec

from pyti.bus import Backoff, Bus, Exchange, Queue, Registry, Retries, Topology, broker_named
from pyti.errors import IndexUnavailable


class Note(msgspec.Struct, frozen=True, tag_field="type", tag="test.note.v1"):
    n: int


def opened(name, topology):
    return Bus.open(f"inprocess:{name}", registry=Registry(Note), topology=topology, name="a")


async def test_a_dead_letter_that_nobody_takes_falls_to_the_brokers_own_rules():
    topology = Topology(exchanges=(Exchange(name="dlx"),), queues=(Queue(name="q", dead_letter_exchange="dlx"),))
    async with opened("settle-1", topology) as bus:
        await bus.publish("", "q", Note(n=1))
        await (await bus.take(["q"], timeout_s=0)).reject(reason="no")
        assert await bus.take(["q"], timeout_s=0) is None
        assert bus.counters["dead_lettered.rejected"] == 1


async def test_a_missing_retry_queue_gives_the_message_back_at_once():
    broker = broker_named("settle-2")
    retries = Retries(namespace="n", backoff=Backoff(initial_s=60, max_s=60, attempts=2))
    topology = Topology(queues=(Queue(name="q"),), retries=retries)
    async with opened("settle-2", topology) as bus:
        broker.delete("n.retry.60s")
        await bus.publish("", "q", Note(n=1))
        await (await bus.take(["q"], timeout_s=0)).requeue(delay_s=60)
        assert (await bus.take(["q"], timeout_s=0)).context.redelivered


async def test_without_a_dead_letter_exchange_the_message_is_dropped_and_counted():
    async with opened("settle-3", Topology(queues=(Queue(name="q"),))) as bus:
        await bus.publish("", "q", Note(n=1))
        await (await bus.take(["q"], timeout_s=0)).reject(reason="no")
        assert await bus.take(["q"], timeout_s=0) is None
        assert bus.counters["dead_lettered"] == 1


async def test_without_retry_queues_a_retryable_failure_is_dead_lettered(eventually):
    async def handler(message, context):
        raise IndexUnavailable("x")

    async with opened("settle-4", Topology(queues=(Queue(name="q"),))) as bus, bus.consume("q", handler):
        await bus.publish("", "q", Note(n=1))
        await eventually(lambda: bus.counters["dead_lettered.attempts-exhausted"] == 1)


async def test_a_lost_connection_while_settling_leaves_the_message_to_the_broker(eventually):
    broker = broker_named("settle-5")
    gone = []

    async def handler(message, context):
        if not gone:
            gone.append(True)
            broker.disconnect(bus._transport._peer)

    async with opened("settle-5", Topology(queues=(Queue(name="q"),))) as bus, bus.consume("q", handler):
        await bus.publish("", "q", Note(n=1))
        await eventually(lambda: bus.counters["settlements_lost"] == 1)
    assert broker.length("q") == 1
