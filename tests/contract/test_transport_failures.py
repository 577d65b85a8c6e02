"""What becomes of messages that fail, on both transports."""

import time

import pytest

from pyti.bus import DeadReason, Queue
from pyti.errors import IndexUnavailable, MalformedArchive


async def collect(wire, eventually, handler, send, *, attempts=3, types=None, **options):
    """Run one handler until one message is dead-lettered; give the dead delivery back."""
    async with wire.open("worker", topology=wire.topology(attempts=attempts), **options) as bus:
        async with bus.consume(wire.jobs, handler):
            await send(bus)
            await eventually(lambda: bus.counters["dead_lettered"] == 1)
        async with wire.open("coroner", types=types or (wire.Ping, wire.Pong), topology=wire.topology()) as coroner:
            return await wire.take_dead(coroner), bus


async def test_a_retryable_failure_comes_back_after_growing_delays_then_dies_with_its_history(wire, eventually):
    attempts = []

    async def handler(message, context):
        attempts.append((context.attempt, len(context.history), context.message_id))
        raise IndexUnavailable(f"no answer, time {context.attempt}")

    async def send(bus):
        await bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=1), message_id="m-1", correlation_id="job-1")

    dead, bus = await collect(wire, eventually, handler, send)
    assert attempts == [(1, 0, "m-1"), (2, 1, "m-1"), (3, 2, "m-1")]
    assert bus.counters["retried"] == 2
    history = dead.context.history
    assert [(row.attempt, row.queue, row.error, row.delay_s) for row in history] == [
        (1, wire.jobs, "IndexUnavailable", 0.1),
        (2, wire.jobs, "IndexUnavailable", 0.2),
    ]
    assert history[1].at - history[0].at >= 0.1
    assert dead.context.headers["dead-reason"] == DeadReason.EXHAUSTED
    assert "no answer, time 3" in dead.context.headers["dead-detail"]
    assert dead.context.headers["dead-queue"] == wire.jobs
    assert (dead.context.message_id, dead.context.correlation_id, dead.message) == ("m-1", "job-1", wire.Ping(n=1))


async def test_a_retried_message_can_succeed(wire, eventually):
    seen = []

    async def handler(message, context):
        seen.append(context.attempt)
        if context.attempt < 2:
            raise IndexUnavailable("not yet")

    async with wire.open() as bus, bus.consume(wire.jobs, handler):
        await bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=1))
        await eventually(lambda: bus.counters["acked"] == 1)
        assert seen == [1, 2]
        assert bus.counters["dead_lettered"] == 0


@pytest.mark.parametrize("error", [MalformedArchive("not a wheel"), ValueError("a fault of the handler's own")])
async def test_what_cannot_be_mended_by_trying_again_is_dead_lettered_at_once(wire, eventually, error):
    runs = []

    async def handler(message, context):
        runs.append(context.attempt)
        raise error

    async def send(bus):
        await bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=1))

    dead, bus = await collect(wire, eventually, handler, send)
    assert runs == [1]
    assert dead.context.headers["dead-reason"] == DeadReason.FAILED
    assert dead.context.headers["dead-detail"] == f"{type(error).__name__}: {error}"
    assert dead.context.headers["dead-exchange"] == wire.cmd
    assert bus.counters["dead_lettered.failed"] == 1


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("Stranger", 1, DeadReason.UNKNOWN_TYPE),
        ("PingFromTomorrow", 1, DeadReason.UNKNOWN_VERSION),
        ("MalformedPing", "one", DeadReason.UNDECODABLE),
    ],
)
async def test_what_cannot_be_read_is_dead_lettered_and_the_next_is_handled(wire, eventually, kind, value, reason):
    seen = []
    sent_type = getattr(wire, kind)

    async def handler(message, context):
        seen.append(message.n)

    async def send(bus):
        async with wire.open("sender", types=(sent_type,)) as sender:
            await sender.publish(wire.cmd, "job.x.normal", sent_type(n=value))
        await bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=2))
        await eventually(lambda: seen == [2])

    dead, bus = await collect(wire, eventually, handler, send, types=(sent_type,))
    assert dead.context.headers["dead-reason"] == reason
    assert dead.context.headers["dead-detail"]
    assert bus.counters[f"dead_lettered.{reason}"] == 1


async def test_a_body_over_the_receivers_bound_is_dead_lettered(wire, eventually):
    async def handler(message, context):
        raise AssertionError("must not be handed over")

    async def send(bus):
        async with wire.open("sender") as sender:
            await sender.publish(wire.cmd, "job.x.normal", wire.Ping(n=1, text="x" * 2000))

    dead, _ = await collect(wire, eventually, handler, send, max_body_bytes=1000)
    assert dead.context.headers["dead-reason"] == DeadReason.TOO_LARGE


