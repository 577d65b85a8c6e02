import pytest

from pyti.bus import Backoff, Binding, Exchange, Queue, Retries, Topology
from pyti.bus.topology import delay_name


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"name": ""}, "name"),
        ({"name": "amq.mine"}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"exclusive": True}, "quorum"),
        ({"auto_delete": True}, "quorum"),
        ({"kind": "classic", "delivery_limit": 1}, "counts deliveries"),
        ({"delivery_limit": -1}, "limit"),
        ({"dead_letter_routing_key": "x"}, "dead-letter exchange"),
        ({"dead_letter_strategy": "at-least-once"}, "at-least-once"),
        ({"dead_letter_strategy": "at-least-once", "dead_letter_exchange": "dlx"}, "reject-publish"),
        ({"message_ttl_s": -1}, "time to live"),
        ({"max_length": -1}, "length"),
    ],
)
def test_queues_that_rabbitmq_would_refuse_are_refused_here(wrong, why):
    with pytest.raises(ValueError, match=why):
        Queue(**({"name": "q"} | wrong))


def test_arguments_are_those_that_were_set():
    queue = Queue(
        name="q",
        delivery_limit=5,
        dead_letter_exchange="",
        dead_letter_strategy="at-least-once",
        overflow="reject-publish",
        message_ttl_s=1.5,
        max_length=9,
    )
    assert queue.arguments() == {
        "x-queue-type": "quorum",
        "x-delivery-limit": 5,
        "x-dead-letter-exchange": "",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
        "x-message-ttl": 1500,
        "x-max-length": 9,
    }
    assert Queue(name="q").arguments() == {"x-queue-type": "quorum"}
    assert Queue(name="q").durable
    assert not Queue(name="q", kind="classic", exclusive=True).durable


def test_there_is_one_retry_queue_per_delay_and_each_leads_back_through_the_default_exchange():
    retries = Retries(namespace="pyti", backoff=Backoff(initial_s=0.5, factor=4, max_s=5, attempts=5))
    queues = [item for item in retries.objects() if isinstance(item, Queue)]
    assert [queue.name for queue in queues] == ["pyti.retry.500ms", "pyti.retry.2s", "pyti.retry.5s"]
    assert [queue.message_ttl_s for queue in queues] == [0.5, 2, 5]
    assert {queue.dead_letter_exchange for queue in queues} == {""}


@pytest.mark.parametrize(("delay", "name"), [(0.01, "500ms"), (0.5, "500ms"), (0.6, "2s"), (5, "5s"), (999, "5s")])
def test_a_delay_goes_to_the_shortest_queue_that_can_hold_it(delay, name):
    retries = Retries(namespace="n", backoff=Backoff(initial_s=0.5, factor=4, max_s=5, attempts=5))
    assert retries.exchange_for(delay) == f"n.retry.{name}"


def test_a_policy_of_one_attempt_has_no_retry_queues():
    retries = Retries(backoff=Backoff(attempts=1))
    assert retries.objects() == ()
    with pytest.raises(ValueError, match="one attempt"):
        retries.exchange_for(1)


def test_a_topology_is_listed_in_the_order_in_which_it_can_be_declared():
    topology = Topology(
        exchanges=(Exchange(name="e"),), queues=(Queue(name="q"),), bindings=(Binding(exchange="e", queue="q"),)
    )
    assert [type(item) for item in topology.objects()] == [Exchange, Queue, Binding]


def test_delays_are_named_for_people():
    assert [delay_name(delay) for delay in (0.25, 1, 64, 300)] == ["250ms", "1s", "64s", "300s"]
