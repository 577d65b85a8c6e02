"""Programs that do not use this framework can read its messages and send it some: plain AMQP, plain JSON."""

from __future__ import annotations

import asyncio
import json

import aio_pika
import pytest

pytestmark = pytest.mark.broker

LIMIT_S = 20.0


@pytest.fixture
async def channel(rabbitmq):
    async with asyncio.timeout(LIMIT_S):
        connection = await aio_pika.connect(rabbitmq.url)
    async with connection:
        yield await connection.channel()


async def test_another_client_reads_a_message_as_json_with_its_name_in_the_properties(channel, rabbit_wire) -> None:
    wire = rabbit_wire
    async with wire.open("sender") as bus:
        sent = await bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=7, text="hello"), correlation_id="job-1")

        queue = await channel.get_queue(wire.jobs)
        async with asyncio.timeout(LIMIT_S):
            message = await queue.get(no_ack=True)

    assert json.loads(message.body) == {"type": "test.ping.v1", "n": 7, "text": "hello"}
    assert (message.type, message.message_id, message.correlation_id) == ("test.ping.v1", sent, "job-1")
    assert message.content_type == "application/json"
    assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT


async def test_a_message_of_another_client_reaches_a_handler(channel, rabbit_wire) -> None:
    wire = rabbit_wire
    arrived = asyncio.Queue()

    async def handler(message, context) -> None:
        arrived.put_nowait((message, context.message_id))

    async with wire.open("receiver") as bus, bus.consume(wire.jobs, handler):
        exchange = await channel.get_exchange(wire.cmd)
        await exchange.publish(
            aio_pika.Message(b'{"type": "test.ping.v1", "n": 3}', type="test.ping.v1", message_id="m-1"), "job.x.normal"
        )
        async with asyncio.timeout(LIMIT_S):
            message, identity = await arrived.get()

    assert message == wire.Ping(n=3)
    assert identity == "m-1"
