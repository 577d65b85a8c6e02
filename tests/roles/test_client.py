"""Both clients ask a master: over the bus, or straight from the store where there is no bus."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from pyti.bus import Bus, Context
from pyti.config import BusSettings, Settings
from pyti.errors import BusDisconnected, InvalidMessage, NoSuchDistribution, NoSuchJob, UsageError
from pyti.messages import (
    CancelJob,
    JobListing,
    JobState,
    ListJobs,
    ListSlaves,
    Message,
    Ping,
    Refusal,
    ShowJob,
    SlaveListing,
    Submission,
    SubmitJobs,
)
from pyti.roles import Master, open_client
from pyti.roles.client import Client, _BusClient
from pyti.roles.topology import Names, client_topology, master_topology, registry
from pyti.store import Store

Make = Callable[..., Any]


@pytest.fixture
async def bus(settings: Settings) -> AsyncIterator[Bus]:
    """A connection of a client's own to the settings' bus."""
    topology = client_topology("pyti")
    async with Bus.open(settings.bus.url, registry=registry(), topology=topology, name="client", app="test") as opened:
        yield opened


@pytest.fixture
async def over_bus(settings: Settings, bus: Bus) -> AsyncIterator[Client]:
    async with Master(settings):
        yield _BusClient(settings, bus)


@pytest.fixture
async def from_store(settings: Settings) -> AsyncIterator[Client]:
    async with open_client(settings) as client:
        yield client


@pytest.fixture(params=["over_bus", "from_store"])
def client(request: pytest.FixtureRequest) -> Client:
    found: Client = request.getfixturevalue(request.param)
    return found


async def test_both_clients_get_the_same_answers(client: Client, store: Store, make_job: Make) -> None:
    run = make_job(master="another")
    await store.add_jobs([run])

    listing = await client.ask(ListJobs())
    shown = await client.ask(ShowJob(job=run.job))
    slaves = await client.ask(ListSlaves())

    assert isinstance(listing, JobListing)
    assert [row.job for row in listing.jobs] == [run.job]
    assert shown == listing
    assert slaves == SlaveListing(slaves=())


async def test_both_clients_raise_the_error_that_a_refusal_stands_for(client: Client) -> None:
    with pytest.raises(NoSuchJob, match="no-such-job") as caught:
        await client.ask(ShowJob(job="no-such-job"))

    assert caught.value.remedy
    assert caught.value.exit_status == 2


async def test_both_clients_cancel(client: Client, store: Store, make_job: Make) -> None:
    run = make_job(master="another")
    await store.add_jobs([run])

    reply = await client.ask(CancelJob(job=run.job, reason="enough"))

    assert isinstance(reply, JobListing)
    assert reply.jobs[0].state is JobState.CANCELLED


async def test_a_submission_over_the_bus_becomes_a_job(
    over_bus: Client, store: Store, slave: Any, index: Any, wait_until: Make
) -> None:
    async def known() -> bool:
        return bool(await store.slaves())

    index.wheel("demo", "1.0")
    await slave.announce()
    await wait_until(known)

    reply = await over_bus.ask(SubmitJobs(submissions=(Submission(requirement="demo"),)))

    assert isinstance(reply, JobListing)
    run = await slave.take()
    assert run.job == reply.jobs[0].job

    with pytest.raises(NoSuchDistribution, match="no-such-project"):
        await over_bus.ask(SubmitJobs(submissions=(Submission(requirement="no-such-project"),)))


async def test_without_a_bus_there_is_nobody_to_submit_to(from_store: Client) -> None:
    with pytest.raises(UsageError, match="no bus to submit to") as caught:
        await from_store.ask(SubmitJobs(submissions=(Submission(requirement="demo"),)))

    assert "pyti master" in caught.value.remedy


async def test_without_a_master_the_remedy_is_named(settings: Settings, bus: Bus) -> None:
    with pytest.raises(Exception, match="no master answers on the bus") as caught:
        await _BusClient(settings, bus).ask(ListJobs())

    assert "pyti master" in caught.value.remedy  # type: ignore[attr-defined]


async def test_a_master_that_does_not_answer_in_time_is_named(settings: Settings, bus: Bus) -> None:
    async def silent(_message: Message, _context: Context) -> None:
        return None

    quick = msgspec.structs.replace(settings, bus=msgspec.structs.replace(settings.bus, request_timeout_s=0.05))
    topology = master_topology("pyti", "silent", ())
    async with (
        Bus.open(settings.bus.url, registry=registry(), topology=topology, name="silent", app="test") as other,
        other.consume(Names("pyti").requests, silent),
    ):
        with pytest.raises(Exception, match="no master answers on the bus"):
            await _BusClient(quick, bus).ask(ListJobs())


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Refusal(error="NoSuchJob", message="m"), NoSuchJob),
        (Refusal(error="annotations", message="m"), UsageError),
        (Refusal(error="ExitStatus", message="m"), UsageError),
        (Refusal(error="FromTheFuture", message="m"), UsageError),
    ],
)
async def test_a_refusal_can_only_become_an_error_of_pyti(
    settings: Settings, bus: Bus, reply: Message, kind: type[Exception]
) -> None:
    async def refuse(_message: Message, context: Context) -> None:
        await context.reply(reply)

    topology = master_topology("pyti", "refusing", ())
    async with (
        Bus.open(settings.bus.url, registry=registry(), topology=topology, name="refusing", app="test") as other,
        other.consume(Names("pyti").requests, refuse),
    ):
        with pytest.raises(kind, match=r"^m$"):
            await _BusClient(settings, bus).ask(ListJobs())


async def test_an_answer_that_is_no_message_of_ours_is_refused() -> None:
    class Foreign(msgspec.Struct):
        text: str = ""

    from pyti.roles.client import _checked

    with pytest.raises(InvalidMessage, match="Foreign"):
        _checked(Foreign())
    assert _checked(Ping()) == Ping()


async def test_a_broker_that_is_not_there_is_told_within_the_limit(settings: Settings) -> None:
    bus = BusSettings(url="amqp://guest:secret@127.0.0.1:1/", connect_timeout_s=0.2)

    with pytest.raises(BusDisconnected) as caught:
        async with open_client(msgspec.structs.replace(settings, bus=bus)):
            pytest.fail("there is no broker")

    assert "secret" not in caught.value.message
