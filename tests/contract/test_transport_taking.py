"""What taking promises, on both transports."""

import asyncio

import pytest

from pyti.errors import Unroutable, UsageError


async def test_taking_prefers_the_first_queue_and_never_starves_the_last(wire):
    async with wire.open() as bus:
        for n in range(20):
            await bus.publish(wire.cmd, "job.x.high", wire.Ping(n=n))
            await bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=n))
        order = []
        for _ in range(24):
            delivery = await bus.take((wire.high, wire.jobs), timeout_s=10)
            order.append("high" if delivery.context.queue == wire.high else "normal")
            await delivery.ack()
        assert order[:8] == ["high"] * 7 + ["normal"]
        assert order[8:16] == ["high"] * 7 + ["normal"]
        assert order[16:] == ["high"] * 6 + ["normal"] * 2


async def test_taking_answers_none_when_nothing_comes(wire):
    async with wire.open() as bus:
        assert await bus.take((wire.high, wire.jobs), timeout_s=0.15) is None
        assert await bus.take((wire.high,), timeout_s=0) is None


async def test_a_waiting_taker_gets_what_arrives_later(wire):
    async with wire.open() as bus:
        waiting = asyncio.create_task(bus.take((wire.high, wire.jobs), timeout_s=10))
        await asyncio.sleep(0.05)
        await bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=4))
        assert (await waiting).message.n == 4


async def test_a_cancelled_taker_keeps_nothing(wire):
    async with wire.open() as bus:
        kept = []
        for n in range(10):
            waiting = asyncio.create_task(bus.take((wire.jobs,), timeout_s=10))
            await bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=n))
            waiting.cancel()
            try:
                delivery = await waiting
            except asyncio.CancelledError:
                delivery = await bus.take((wire.jobs,), timeout_s=10)
            kept.append(delivery.message.n)
            await delivery.ack()
        assert kept == list(range(10))
        assert await bus.take((wire.jobs,), timeout_s=0.2) is None


async def test_cancelling_a_taker_leaves_earlier_deliveries_to_their_owner(wire):
    async with wire.open() as bus:
        await bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=1))
        held = await bus.take((wire.jobs,), timeout_s=10)
        for _ in range(5):
            waiting = asyncio.create_task(bus.take((wire.high,), timeout_s=10))
            await asyncio.sleep(0.003)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        await held.ack()
        assert await bus.take((wire.jobs,), timeout_s=0.2) is None


async def test_a_delivery_is_settled_once(wire):
    async with wire.open() as bus:
        await bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=1))
        delivery = await bus.take((wire.jobs,), timeout_s=10)
        await delivery.ack()
        assert delivery.settled
        with pytest.raises(UsageError, match="settled already"):
            await delivery.requeue()


async def test_a_requeued_delivery_comes_again_first(wire):
    async with wire.open() as bus:
        for n in (1, 2):
            await bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=n))
        await (await bus.take((wire.jobs,), timeout_s=10)).requeue()
        numbers = [(await bus.take((wire.jobs,), timeout_s=10)).message.n for _ in range(2)]
        assert sorted(numbers) == [1, 2]


async def test_taking_from_a_missing_queue_is_unroutable(wire):
    async with wire.open() as bus:
        with pytest.raises(Unroutable):
            await bus.take((f"{wire.ns}.missing",), timeout_s=1)
        await bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=1))
        assert (await bus.take((wire.jobs,), timeout_s=10)).message.n == 1
