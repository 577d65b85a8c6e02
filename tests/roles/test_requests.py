"""What clients ask is answered from the store; an error becomes a refusal that names it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pyti.errors import ImageMissing
from pyti.messages import (
    INLINE_LIMIT,
    CancelJob,
    Drain,
    GetReport,
    JobListing,
    JobState,
    ListJobs,
    ListSlaves,
    Message,
    Refusal,
    ReportReply,
    ShowJob,
    SlaveListing,
    SlavePresence,
)
from pyti.roles.requests import answer, refusal
from pyti.store import Blobs, Store

Make = Callable[..., Any]


@pytest.fixture
def ask(store: Store, blobs: Blobs) -> Make:
    async def call(message: Message) -> Any:
        return await answer(message, store, blobs)

    return call


async def test_jobs_are_listed_newest_first_and_filtered(ask: Make, store: Store, make_job: Make) -> None:
    runs = [make_job() for _ in range(3)]
    await store.add_jobs(runs)
    await store.finish(runs[1].job, 1, JobState.DONE)

    everything = await ask(ListJobs(limit=2))
    done = await ask(ListJobs(state=JobState.DONE))

    assert isinstance(everything, JobListing)
    assert [row.job for row in everything.jobs] == [runs[2].job, runs[1].job]
    assert [row.job for row in done.jobs] == [runs[1].job]


async def test_one_job_is_shown(ask: Make, store: Store, make_job: Make) -> None:
    run = make_job()
    await store.add_jobs([run])

    reply = await ask(ShowJob(job=run.job))

    assert [row.job for row in reply.jobs] == [run.job]


@pytest.mark.parametrize("kind", [ShowJob, GetReport, CancelJob])
async def test_an_unknown_job_is_refused_with_a_remedy(ask: Make, kind: type[Message]) -> None:
    reply = await ask(kind(job="no-such-job"))

    assert isinstance(reply, Refusal)
    assert (reply.error, reply.exit_status) == ("NoSuchJob", 2)
    assert "no-such-job" in reply.message
    assert reply.remedy


async def test_a_small_report_rides_inline_and_a_large_one_by_reference(
    ask: Make, store: Store, blobs: Blobs, make_job: Make
) -> None:
    for size in (INLINE_LIMIT, INLINE_LIMIT + 1):
        run = make_job()
        await store.add_jobs([run])
        reference = await blobs.put_bytes(b"x" * size, "application/json")
        await store.finish(run.job, 1, JobState.DONE, report=reference)

        reply = await ask(GetReport(job=run.job))

        assert isinstance(reply, ReportReply)
        assert reply.blob == reference
        assert reply.report == ("x" * size if size <= INLINE_LIMIT else None)


async def test_a_job_without_report_is_refused(ask: Make, store: Store, make_job: Make) -> None:
    run = make_job()
    await store.add_jobs([run])

    reply = await ask(GetReport(job=run.job))

    assert isinstance(reply, Refusal)
    assert reply.error == "UsageError"
    assert run.job in reply.remedy


async def test_a_report_that_is_gone_from_the_blob_store_is_refused_as_infrastructure(
    ask: Make, store: Store, blobs: Blobs, make_job: Make
) -> None:
    run = make_job()
    await store.add_jobs([run])
    reference = await blobs.put_bytes(b"{}", "application/json")
    await store.finish(run.job, 1, JobState.DONE, report=reference)
    await blobs.delete(reference.sha256)

    reply = await ask(GetReport(job=run.job))

    assert isinstance(reply, Refusal)
    assert (reply.error, reply.exit_status) == ("StoreError", 3)


async def test_cancelling_ends_a_job_that_waits(ask: Make, store: Store, make_job: Make) -> None:
    run = make_job()
    await store.add_jobs([run])

    reply = await ask(CancelJob(job=run.job, reason="enough"))

    assert reply.jobs[0].state is JobState.CANCELLED
    assert reply.jobs[0].detail == "enough"


async def test_slaves_are_listed(ask: Make, store: Store) -> None:
    presence = SlavePresence(slave="slave-1", version="1", capabilities=(), at=5.0)
    await store.slave_seen(presence)

    assert await ask(ListSlaves()) == SlaveListing(slaves=(presence,))


async def test_what_is_no_request_is_refused(ask: Make) -> None:
    reply = await ask(Drain())

    assert isinstance(reply, Refusal)
    assert "Drain" in reply.message


def test_a_refusal_stays_within_its_bounds() -> None:
    reply = refusal(ImageMissing("m" * 100_000, remedy="r" * 10_000))

    assert (reply.error, reply.exit_status) == ("ImageMissing", 3)
    assert len(reply.message) == 60_000
    assert len(reply.remedy) == 4000
