"""The dispatcher keeps the bus and the job table in step, whatever a slave does or fails to do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from pyti.bus import Bus, Context
from pyti.config import Settings
from pyti.errors import StoreError
from pyti.messages import BlobReference, Drain, JobFailure, JobRun, JobState, MachineRequest, Priority, RawDataSet, Step
from pyti.reports import Report, decode_report
from pyti.roles.dispatch import RESULT_ATTEMPTS, Dispatcher
from pyti.roles.progress import ProgressFeed
from pyti.roles.topology import Names, master_topology, registry
from pyti.store import Blobs, Store

Make = Callable[..., Any]


class Hall:
    """The dispatcher under test with all that it needs, its consumers running as in a master."""

    def __init__(self, dispatcher: Dispatcher, store: Store, blobs: Blobs, bus: Bus, feed: ProgressFeed) -> None:
        self.dispatcher = dispatcher
        self.store = store
        self.blobs = blobs
        self.bus = bus
        self.feed = feed

    async def state(self, run: JobRun) -> JobState:
        return (await self.store.job(run.job)).summary.state

    async def attempt(self, run: JobRun) -> int:
        return (await self.store.job(run.job)).summary.attempt

    async def report(self, run: JobRun) -> Report:
        reference = await self.store.report_reference(run.job)
        assert reference is not None
        return decode_report(await self.blobs.get_bytes(reference, limit=1 << 20))

    def handled(self) -> int:
        """Events and results that were taken in, whatever became of them."""
        return sum(self.bus.counters[name] for name in ("acked", "dead_lettered", "retried"))


@pytest.fixture
async def hall(settings: Settings, store: Store, blobs: Blobs) -> AsyncIterator[Hall]:
    names, feed = Names("pyti"), ProgressFeed()
    topology = master_topology("pyti", "master", ())
    async with Bus.open(settings.bus.url, registry=registry(), topology=topology, name="master", app="test") as bus:
        dispatcher = Dispatcher(settings, store, blobs, bus, feed)
        async with (
            bus.consume(names.results("master"), dispatcher.on_result, prefetch=4),
            bus.consume(names.events("master"), dispatcher.on_event, prefetch=50),
        ):
            yield Hall(dispatcher, store, blobs, bus, feed)


@pytest.fixture
def start(hall: Hall, slave: Any, make_job: Make, wait_until: Make) -> Make:
    """Bring a job to where a slave runs it."""

    async def run_one(*, lease_s: float = 3600.0, **fields: Any) -> JobRun:
        run = make_job(**fields)
        await hall.store.add_jobs([run])
        await hall.dispatcher.turn()
        taken = await slave.take()
        await slave.accept(taken, lease_s=lease_s)
        await wait_until(lambda: _is(hall, run, JobState.RUNNING))
        return taken

    return run_one


async def _is(hall: Hall, run: JobRun, state: JobState) -> bool:
    return await hall.state(run) is state


async def test_a_pending_job_is_sent_once_and_marked(hall: Hall, slave: Any, make_job: Make) -> None:
    run = make_job()
    await hall.store.add_jobs([run])

    await hall.dispatcher.turn()
    await hall.dispatcher.turn()

    assert await slave.take() == run
    assert await slave.take(timeout_s=0) is None
    assert await hall.store.pending() == []
    assert (await hall.store.job(run.job)).standing.dispatched == 1


async def test_jobs_of_another_master_are_left_alone(hall: Hall, slave: Any, make_job: Make) -> None:
    run = make_job(master="another")
    await hall.store.add_jobs([run])

    await hall.dispatcher.turn()

    assert await slave.take(timeout_s=0) is None
    assert await hall.store.pending() == [run]


async def test_a_high_priority_overtakes(hall: Hall, slave: Any, make_job: Make) -> None:
    normal, high = make_job(), make_job(priority=Priority.HIGH)
    await hall.store.add_jobs([normal, high])

    await hall.dispatcher.turn()

    assert [await slave.take(), await slave.take()] == [high, normal]


async def test_a_job_waits_in_its_queue_although_no_slave_ever_came(hall: Hall, make_job: Make) -> None:
    run = make_job(machine=MachineRequest(image="trixie"))
    await hall.store.add_jobs([run])

    await hall.dispatcher.turn()

    delivery = await hall.bus.take(["pyti.jobs.x86_64.trixie"], timeout_s=0)
    assert delivery is not None
    assert delivery.message == run
    assert delivery.context.message_id == f"{run.job}.1"
    assert delivery.context.correlation_id == run.job


async def test_accepted_and_progress_hold_the_lease_and_tell_watchers(
    hall: Hall, slave: Any, start: Make, wait_until: Make
) -> None:
    run = await start(lease_s=10)
    before = (await hall.store.job(run.job)).standing.lease_until
    assert before is not None

    with hall.feed.watch() as events:
        await slave.progress(run, Step.RUN, task="install", machine="m-1", lease_s=500)
        async with asyncio.timeout(5):
            event = await anext(events)

    assert (event.job, event.task) == (run.job, "install")
    record = await hall.store.job(run.job)
    assert (record.summary.step, record.summary.task, record.summary.machine) == ("run", "install", "m-1")
    assert record.standing.lease_until is not None
    assert record.standing.lease_until > before + 400


async def test_a_result_counts_once(hall: Hall, slave: Any, start: Make, wait_until: Make) -> None:
    run = await start()
    ending = hall.feed.ending(run.job)

    await slave.result(run)
    async with asyncio.timeout(5):
        await ending.wait()
    first = (await hall.store.job(run.job)).summary
    handled = hall.handled()
    await slave.result(run, state="failed", failure=None)
    await wait_until(lambda: hall.handled() > handled)

    assert first.state is JobState.DONE
    assert (await hall.store.job(run.job)).summary == first
    assert (await hall.report(run)).job == run.job
    assert hall.bus.counters["dead_lettered"] == 0


async def test_a_result_may_overtake_its_acceptance(hall: Hall, slave: Any, make_job: Make, wait_until: Make) -> None:
    run = make_job()
    await hall.store.add_jobs([run])
    await hall.dispatcher.turn()
    taken = await slave.take()

    await slave.result(taken)

    await wait_until(lambda: _is(hall, run, JobState.DONE))


async def test_a_stale_attempt_is_fenced(hall: Hall, slave: Any, start: Make, wait_until: Make) -> None:
    run = await start(lease_s=-1)
    await hall.dispatcher.turn()
    assert await hall.attempt(run) == 2
    handled = hall.handled()

    await slave.result(run)
    await wait_until(lambda: hall.handled() > handled)

    assert await hall.state(run) is JobState.QUEUED
    assert await hall.store.report_reference(run.job) is None


async def test_progress_of_a_stale_attempt_neither_counts_nor_shows(
    hall: Hall, slave: Any, start: Make, wait_until: Make
) -> None:
    run = await start(lease_s=-1)
    await hall.dispatcher.turn()
    handled = hall.handled()

    with hall.feed.watch() as events:
        await slave.progress(run, Step.RUN, task="install")
        await wait_until(lambda: hall.handled() > handled)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await anext(events)

    assert (await hall.store.job(run.job)).summary.step == ""


async def test_an_acceptance_of_a_stale_attempt_is_answered_with_a_cancellation(
    hall: Hall, slave: Any, start: Make
) -> None:
    run = await start(lease_s=-1)
    await hall.dispatcher.turn()

    await slave.accept(run)

    command = await slave.command()
    assert (command.job, command.attempt) == (run.job, 1)


async def test_a_retryable_failure_is_tried_again_until_the_attempts_are_used_up(
    hall: Hall, slave: Any, start: Make, make_failure: Make, wait_until: Make
) -> None:
    run = await start()
    for attempt in (1, 2):
        hall.dispatcher.wake.clear()
        await slave.result(run, failure=make_failure())
        async with asyncio.timeout(5):
            await hall.dispatcher.wake.wait()
        await hall.dispatcher.turn()
        run = await slave.take()
        assert run.attempt == attempt + 1
        await slave.accept(run)

    await slave.result(run, failure=make_failure(message="the machine died a third time"))

    await wait_until(lambda: _is(hall, run, JobState.FAILED))
    summary = (await hall.store.job(run.job)).summary
    assert (summary.attempt, summary.exit_status) == (3, 3)
    assert summary.detail == "the machine died a third time"
    await hall.dispatcher.turn()
    assert await slave.take(timeout_s=0) is None


async def test_a_failure_that_no_retry_cures_ends_the_job_at_once(
    hall: Hall, slave: Any, start: Make, make_failure: Make, wait_until: Make
) -> None:
    run = await start()

    await slave.result(run, failure=make_failure(retryable=False, message="malformed archive", cause="package"))

    await wait_until(lambda: _is(hall, run, JobState.FAILED))
    assert await hall.attempt(run) == 1
    report = await hall.report(run)
    assert report.failure is not None
    assert report.failure.message == "malformed archive"


async def test_an_expired_lease_gives_the_job_to_another_slave(
    hall: Hall, slave: Any, start: Make, open_slave: Make, settings: Settings, wait_until: Make
) -> None:
    run = await start(lease_s=-1)

    await hall.dispatcher.turn()
    assert hall.dispatcher.wake.is_set()
    await hall.dispatcher.turn()

    async with open_slave(settings, "slave-2") as other:
        again = await other.take()
        assert (again.job, again.attempt) == (run.job, 2)
        await other.accept(again)
        await wait_until(lambda: _is(hall, run, JobState.RUNNING))
        await other.result(again)
        await wait_until(lambda: _is(hall, run, JobState.DONE))
    assert (await hall.store.job(run.job)).summary.slave == "slave-2"


async def test_a_job_whose_slaves_all_die_ends_as_failed_and_says_why(hall: Hall, slave: Any, start: Make) -> None:
    run = await start(lease_s=-1, attempt=3)

    await hall.dispatcher.turn()

    summary = (await hall.store.job(run.job)).summary
    assert (summary.state, summary.exit_status) == (JobState.FAILED, 3)
    assert "slave that ran the job was lost" in summary.detail
    failure = (await hall.report(run)).failure
    assert failure is not None
    assert failure.error == "LeaseExpired"


async def test_a_job_that_is_to_be_cancelled_tells_its_slave(
    hall: Hall, slave: Any, start: Make, wait_until: Make
) -> None:
    run = await start()
    await hall.store.request_cancel(run.job, "no longer wanted")

    await hall.dispatcher.turn()

    command = await slave.command()
    assert (command.job, command.reason) == (run.job, "no longer wanted")
    await slave.result(run, state="cancelled")
    await wait_until(lambda: _is(hall, run, JobState.CANCELLED))


@pytest.mark.parametrize("attempt", [1, 3], ids=["attempts left", "no attempt left"])
async def test_a_job_that_is_to_be_cancelled_and_whose_slave_died_ends_as_cancelled(
    hall: Hall, slave: Any, start: Make, attempt: int
) -> None:
    run = await start(lease_s=-1, attempt=attempt)
    await hall.store.request_cancel(run.job, "no longer wanted")

    await hall.dispatcher.turn()

    assert await hall.state(run) is JobState.CANCELLED
    assert await hall.store.cancel_requests() == []
    await hall.dispatcher.turn()
    assert await slave.take(timeout_s=0) is None


async def test_a_job_that_is_to_be_cancelled_and_is_handed_back_ends_as_cancelled(
    hall: Hall, slave: Any, start: Make, make_failure: Make, wait_until: Make
) -> None:
    run = await start()
    await hall.store.request_cancel(run.job)

    await slave.result(run, failure=make_failure(error="HandedBack"))

    await wait_until(lambda: _is(hall, run, JobState.CANCELLED))


async def test_a_job_that_was_cancelled_while_it_waited_is_stopped_at_the_slave_that_takes_it(
    hall: Hall, slave: Any, make_job: Make
) -> None:
    run = make_job()
    await hall.store.add_jobs([run])
    await hall.dispatcher.turn()
    await hall.store.request_cancel(run.job)
    assert await hall.state(run) is JobState.CANCELLED

    taken = await slave.take()
    await slave.accept(taken)

    command = await slave.command()
    assert (command.job, command.attempt) == (run.job, 1)
    assert await hall.state(run) is JobState.CANCELLED


async def test_a_job_whose_deadline_passed_is_never_sent(hall: Hall, slave: Any, make_job: Make) -> None:
    late, timely = make_job(deadline=time.time() - 1), make_job(deadline=time.time() + 3600)
    await hall.store.add_jobs([late, timely])

    await hall.dispatcher.turn()

    assert await slave.take() == timely
    assert await slave.take(timeout_s=0) is None
    summary = (await hall.store.job(late.job)).summary
    assert (summary.state, summary.exit_status) == (JobState.FAILED, 3)
    failure = (await hall.report(late)).failure
    assert failure is not None
    assert failure.timeout
    assert failure.remedy


async def test_presence_is_kept(hall: Hall, slave: Any, wait_until: Make) -> None:
    async def known() -> bool:
        return bool(await hall.store.slaves())

    presence = await slave.announce(free=1, slots=2)
    await wait_until(known)

    assert await hall.store.slaves() == [presence]


async def test_raw_data_that_is_too_large_ends_its_own_job_alone(
    hall: Hall, slave: Any, start: Make, wait_until: Make
) -> None:
    huge = BlobReference(uri="blob:x", sha256="ab" * 32, size=1 << 40)
    run = await start()
    other = await start()

    await slave.result(run, raw=RawDataSet(files={"records.jsonl": huge}))
    await slave.result(other)

    await wait_until(lambda: _is(hall, other, JobState.DONE))
    await wait_until(lambda: _is(hall, run, JobState.FAILED))
    failure = (await hall.report(run)).failure
    assert isinstance(failure, JobFailure)
    assert failure.error == "GuestMisbehaved"


async def test_a_result_of_no_known_job_is_put_aside(hall: Hall, slave: Any, make_job: Make, wait_until: Make) -> None:
    await slave.result(make_job())

    await wait_until(lambda: hall.bus.counters["dead_lettered"] == 1)


async def test_what_is_neither_event_nor_result_changes_nothing(
    hall: Hall, slave: Any, start: Make, wait_until: Make
) -> None:
    run = await start()
    before, handled = await hall.store.job(run.job), hall.handled()

    await slave.bus.publish("pyti.res", "result.master", Drain())
    await slave.bus.publish("pyti.evt", "slave.x", Drain())
    await wait_until(lambda: hall.handled() >= handled + 2)

    assert msgspec.structs.asdict(await hall.store.job(run.job)) == msgspec.structs.asdict(before)


async def test_a_report_that_cannot_be_stored_holds_the_lease_and_at_last_ends_the_job_with_the_reason(
    hall: Hall, slave: Any, start: Make
) -> None:
    lost = BlobReference(uri="blob:x", sha256="cd" * 32, size=10)
    run = await start(lease_s=0.001)
    result = slave.result_of(run, raw=RawDataSet(files={"records.jsonl": lost}))

    with pytest.raises(StoreError):
        await hall.dispatcher.on_result(result, cast(Context, SimpleNamespace(attempt=1)))
    assert await hall.store.expired() == []

    await hall.dispatcher.on_result(result, cast(Context, SimpleNamespace(attempt=RESULT_ATTEMPTS)))
    record = await hall.store.job(run.job)
    assert record.summary.state is JobState.FAILED
    assert record.summary.exit_status == 3
    assert "could not be stored" in record.summary.detail
