from random import Random

import pytest

from pyti.bus import Options, SystemClock, VirtualClock, broker_named
from pyti.bus.amqp import AmqpTransport
from pyti.bus.connecting import transport_for
from pyti.bus.inprocess import InProcessTransport
from pyti.bus.location import Location


def chosen(url, clock=None):
    return transport_for(
        Location.parse(url),
        name="n",
        app="a",
        options=Options(),
        clock=clock,
        random=Random(1),  # noqa: S311 - jitter needs no secrecy
    )


def test_an_inprocess_url_shares_the_clock_of_its_broker():
    clock = VirtualClock()
    broker = broker_named("connecting", clock)
    transport, found = chosen("inprocess:connecting")
    assert isinstance(transport, InProcessTransport)
    assert found is broker.clock is clock


@pytest.mark.parametrize("url", ["amqp://rabbit.example/", "amqps://u:p@rabbit.example/vh"])
async def test_an_amqp_url_means_rabbitmq_and_the_wall_clock(url):
    transport, clock = chosen(url)
    assert isinstance(transport, AmqpTransport)
    assert isinstance(clock, SystemClock)
    assert not transport.connected
