"""What requests and replies promise, on both transports."""

import asyncio

import pytest

from pyti.bus import Queue
from pyti.errors import RequestTimeout, UnknownMessage, Unroutable, UsageError


async def test_a_request_is_answered_by_the_handlers_reply(wire):
    async def serve(message, context):
        await context.reply(wire.Pong(n=message.n * 2))

    async with wire.open("server") as server, wire.open("client") as client, server.consume(wire.jobs, serve):
        reply = await client.request(wire.cmd, "job.x.normal", wire.Ping(n=21), timeout_s=10)
        assert reply == wire.Pong(n=42)


async def test_many_requests_at_once_get_their_own_answers(wire):
    async def serve(message, context):
        await asyncio.sleep(0.01 * (message.n % 3))
        await context.reply(wire.Pong(n=message.n))

    async with wire.open("server") as server, wire.open("client") as client, server.consume(wire.jobs, serve):
        replies = await asyncio.gather(
            *(client.request(wire.cmd, "job.x.normal", wire.Ping(n=n), timeout_s=10) for n in range(50))
        )
        assert [reply.n for reply in replies] == list(range(50))


async def test_a_request_that_nobody_listens_to_fails_at_once(wire):
    async with wire.open() as bus:
        with pytest.raises(Unroutable):
            await bus.request(wire.cmd, "nobody", wire.Ping(n=1), timeout_s=60)


async def test_a_request_to_a_missing_exchange_fails_at_once_and_the_next_works(wire):
    async def serve(message, context):
        await context.reply(wire.Pong(n=message.n))

    async with wire.open() as bus, bus.consume(wire.jobs, serve):
        with pytest.raises(Unroutable):
            await bus.request(f"{wire.ns}.nowhere", "x", wire.Ping(n=1), timeout_s=60)
        assert (await bus.request(wire.cmd, "job.x.normal", wire.Ping(n=1), timeout_s=10)).n == 1


async def test_a_request_without_a_reply_times_out_and_a_late_reply_is_dropped(wire, eventually):
    go, done = asyncio.Event(), asyncio.Event()

    async def serve(message, context):
        await go.wait()
        await context.reply(wire.Pong(n=message.n))
        done.set()

    async with wire.open() as bus, bus.consume(wire.jobs, serve):
        with pytest.raises(RequestTimeout, match=r"test\.ping\.v1"):
            await bus.request(wire.cmd, "job.x.normal", wire.Ping(n=1), timeout_s=0.2)
        go.set()
        await asyncio.wait_for(done.wait(), 10)
        assert (await bus.request(wire.cmd, "job.x.normal", wire.Ping(n=2), timeout_s=10)).n == 2


async def test_a_request_that_is_not_served_in_time_is_not_served_later(wire):
    async with wire.open() as bus:
        with pytest.raises(RequestTimeout):
            await bus.request(wire.cmd, "job.x.normal", wire.Ping(n=1), timeout_s=0.1)
        await asyncio.sleep(0.1)
        assert await bus.take([wire.jobs], timeout_s=0) is None


async def test_a_reply_to_a_requester_that_is_gone_is_no_failure(wire, eventually):
    got = asyncio.Event()
    go = asyncio.Event()

    async def serve(message, context):
        got.set()
        await go.wait()
        await context.reply(wire.Pong(n=1))

    async with wire.open("server") as server, server.consume(wire.jobs, serve):
        async with wire.open("client") as client:
            asking = asyncio.create_task(client.request(wire.cmd, "job.x.normal", wire.Ping(n=1), timeout_s=30))
            await asyncio.wait_for(got.wait(), 10)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        go.set()
        await eventually(lambda: server.counters["acked"] == 1)
        assert server.counters["dead_lettered"] == 0


async def test_a_reply_of_an_unknown_type_is_an_error_of_the_request(wire):
    async def serve(message, context):
        await context.reply(wire.Stranger(n=1))

    async with (
        wire.open("server", types=(wire.Ping, wire.Stranger)) as server,
        wire.open("client") as client,
        server.consume(wire.jobs, serve),
    ):
        with pytest.raises(UnknownMessage, match=r"elsewhere\.thing\.v1"):
            await client.request(wire.cmd, "job.x.normal", wire.Ping(n=1), timeout_s=10)


async def test_replying_to_what_is_no_request_is_a_usage_error(wire):
    async with wire.open(topology=wire.topology(Queue(name=f"{wire.ns}.plain"))) as bus:
        await bus.publish("", f"{wire.ns}.plain", wire.Ping(n=1))
        delivery = await bus.take([f"{wire.ns}.plain"], timeout_s=10)
        with pytest.raises(UsageError, match="no reply"):
            await delivery.context.reply(wire.Pong(n=1))
