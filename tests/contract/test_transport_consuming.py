"""What consuming promises, on both transports."""

import asyncio

import pytest

from pyti.bus import Binding, Queue
from pyti.errors import ConfigError, PytiError, Unroutable


async def test_a_handler_gets_each_message_and_its_return_acknowledges(wire, eventually):
    seen = []

    async def handler(message, context):
        seen.append((message.n, context.queue))

    async with wire.open() as bus:
        async with bus.consume(wire.jobs, handler, prefetch=5):
            for n in range(20):
                await bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=n))
            await eventually(lambda: bus.counters["acked"] == 20)
        assert sorted(seen) == [(n, wire.jobs) for n in range(20)]
    async with wire.open("later") as bus:
        assert await bus.take([wire.jobs], timeout_s=0.2) is None


async def test_at_most_prefetch_handlers_run_at_once(wire, eventually):
    running = peak = done = 0

    async def handler(message, context):
        nonlocal running, peak, done
        running += 1
        peak = max(peak, running)
        await asyncio.sleep(0.02)
        running -= 1
        done += 1

    async with wire.open() as bus, bus.consume(wire.jobs, handler, prefetch=3):
        await asyncio.gather(*(bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=n)) for n in range(12)))
        await eventually(lambda: done == 12)
    assert peak == 3


async def test_two_consumers_share_a_queue(wire, eventually):
    seen = {"a": 0, "b": 0}

    def handler_of(name):
        async def handler(message, context):
            seen[name] += 1
            await asyncio.sleep(0.005)

        return handler

    async with (
        wire.open("a") as first,
        wire.open("b") as second,
        first.consume(wire.jobs, handler_of("a"), prefetch=1),
        second.consume(wire.jobs, handler_of("b"), prefetch=1),
    ):
        for n in range(20):
            await first.publish(wire.cmd, "job.x.normal", wire.Ping(n=n))
        await eventually(lambda: sum(seen.values()) == 20)
    assert min(seen.values()) > 0


async def test_what_a_lost_consumer_had_is_delivered_again(wire):
    async with wire.open("lost") as bus:
        await bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=1))
        first = await bus.take([wire.jobs], timeout_s=10)
        assert not first.context.redelivered
    async with wire.open("heir") as bus:
        again = await bus.take([wire.jobs], timeout_s=10)
        assert again.message == first.message
        assert again.context.message_id == first.context.message_id
        assert again.context.redelivered
        assert again.context.delivery_count == 1
        await again.ack()


async def test_settling_after_the_connection_went_says_so(wire):
    async with wire.open() as bus:
        await bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=1))
        delivery = await bus.take([wire.jobs], timeout_s=10)
    with pytest.raises(PytiError):
        await delivery.ack()


async def test_ending_gives_running_handlers_their_grace(wire, eventually):
    started, finished = asyncio.Event(), []

    async def handler(message, context):
        started.set()
        await asyncio.sleep(0.1)
        finished.append(message.n)

    async with wire.open() as bus:
        async with bus.consume(wire.jobs, handler):
            await bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=1))
            await started.wait()
        assert finished == [1]
        assert await bus.take([wire.jobs], timeout_s=0.2) is None


async def test_a_cancelled_handler_gives_its_message_back(wire):
    started = asyncio.Event()
    ended = []

    async def handler(message, context):
        started.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append(message.n)
            raise

    async with wire.open() as bus:
        async with bus.consume(wire.jobs, handler, grace_s=0):
            await bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=1))
            await started.wait()
        assert ended == [1]
        again = await bus.take([wire.jobs], timeout_s=10)
        assert again.message.n == 1
        assert again.context.redelivered
        assert again.context.attempt == 1


async def test_an_error_of_the_body_cancels_handlers_and_passes_through_bare(wire):
    started = asyncio.Event()

    async def handler(message, context):
        started.set()
        await asyncio.sleep(60)

    async with wire.open() as bus:

        async def body():
            async with bus.consume(wire.jobs, handler):
                await bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=1))
                await started.wait()
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await body()
        assert (await bus.take([wire.jobs], timeout_s=10)).message.n == 1


async def test_consuming_a_missing_queue_is_unroutable(wire):
    async def handler(message, context):
        raise AssertionError("there is nothing to handle")

    async with wire.open() as bus:
        with pytest.raises(Unroutable, match="missing"):
            async with bus.consume(f"{wire.ns}.missing", handler):
                raise AssertionError("consuming did not fail")
        assert await bus.healthy()


async def test_an_exclusive_queue_belongs_to_one_connection_and_goes_with_it(wire, eventually):
    control = Queue(name=f"{wire.ns}.ctl.slave-a", kind="classic", exclusive=True)
    seen = []

    async def handler(message, context):
        seen.append(message.n)

    async with wire.open("other") as other:
        async with wire.open("slave-a") as slave:
            await slave.declare(control)
            await slave.declare(Binding(exchange=wire.cmd, queue=control.name, key="slave.slave-a"))
            async with slave.consume(control.name, handler):
                await other.publish(wire.cmd, "slave.slave-a", wire.Ping(n=1))
                await eventually(lambda: seen == [1])
                with pytest.raises(ConfigError):
                    await other.declare(control)
        with pytest.raises(Unroutable):
            await other.publish(wire.cmd, "slave.slave-a", wire.Ping(n=2))


async def test_a_topic_exchange_copies_to_every_queue_that_matches_once(wire):
    names = [f"{wire.ns}.watch{n}" for n in range(2)]
    async with wire.open(topology=wire.topology(*(Queue(name=name, kind="classic") for name in names))) as bus:
        for key in ("evt.#", "#.done"):
            await bus.declare(Binding(exchange=wire.cmd, queue=names[0], key=key))
        await bus.declare(Binding(exchange=wire.cmd, queue=names[1], key="evt.*"))
        await bus.publish(wire.cmd, "evt.job.done", wire.Ping(n=1))
        await bus.publish(wire.cmd, "evt.job", wire.Ping(n=2))
        assert [(await bus.take([names[0]], timeout_s=10)).message.n for _ in range(2)] == [1, 2]
        assert (await bus.take([names[1]], timeout_s=10)).message.n == 2
        assert await bus.take(names, timeout_s=0.2) is None
