"""What the roles' tests share: a hall with a real store, real blobs and a real bus, and a slave that the test plays."""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pyti.bus import Bus, Context
from pyti.config import BusSettings, IndexSettings, MasterSettings, Settings
from pyti.errors import Cause
from pyti.messages import (
    CancelJob,
    Distribution,
    DistributionKind,
    GetTarget,
    JobAccepted,
    JobFailure,
    JobProgress,
    JobResult,
    JobRun,
    Message,
    Priority,
    RawDataSet,
    SlavePresence,
    Step,
    TargetReply,
)
from pyti.roles.topology import Names, capability, registry, slave_topology
from pyti.store import Blobs, Store

CAPABILITY = capability("x86_64", "bookworm")
PATIENCE_S = 20.0
"""Only a test that fails waits as long."""

_counter = itertools.count(1)


def _local_index() -> Any:
    """The index room's fixtures, by their file: test folders are no packages."""
    path = Path(__file__).parent.parent / "index" / "conftest.py"
    spec = importlib.util.spec_from_file_location("pyti_tests_local_index", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_INDEX = _local_index()
index = _INDEX.index
"""A real package index on loopback."""


async def until(condition: Callable[[], Any]) -> None:
    """Wait until a condition, a function or a coroutine function, holds."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = condition()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return
            await asyncio.sleep(0.005)


def make_run(job: str = "", **fields: Any) -> JobRun:
    """A job of its own id."""
    distribution = Distribution(
        name="six", version="1.17.0", filename="six-1.17.0-py2.py3-none-any.whl", kind=DistributionKind.WHEEL
    )
    values = {"distribution": distribution, "submitted": time.time()} | fields
    return JobRun(job=job or f"job-{next(_counter):06}", **values)


def failure(**fields: Any) -> JobFailure:
    """A failure of the machine, retryable unless said otherwise."""
    values = {
        "step": Step.CLONE,
        "cause": Cause.INFRASTRUCTURE,
        "error": "MachineError",
        "message": "the machine died",
        "retryable": True,
    } | fields
    return JobFailure(**values)


class PlayedSlave:
    """A slave's side of the command API, in the test's hands; it knows its image's target and keeps its commands."""

    def __init__(self, bus: Bus, names: Names, name: str) -> None:
        self.bus = bus
        self.names = names
        self.name = name
        self.commands: asyncio.Queue[Message] = asyncio.Queue()
        self.targets: dict[str, Message] = {
            "bookworm": TargetReply(image="bookworm", target=_INDEX.debian_12_manifest())
        }

    async def on_control(self, message: Message, context: Context) -> None:
        if isinstance(message, GetTarget):
            await context.reply(self.targets[message.image])
        self.commands.put_nowait(message)

    async def command(self, kind: type[Message] = CancelJob) -> Any:
        """The next command of a kind."""
        async with asyncio.timeout(PATIENCE_S):
            while not isinstance(found := await self.commands.get(), kind):
                pass
        return found

    async def take(self, *, timeout_s: float = PATIENCE_S) -> JobRun | None:
        """Take and acknowledge the next job; with no time limit ``None`` says that none waits."""
        queues = [self.names.jobs(CAPABILITY, priority) for priority in Priority]
        delivery = await self.bus.take(queues, timeout_s=timeout_s)
        if delivery is None:
            return None
        await delivery.ack()
        assert isinstance(delivery.message, JobRun)
        return delivery.message

    async def announce(self, **fields: Any) -> SlavePresence:
        values = {"slave": self.name, "version": "1", "capabilities": (CAPABILITY,), "at": time.time()} | fields
        presence = SlavePresence(**values)
        await self.bus.publish(self.names.evt, f"slave.{self.name}", presence)
        return presence

    async def accept(self, run: JobRun, *, lease_s: float = 3600.0) -> None:
        accepted = JobAccepted(job=run.job, attempt=run.attempt, slave=self.name, lease_until=time.time() + lease_s)
        await self.bus.publish(self.names.evt, f"job.{run.job}.accepted", accepted)

    async def progress(self, run: JobRun, step: Step = Step.RUN, *, lease_s: float = 3600.0, **fields: Any) -> None:
        event = JobProgress(
            job=run.job, attempt=run.attempt, slave=self.name, step=step, lease_until=time.time() + lease_s, **fields
        )
        await self.bus.publish(self.names.evt, f"job.{run.job}.progress", event)

    def result_of(self, run: JobRun, **fields: Any) -> JobResult:
        values = {
            "job": run.job,
            "attempt": run.attempt,
            "slave": self.name,
            "state": "failed" if fields.get("failure") else "done",
            "distribution": run.distribution,
            "raw": RawDataSet(),
            "finished": time.time(),
        } | fields
        return JobResult(**values)

    async def result(self, run: JobRun, **fields: Any) -> JobResult:
        """Hand over the result of an attempt."""
        result = self.result_of(run, **fields)
        await self.bus.publish(self.names.res, f"result.{run.master}", result)
        return result


@asynccontextmanager
async def played_slave(settings: Settings, name: str = "slave-1") -> AsyncIterator[PlayedSlave]:
    """Connect a played slave to the settings' bus."""
    names = Names(settings.bus.namespace)
    topology = slave_topology(names.namespace, name, (CAPABILITY,))
    async with Bus.open(settings.bus.url, registry=registry(), topology=topology, name=name, app="test") as bus:
        slave = PlayedSlave(bus, names, name)
        async with bus.consume(names.control(name), slave.on_control, prefetch=10):
            yield slave


@pytest.fixture
def make_job() -> Callable[..., JobRun]:
    return make_run


@pytest.fixture
def make_failure() -> Callable[..., JobFailure]:
    return failure


@pytest.fixture
def wait_until() -> Callable[[Callable[[], Any]], Any]:
    return until


@pytest.fixture
def open_slave() -> Callable[..., Any]:
    return played_slave


@pytest.fixture
def make_wheel() -> Callable[..., bytes]:
    """Gives a small wheel's bytes."""
    return _INDEX.make_wheel


@pytest.fixture
def manifest() -> dict[str, Any]:
    """The target of an image, as its manifest describes it."""
    return _INDEX.debian_12_manifest()


@pytest.fixture
def settings(tmp_path: Path, index: Any, request: pytest.FixtureRequest) -> Settings:
    """A home, a bus and an index of the test's own."""
    return Settings(
        home=tmp_path / "home",
        bus=BusSettings(url=f"inprocess:roles-{next(_counter)}", request_timeout_s=5.0),
        index=IndexSettings(url=index.url, timeout_s=5.0, attempts=1),
        master=MasterSettings(lease_s=30.0, max_attempts=3),
    )


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    async with Store.open(settings.database_url) as opened:
        yield opened


@pytest.fixture
async def blobs(settings: Settings) -> AsyncIterator[Blobs]:
    async with Blobs.open(settings.blobs_url) as opened:
        yield opened


@pytest.fixture
async def slave(settings: Settings) -> AsyncIterator[PlayedSlave]:
    async with played_slave(settings) as played:
        yield played
