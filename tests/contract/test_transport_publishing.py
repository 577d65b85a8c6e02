"""What publishing promises, on both transports."""

import asyncio

import pytest

from pyti.bus import Binding, Exchange, Options, Queue, Topology
from pyti.errors import ConfigError, PublishRefused, TooLarge, UnknownMessage, Unroutable


async def test_a_published_message_reaches_the_bound_queue_with_its_envelope(wire):
    async with wire.open("sender") as bus:
        sent = await bus.publish(
            wire.cmd,
            "job.x.normal",
            wire.Ping(n=7, text="häus"),
            correlation_id="job-7",
            headers={"traceparent": "00-ab-cd-01", "share": 0.1, "list": [1, {"a": True}]},
        )
        delivery = await bus.take([wire.jobs], timeout_s=10)
        assert delivery.message == wire.Ping(n=7, text="häus")
        context = delivery.context
        assert (context.message_id, context.correlation_id, context.type) == (sent, "job-7", "test.ping.v1")
        assert (context.queue, context.exchange, context.routing_key) == (wire.jobs, wire.cmd, "job.x.normal")
        assert (context.app_id, context.attempt, context.redelivered, context.history) == ("pyti", 1, False, ())
        assert context.user_id == ("guest" if wire.kind == "rabbitmq" else None)
        assert context.traceparent == "00-ab-cd-01"
        assert (context.headers["share"], context.headers["list"]) == ("0.1", [1, {"a": True}])
        assert context.timestamp is not None
        await delivery.ack()
        assert await bus.take([wire.jobs], timeout_s=0) is None


async def test_a_mandatory_message_that_no_queue_takes_is_unroutable(wire):
    async with wire.open() as bus:
        with pytest.raises(Unroutable, match=r"job\.x\.unheard"):
            await bus.publish(wire.cmd, "job.x.unheard", wire.Ping(n=1))
        await bus.publish(wire.cmd, "job.x.unheard", wire.Ping(n=1), mandatory=False)
        assert bus.counters["unroutable"] == 1
        assert bus.counters["published"] == 1


async def test_a_missing_exchange_is_unroutable_and_its_neighbours_go_through(wire):
    async with wire.open() as bus:
        results = await asyncio.gather(
            *(bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=n)) for n in range(20)),
            bus.publish(f"{wire.ns}.nowhere", "job.x.normal", wire.Ping(n=99)),
            *(bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=n)) for n in range(20, 40)),
            return_exceptions=True,
        )
        failures = [found for found in results if isinstance(found, BaseException)]
        assert [type(found) for found in failures] == [Unroutable]
        numbers = set()
        while (delivery := await bus.take([wire.jobs], timeout_s=0.3)) is not None:
            numbers.add(delivery.message.n)
            await delivery.ack()
        assert numbers == set(range(40))


async def test_many_publishes_at_once_are_all_confirmed(wire):
    async with wire.open() as bus:
        await asyncio.gather(*(bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=n)) for n in range(500)))
        assert bus.counters["published"] == 500
        seen = [await bus.take([wire.jobs], timeout_s=10) for _ in range(500)]
        assert sorted(delivery.message.n for delivery in seen) == list(range(500))


async def test_publishes_of_one_message_id_at_once_are_told_apart(wire):
    async with wire.open() as bus:
        results = await asyncio.gather(
            *(
                bus.publish(wire.cmd, "job.x.unheard" if n % 2 else "job.x.normal", wire.Ping(n=n), message_id="same")
                for n in range(10)
            ),
            return_exceptions=True,
        )
        assert [isinstance(found, Unroutable) for found in results] == [bool(n % 2) for n in range(10)]


async def test_a_body_over_the_bound_is_refused_before_it_is_sent(wire):
    async with wire.open(max_body_bytes=1000) as bus:
        with pytest.raises(TooLarge, match="1000"):
            await bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=1, text="x" * 1000))
        assert await bus.take([wire.jobs], timeout_s=0) is None


async def test_a_type_that_was_not_registered_cannot_be_published(wire):
    async with wire.open() as bus:
        with pytest.raises(UnknownMessage, match="Stranger"):
            await bus.publish(wire.cmd, "job.x.normal", wire.Stranger(n=1))


async def test_a_large_body_arrives_whole(wire):
    text = "é" * 400_000
    async with wire.open() as bus:
        await bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=1, text=text))
        delivery = await bus.take([wire.jobs], timeout_s=10)
        assert delivery.message.text == text


async def test_a_full_queue_with_reject_publish_refuses(wire):
    name = f"{wire.ns}.small"
    small = Queue(name=name, kind="classic", max_length=1, overflow="reject-publish")
    async with wire.open(topology=Topology(queues=(small,))) as bus:
        results = await asyncio.gather(
            *(bus.publish("", name, wire.Ping(n=n)) for n in range(50)), return_exceptions=True
        )
        refused = [found for found in results if isinstance(found, BaseException)]
        assert refused
        assert {type(found) for found in refused} == {PublishRefused}


async def test_a_full_queue_with_drop_head_dead_letters_its_oldest(wire):
    name = f"{wire.ns}.last"
    last = Queue(name=name, kind="classic", max_length=2, dead_letter_exchange=wire.dlx)
    async with wire.open(topology=wire.topology(last)) as bus:
        for n in range(3):
            await bus.publish("", name, wire.Ping(n=n))
        dead = await wire.take_dead(bus)
        assert dead.message.n == 0
        assert dead.context.headers["x-death"][0]["reason"] == "maxlen"
        assert [(await bus.take([name], timeout_s=10)).message.n for _ in range(2)] == [1, 2]


async def test_a_queue_that_stands_differently_is_a_configuration_error(wire):
    async with wire.open() as bus:
        with pytest.raises(ConfigError, match="jobs"):
            await bus.declare(Queue(name=wire.jobs, kind="classic"))
        await bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=1))


async def test_declarations_can_be_added_later_and_repeated(wire):
    async with wire.open() as bus:
        queue = Queue(name=f"{wire.ns}.later", kind="classic", auto_delete=True)
        for _ in range(2):
            await bus.declare(Exchange(name=f"{wire.ns}.evt"))
            await bus.declare(queue)
            await bus.declare(Binding(exchange=f"{wire.ns}.evt", queue=queue.name, key="#"))
        await bus.publish(f"{wire.ns}.evt", "anything.at.all", wire.Ping(n=3))
        assert (await bus.take([queue.name], timeout_s=10)).message.n == 3


async def test_a_binding_of_something_missing_is_unroutable(wire):
    async with wire.open() as bus:
        with pytest.raises(Unroutable):
            await bus.declare(Binding(exchange=f"{wire.ns}.missing", queue=wire.jobs, key="#"))


async def test_an_open_bus_is_connected_and_healthy(wire):
    async with wire.open() as bus:
        assert bus.connected
        assert await bus.healthy()
    assert not bus.connected
    assert Options().max_body_bytes == 1024 * 1024
