"""What only a real broker can do to us: vanish, forget a queue, refuse a user, show names."""

import asyncio
import json
import secrets

import pytest

from pyti.bus import Options, Queue, Registry, Topology
from pyti.bus.bus import Bus
from pyti.bus.testing import PrivateBroker
from pyti.errors import BusDisconnected, PublishRefused

pytestmark = pytest.mark.broker


async def test_consumers_return_and_publishes_wait_when_the_broker_restarts(rabbitmq, rabbit_wire, eventually):
    wire = rabbit_wire
    seen = []
    control = Queue(name=f"{wire.ns}.ctl.slave-a", kind="classic", exclusive=True)

    async def handler(message, context):
        seen.append(message.n)

    async def control_handler(message, context):
        seen.append(-message.n)

    async with (
        wire.open("worker", topology=wire.topology(control), publish_timeout_s=60.0) as bus,
        bus.consume(wire.jobs, handler),
        bus.consume(control.name, control_handler),
    ):
        await bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=1))
        await eventually(lambda: seen == [1])
        await rabbitmq.stop_app()
        await eventually(lambda: not bus.connected)
        assert not await bus.healthy()
        waiting = [asyncio.create_task(bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=n))) for n in range(2, 12)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        await rabbitmq.start_app()
        await asyncio.gather(*waiting)
        await bus.publish("", control.name, wire.Ping(n=99))
        await eventually(lambda: {*range(1, 12), -99} <= set(seen))
        assert await bus.healthy()


async def test_a_request_in_flight_fails_when_the_broker_stops_and_later_ones_work(rabbitmq, rabbit_wire, eventually):
    wire = rabbit_wire
    got = asyncio.Event()

    async def serve(message, context):
        got.set()
        if message.n == 1:
            await asyncio.sleep(60)
        await context.reply(wire.Pong(n=message.n))

    async with wire.open("both", publish_timeout_s=60.0) as bus, bus.consume(wire.jobs, serve, grace_s=0):
        asking = asyncio.create_task(bus.request(wire.cmd, "job.x.normal", wire.Ping(n=1), timeout_s=60))
        await asyncio.wait_for(got.wait(), 10)
        await rabbitmq.stop_app()
        with pytest.raises(BusDisconnected, match="before the reply"):
            await asking
        await rabbitmq.start_app()
        await eventually(lambda: bus.connected)
        assert (await bus.request(wire.cmd, "job.x.normal", wire.Ping(n=2), timeout_s=20)).n == 2


async def test_a_publish_gives_up_within_its_limit_and_the_waiting_room_is_bounded(rabbitmq, rabbit_wire, eventually):
    wire = rabbit_wire
    async with wire.open("sender", publish_timeout_s=0.5, max_waiting=2) as bus:
        await rabbitmq.stop_app()
        try:
            await eventually(lambda: not bus.connected)
            results = await asyncio.gather(
                *(bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=n)) for n in range(3)), return_exceptions=True
            )
        finally:
            await rabbitmq.start_app()
        assert [type(found) for found in results] == [BusDisconnected] * 3
        assert "wait already" in str(results[2])


async def test_a_consumer_returns_when_its_queue_was_deleted_under_it(rabbitmq, rabbit_wire, eventually):
    wire = rabbit_wire
    seen = []

    async def handler(message, context):
        seen.append(message.n)

    async with wire.open("worker") as bus, bus.consume(wire.jobs, handler):
        await rabbitmq.control("delete_queue", wire.jobs)

        async def delivered():
            while not seen:
                await bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=1), mandatory=False)
                await asyncio.sleep(0.1)

        await asyncio.wait_for(delivered(), 20)
        assert await bus.healthy()


