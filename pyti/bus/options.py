"""The bounds of a bus: every wait and every buffer has one."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from pyti.bus.backoff import Backoff

__all__ = ["Options"]

Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Limits and paces; the defaults suit a few thousand messages a second on one broker."""

    max_body_bytes: Count = 1024 * 1024
    connect_timeout_s: Seconds = 20.0
    """Longest time that opening tries to connect."""
    publish_timeout_s: Seconds = 30.0
    """Longest time that a publish waits for a connection and the broker's confirm, together."""
    window: Count = 256
    """Publishes that wait for their confirm at once; FACTS: 200 gave 6 to 7.6 thousand a second."""
    max_waiting: Count = 1000
    """Publishes that may wait while the broker is away; one more fails at once."""
    heartbeat_s: Annotated[int, Meta(ge=1, le=600)] = 10
    """AMQP heartbeat; a silent peer is given up after about three."""
    watch_interval_s: Seconds = 5.0
    """How often expected and actual consumers are compared."""
    reconnect: Backoff = Backoff(initial_s=0.2, factor=2.0, max_s=10.0, jitter=0.5)
    idle_s: tuple[float, float] = (0.05, 0.5)
    """Shortest and longest pause between looks into empty queues, where the broker cannot wake a taker."""
    grace_s: Annotated[float, Meta(ge=0)] = 5.0
    """Time that running handlers get when consuming ends in an orderly way."""
