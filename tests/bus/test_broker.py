"""The in-memory broker as a state machine: nothing is lost, nothing is handed out twice while it is unsettled."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from pyti.bus import Binding, Broker, Exchange, Queue, VirtualClock
from pyti.bus.broker import Peer
from pyti.bus.envelope import Envelope
from pyti.bus.queueing import Consumer
from pyti.errors import BusDisconnected, Unroutable

LIMIT = 2
TTL_S = 10.0


def peer(name="p"):
    return Peer(name, lambda envelope: None, lambda: None)


class BrokerMachine(RuleBasedStateMachine):
    """Publish, get, consume, settle, lose peers and let time pass, in any order."""

    peers = Bundle("peers")

    @initialize()
    def start(self):
        self.clock = VirtualClock()
        self.broker = Broker(self.clock)
        self.operator = peer("operator")
        self.broker.connect(self.operator)
        for item in (
            Exchange(name="x"),
            Exchange(name="dlx"),
            Queue(name="work", delivery_limit=LIMIT, dead_letter_exchange="dlx", message_ttl_s=TTL_S),
            Queue(name="dead"),
            Binding(exchange="x", queue="work", key="#"),
            Binding(exchange="dlx", queue="dead", key="#"),
        ):
            self.broker.declare(item, self.operator)
        self.published = 0
        self.done = set()
        self.held = {}
        self.handed = {}
        self.alive = []

    @rule(target=peers)
    def connect(self):
        new = peer()
        self.broker.connect(new)
        self.alive.append(new)
        return new

    @rule()
    def publish(self):
        self.broker.publish("x", "k", Envelope(body=b"", message_id=str(self.published)), mandatory=True)
        self.published += 1

    def receive(self, owner, delivered):
        number = delivered.entry.envelope.message_id
        assert number not in self.held, "handed out twice while unsettled"
        assert number not in self.done, "handed out after it was acknowledged"
        assert delivered.entry.delivery_count == self.handed.get(number, 0)
        self.handed[number] = self.handed.get(number, 0) + 1
        assert self.handed[number] <= LIMIT + 1
        self.held[number] = (owner, delivered)

    @rule(who=peers)
    def get(self, who):
        if who in self.alive and (delivered := self.broker.get("work", who)) is not None:
            self.receive(who, delivered)

    @rule(who=peers, prefetch=st.integers(1, 3))
    def consume(self, who, prefetch):
        if who in self.alive:
            consumer = Consumer(who, "t", prefetch, lambda delivered: self.receive(who, delivered), lambda: None)
            self.broker.consume("work", consumer)

    @rule(data=st.data(), how=st.sampled_from(["ack", "requeue", "reject"]))
    def settle(self, data, how):
        if self.held:
            number = data.draw(st.sampled_from(sorted(self.held)))
            _, delivered = self.held.pop(number)
            if how == "ack":
                self.done.add(number)
            self.broker.settle(delivered, ack=how == "ack", requeue=how == "requeue")

    @rule(who=consumes(peers))
    def lose(self, who):
        if who in self.alive:
            self.alive.remove(who)
            lost = [number for number, (owner, _) in self.held.items() if owner is who]
            old = [self.held.pop(number)[1] for number in lost]
            self.broker.disconnect(who)
            for delivered in old:
                with pytest.raises(BusDisconnected):
                    self.broker.settle(delivered, ack=True)

    @rule(seconds=st.floats(0, TTL_S))
    def wait(self, seconds):
        self.clock.advance(seconds)

    @invariant()
    def nothing_is_lost(self):
        ready = self.broker.length("work")
        dead = self.broker.length("dead")
        assert self.broker.unsettled("work") == len(self.held)
        assert ready + len(self.held) + dead + len(self.done) == self.published


BrokerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_nothing_is_lost_and_nothing_is_handed_out_twice = BrokerMachine.TestCase


def broker_with(*queues):
    clock = VirtualClock()
    broker = Broker(clock)
    owner = peer()
    broker.connect(owner)
    broker.declare(Exchange(name="dlx", kind="fanout"), owner)
    for queue in queues:
        broker.declare(queue, owner)
    return broker, clock, owner


def test_time_to_live_works_at_the_head_of_a_queue_only():
    broker, clock, _ = broker_with(Queue(name="q"))
    broker.publish("", "q", Envelope(body=b"long", expiration_s=10), mandatory=True)
    broker.publish("", "q", Envelope(body=b"short", expiration_s=1), mandatory=True)
    clock.advance(5)
    assert broker.length("q") == 2
    clock.advance(5)
    assert broker.length("q") == 0


def test_a_message_waits_for_its_dead_letter_target_under_at_least_once():
    broker, clock, owner = broker_with(
        Queue(
            name="q",
            message_ttl_s=1,
            dead_letter_exchange="dlx",
            dead_letter_strategy="at-least-once",
            overflow="reject-publish",
        )
    )
    broker.publish("", "q", Envelope(body=b""), mandatory=True)
    clock.advance(2)
    assert broker.length("q") == 0
    broker.declare(Queue(name="dead"), owner)
    broker.declare(Binding(exchange="dlx", queue="dead"), owner)
    assert broker.length("dead") == 1


def test_a_cycle_of_dead_letters_ends():
    a = Queue(name="a", kind="classic", max_length=0, dead_letter_exchange="", dead_letter_routing_key="b")
    b = Queue(name="b", kind="classic", max_length=0, dead_letter_exchange="", dead_letter_routing_key="a")
    broker, _, _ = broker_with(a, b)
    broker.publish("", "a", Envelope(body=b""), mandatory=True)
    assert broker.length("a") + broker.length("b") == 0


def test_a_deleted_queue_tells_its_consumers_and_refuses_late_settling():
    broker, _, owner = broker_with(Queue(name="q"))
    told = []
    broker.publish("", "q", Envelope(body=b""), mandatory=True)
    delivered = broker.get("q", owner)
    broker.consume("q", Consumer(owner, "t", 1, lambda found: None, lambda: told.append(True)))
    assert broker.consumers("q") == ("t",)
    broker.delete("q")
    assert told == [True]
    assert not broker.exists("q")
    with pytest.raises(BusDisconnected):
        broker.settle(delivered, ack=True)
    with pytest.raises(Unroutable):
        broker.length("q")


def test_dead_letter_history_counts_and_orders_the_newest_first():
    broker, clock, owner = broker_with(
        Queue(name="a", message_ttl_s=1, dead_letter_exchange="", dead_letter_routing_key="b"),
        Queue(name="b", message_ttl_s=1, dead_letter_exchange="", dead_letter_routing_key="a"),
    )
    broker.publish("", "a", Envelope(body=b""), mandatory=True)
    clock.advance(3.5)
    deaths = broker.get("b", owner).entry.envelope.headers["x-death"]
    assert [(row["queue"], row["reason"], row["count"]) for row in deaths] == [("a", "expired", 2), ("b", "expired", 1)]
