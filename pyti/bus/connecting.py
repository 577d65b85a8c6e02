"""Which transport a URL means."""

from __future__ import annotations

from random import Random

from pyti.bus.clock import Clock, SystemClock
from pyti.bus.inprocess import InProcessTransport, broker_named
from pyti.bus.location import Location
from pyti.bus.options import Options
from pyti.bus.transport import Transport

__all__ = ["transport_for"]


def transport_for(
    location: Location, *, name: str, app: str, options: Options, clock: Clock | None, random: Random
) -> tuple[Transport, Clock]:
    """Return the transport, not yet open, and the clock that goes with it: an in-process broker's own, by default."""
    if location.is_inprocess:
        broker = broker_named(location.name, clock)
        return InProcessTransport(name, broker), clock or broker.clock
    from pyti.bus.amqp import AmqpTransport  # late: embedded programs need no AMQP client

    return AmqpTransport(location, name=name, app=app, options=options, random=random), clock or SystemClock()
