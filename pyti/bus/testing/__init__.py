"""For tests and demonstrations: a private RabbitMQ node, the in-memory broker by name, and a clock moved by hand."""

from __future__ import annotations

from pyti.bus.broker import Broker
from pyti.bus.clock import VirtualClock
from pyti.bus.inprocess import broker_named
from pyti.bus.testing.private_broker import PrivateBroker

__all__ = ["Broker", "PrivateBroker", "VirtualClock", "broker_named"]
