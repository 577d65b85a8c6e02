import gc

import msgspec

from pyti.bus import Bus, Queue, Registry, Topology, VirtualClock, broker_named


class Note(msgspec.Struct, frozen=True, tag_field="type", tag="test.note.v1"):
    n: int


TOPOLOGY = Topology(queues=(Queue(name="q", message_ttl_s=3600),))


def test_a_name_is_one_broker_as_long_as_somebody_holds_it():
    first = broker_named("held", VirtualClock(1.0))
    assert broker_named("held") is first
    del first
    gc.collect()
    assert broker_named("held", VirtualClock(2.0)).clock.time() == 2.0


async def test_messages_outlive_their_publisher_while_the_broker_is_held():
    broker = broker_named("outlive")
    async with Bus.open("inprocess:outlive", registry=Registry(Note), topology=TOPOLOGY, name="a") as bus:
        await bus.publish("", "q", Note(n=1))
    assert broker.length("q") == 1


async def test_a_virtual_clock_makes_hours_pass_at_once():
    clock = VirtualClock()
    broker = broker_named("virtual", clock)
    async with Bus.open("inprocess:virtual", registry=Registry(Note), topology=TOPOLOGY, name="a") as bus:
        await bus.publish("", "q", Note(n=1))
        await bus.publish("", "q", Note(n=2), deadline=clock.time() + 60)
        clock.advance(61)
        assert (await bus.take(["q"], timeout_s=0)).message.n == 1
        assert await bus.take(["q"], timeout_s=0) is None
        assert bus.counters["dead_lettered.deadline"] == 1
        await bus.publish("", "q", Note(n=3))
        clock.advance(3601)
        assert await bus.take(["q"], timeout_s=0) is None
    assert broker.unsettled("q") == 0


async def test_a_queue_deleted_under_a_consumer_fails_health():
    broker = broker_named("health")

    async def handler(message, context):
        raise AssertionError("nothing is sent")

    async with Bus.open("inprocess:health", registry=Registry(Note), topology=TOPOLOGY, name="a") as bus:
        async with bus.consume("q", handler):
            assert await bus.healthy()
            assert broker.consumers("q") == ("a:q",)
            broker.delete("q")
            assert not await bus.healthy()
        assert await bus.healthy()