async def test_a_message_past_its_deadline_is_not_started(wire, eventually):
    async def handler(message, context):
        raise AssertionError("must not be started")

    async def send(bus):
        await bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=1), deadline=1.0)

    async with wire.open("worker") as bus:
        async with bus.consume(wire.jobs, handler):
            await send(bus)
            await eventually(lambda: bus.counters["dead_lettered.deadline"] == 1)
        assert await bus.take([wire.jobs], timeout_s=0) is None


async def test_a_message_before_its_deadline_is_handed_over_with_it(wire):
    soon = time.time() + 3600.25
    async with wire.open("worker") as bus:
        await bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=1), deadline=soon)
        assert (await bus.take([wire.jobs], timeout_s=10)).context.deadline == soon


async def test_the_taker_is_not_handed_what_cannot_be_read(wire):
    async with wire.open("sender", types=(wire.Stranger,)) as sender:
        await sender.publish(wire.cmd, "job.x.normal", wire.Stranger(n=1))
    async with wire.open() as bus:
        await bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=2), deadline=1.0)
        await bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=3))
        delivery = await bus.take([wire.jobs], timeout_s=10)
        assert delivery.message.n == 3
        assert bus.counters["dead_lettered"] == 2


async def test_rejecting_dead_letters_with_the_reason_or_forgets(wire):
    async with wire.open() as bus:
        for n in (1, 2):
            await bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=n))
        await (await bus.take([wire.jobs], timeout_s=10)).reject(reason="no slave can serve it")
        await (await bus.take([wire.jobs], timeout_s=10)).reject(dead_letter=False)
        dead = await wire.take_dead(bus)
        assert dead.message.n == 1
        assert dead.context.headers["dead-reason"] == DeadReason.REJECTED
        assert dead.context.headers["dead-detail"] == "no slave can serve it"
        assert await bus.take([wire.jobs, wire.dead], timeout_s=0.2) is None


async def test_a_message_returned_more_often_than_the_limit_is_dead_lettered(wire):
    async with wire.open() as bus:
        await bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=1))
        counts = []
        for _ in range(3):  # a limit of 2 redeliveries allows three deliveries
            delivery = await bus.take([wire.jobs], timeout_s=10)
            counts.append(delivery.context.delivery_count)
            await delivery.requeue()
        assert counts == [0, 1, 2]
        dead = await wire.take_dead(bus)
        assert dead.context.headers["x-death"][0]["reason"] == "delivery_limit"
        assert dead.context.headers["x-death"][0]["queue"] == wire.jobs


async def test_a_message_that_is_too_old_for_its_queue_is_dead_lettered(wire):
    brief = Queue(name=f"{wire.ns}.brief", message_ttl_s=0.1, dead_letter_exchange=wire.dlx)
    async with wire.open(topology=wire.topology(brief)) as bus:
        await bus.publish("", brief.name, wire.Ping(n=1))
        dead = await wire.take_dead(bus)
        assert dead.context.headers["x-death"][0]["reason"] == "expired"


async def test_a_message_with_its_own_time_to_live_expires(wire):
    async with wire.open() as bus:
        await bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=1), expiration_s=0.05)
        dead = await wire.take_dead(bus)
        assert dead.context.headers["x-death"][0]["reason"] == "expired"
        assert await bus.take([wire.jobs], timeout_s=0) is None


async def test_requeueing_with_a_delay_brings_it_back_later_and_counts_no_attempt(wire):
    async with wire.open() as bus:
        await bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=1))
        await (await bus.take([wire.jobs], timeout_s=10)).requeue(delay_s=0.2)
        assert await bus.take([wire.jobs], timeout_s=0) is None
        again = await bus.take([wire.jobs], timeout_s=10)
        assert (again.message.n, again.context.attempt, again.context.delivery_count) == (1, 1, 0)


async def test_failures_in_an_exclusive_queue_are_not_retried(wire, eventually):
    control = Queue(name=f"{wire.ns}.ctl", kind="classic", exclusive=True, dead_letter_exchange=wire.dlx)
    runs = []

    async def handler(message, context):
        runs.append(context.attempt)
        raise IndexUnavailable("no")

    async with wire.open(topology=wire.topology(control)) as bus:
        async with bus.consume(control.name, handler):
            await bus.publish("", control.name, wire.Ping(n=1))
            await eventually(lambda: bus.counters["dead_lettered"] == 1)
        assert runs == [1]
        assert (await wire.take_dead(bus)).context.headers["dead-queue"] == control.name
