"""One set of cases, two transports: the in-process one and a real RabbitMQ node, private to the test session."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from pyti.bus import (
    Backoff,
    Binding,
    Bus,
    Delivery,
    Exchange,
    Options,
    Queue,
    Registry,
    Retries,
    Topology,
    broker_named,
)
from pyti.bus.testing import PrivateBroker

WAIT_S = 20.0


class Ping(msgspec.Struct, frozen=True, tag_field="type", tag="test.ping.v1"):
    n: int
    text: str = ""


class Pong(msgspec.Struct, frozen=True, tag_field="type", tag="test.pong.v1"):
    n: int


class PingFromTomorrow(msgspec.Struct, frozen=True, tag_field="type", tag="test.ping.v7"):
    n: int


class Stranger(msgspec.Struct, frozen=True, tag_field="type", tag="elsewhere.thing.v1"):
    n: int


class MalformedPing(msgspec.Struct, frozen=True, tag_field="type", tag="test.ping.v1"):
    n: str


class Wire:
    """A transport under test, with names of its own on the broker."""

    Ping = Ping
    Pong = Pong
    PingFromTomorrow = PingFromTomorrow
    Stranger = Stranger
    MalformedPing = MalformedPing

    def __init__(self, url: str, kind: str) -> None:
        self.url = url
        self.kind = kind
        self.ns = f"t{secrets.token_hex(4)}"
        self.cmd = f"{self.ns}.cmd"
        self.dlx = f"{self.ns}.dlx"
        self.jobs = f"{self.ns}.jobs"
        self.high = f"{self.ns}.jobs.high"
        self.dead = f"{self.ns}.dead"

    def topology(self, *queues: Queue, attempts: int = 3) -> Topology:
        standard = (
            Queue(name=self.jobs, delivery_limit=2, dead_letter_exchange=self.dlx),
            Queue(name=self.high, delivery_limit=2, dead_letter_exchange=self.dlx),
            Queue(name=self.dead),
        )
        return Topology(
            exchanges=(Exchange(name=self.cmd), Exchange(name=self.dlx)),
            queues=(*standard, *queues),
            bindings=(
                Binding(exchange=self.cmd, queue=self.jobs, key="job.*.normal"),
                Binding(exchange=self.cmd, queue=self.high, key="job.*.high"),
                Binding(exchange=self.dlx, queue=self.dead, key="#"),
            ),
            retries=Retries(
                namespace=self.ns,
                backoff=Backoff(initial_s=0.1, factor=2, max_s=0.2, attempts=attempts, jitter=0),
            ),
        )

    def open(
        self,
        name: str = "one",
        *,
        topology: Topology | None = None,
        types: tuple[type[msgspec.Struct], ...] = (Ping, Pong),
        **options: Any,
    ) -> AbstractAsyncContextManager[Bus]:
        limits = {"publish_timeout_s": 15.0, "reconnect": Backoff(initial_s=0.1, max_s=0.5, factor=2)} | options
        return Bus.open(
            self.url,
            registry=Registry(*types),
            topology=topology if topology is not None else self.topology(),
            name=name,
            options=Options(**limits),
        )

    async def take_dead(self, bus: Bus) -> Delivery:
        """The next message of the dead-letter queue, as whoever inspects it sees it."""
        delivery = await bus.take([self.dead], timeout_s=WAIT_S)
        assert delivery is not None, "nothing was dead-lettered"
        return delivery


async def until(condition: Callable[[], bool], limit_s: float = WAIT_S) -> None:
    """Wait, within a limit, for what other tasks bring about."""
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 - the conditions are plain expressions over what handlers recorded
            await asyncio.sleep(0.01)


@pytest.fixture(scope="session")
def eventually() -> Callable[..., Any]:
    return until


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PrivateBroker]:
    async with PrivateBroker(tmp_path_factory.mktemp("rabbitmq")) as node:
        yield node


@pytest.fixture(params=["inprocess", pytest.param("rabbitmq", marks=pytest.mark.broker)])
def wire(request: pytest.FixtureRequest) -> Any:
    if request.param == "rabbitmq":
        node: PrivateBroker = request.getfixturevalue("rabbitmq")
        yield Wire(node.url, "rabbitmq")
        return
    name = secrets.token_hex(8)
    broker = broker_named(name)  # held here, so that it outlives the buses of the test
    yield Wire(f"inprocess:{name}", "inprocess")
    del broker


@pytest.fixture
def rabbit_wire(rabbitmq: PrivateBroker) -> Wire:
    return Wire(rabbitmq.url, "rabbitmq")