async def test_connections_channels_and_consumers_carry_names_that_people_can_read(rabbitmq, rabbit_wire):
    async def handler(message, context):
        raise AssertionError("nothing is sent")

    async with rabbit_wire.open("slave-a") as bus, bus.consume(rabbit_wire.jobs, handler):
        listed = json.loads(await rabbitmq.control("list_connections", "client_properties", "--formatter", "json"))
        names = {value for row in listed for key, _, value in row["client_properties"] if key == "connection_name"}
        assert {"pyti slave-a consume", "pyti slave-a publish"} <= names
        consumers = json.loads(
            await rabbitmq.control("list_consumers", "queue_name", "consumer_tag", "--formatter", "json")
        )
        assert {"queue_name": rabbit_wire.jobs, "consumer_tag": f"slave-a:{rabbit_wire.jobs}"} in consumers


async def test_a_refused_user_is_told_so_at_once_and_no_password_is_shown(rabbitmq):
    secret = secrets.token_hex(8)
    url = rabbitmq.url_for("%2F", "nobody", secret)
    with pytest.raises(BusDisconnected, match="refuses the user") as caught:
        async with Bus.open(url, registry=Registry(), name="x"):
            raise AssertionError("was let in")
    assert secret not in str(caught.value) + caught.value.remedy + repr(caught.value.__cause__)


async def test_no_broker_is_told_within_the_limit(rabbitmq):
    url = f"amqp://guest:guest@127.0.0.1:{rabbitmq.files.epmd_port}/"
    with pytest.raises(BusDisconnected, match="no connection to the broker at amqp://127"):
        async with Bus.open(url, registry=Registry(), name="x", options=Options(connect_timeout_s=0.5)):
            raise AssertionError("was let in")


async def test_users_may_publish_only_what_their_topic_permissions_allow(rabbitmq, rabbit_wire):
    wire = rabbit_wire
    await rabbitmq.control("add_user", wire.ns, "pw")
    await rabbitmq.control("set_permissions", wire.ns, "^$", f"^{wire.ns}", "^$")
    await rabbitmq.control("set_topic_permissions", wire.ns, wire.cmd, r"^job\.", "^$")
    async with (
        wire.open(),
        Bus.open(
            rabbitmq.url_for("%2F", wire.ns, "pw"), registry=Registry(wire.Ping), topology=Topology(), name="limited"
        ) as limited,
    ):
        results = await asyncio.gather(
            *(limited.publish(wire.cmd, "job.x.normal", wire.Ping(n=n)) for n in range(5)),
            limited.publish(wire.cmd, "slave.all", wire.Ping(n=9), mandatory=False),
            return_exceptions=True,
        )
        assert [isinstance(found, PublishRefused) for found in results] == [False] * 5 + [True]


async def test_while_the_broker_blocks_publishers_they_wait_and_consumers_go_on(rabbitmq, rabbit_wire):
    wire = rabbit_wire
    async with wire.open("both", publish_timeout_s=60.0) as bus:
        await bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=1))
        await rabbitmq.control("set_vm_memory_high_watermark", "0")
        try:
            waiting = [asyncio.create_task(bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=n))) for n in (2, 3)]
            delivery = await bus.take([wire.jobs], timeout_s=10)
            assert delivery.message.n == 1
            await delivery.ack()
            assert await bus.take([wire.jobs], timeout_s=0.5) is None
            assert not any(task.done() for task in waiting)
        finally:
            await rabbitmq.control("set_vm_memory_high_watermark", "0.4")
        await asyncio.gather(*waiting)
        assert sorted([(await bus.take([wire.jobs], timeout_s=10)).message.n for _ in range(2)]) == [2, 3]


async def test_a_killed_broker_comes_back_with_every_confirmed_message(tmp_path, rabbit_wire, eventually):
    wire = rabbit_wire
    async with PrivateBroker(tmp_path) as node:
        wire.url = node.url
        async with wire.open("sender", publish_timeout_s=60.0) as bus:
            await asyncio.gather(*(bus.publish(wire.cmd, "job.x.normal", wire.Ping(n=n)) for n in range(50)))
            await node.kill()
            await node.start()
            numbers = set()
            async with asyncio.timeout(60):
                while len(numbers) < 50:
                    delivery = await bus.take([wire.jobs], timeout_s=5)
                    if delivery is not None:
                        numbers.add(delivery.message.n)
                        await delivery.ack()
            assert numbers == set(range(50))
