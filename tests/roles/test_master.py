"""A master keeps what it has accepted, dispatches it, and gives reports; the slave is played by the test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pyti.config import Settings
from pyti.errors import ImageMissing, NoSuchDistribution, NoSuchJob, UsageError
from pyti.messages import FileChoice, JobState, Ping, Priority, Submission
from pyti.roles import Master
from pyti.store import Store

Make = Callable[..., Any]


@pytest.fixture
def known(slave: Any, wait_until: Make) -> Make:
    """Wait until a master knows the played slave."""

    async def call(master: Master) -> None:
        async def heard() -> bool:
            return bool(await master.slaves())

        await slave.announce()
        await wait_until(heard)

    return call


async def test_a_master_asks_all_slaves_to_announce_themselves(settings: Settings, slave: Any) -> None:
    async with Master(settings):
        assert isinstance(await slave.command(Ping), Ping)


async def test_a_requirement_becomes_a_job_and_its_result_a_report(
    settings: Settings, slave: Any, index: Any, known: Make
) -> None:
    index.wheel("demo", "1.0")
    async with Master(settings) as master:
        await known(master)

        testing = asyncio.create_task(master.test("demo", tasks=["import"]))
        run = await slave.take()
        await slave.accept(run)
        await slave.result(run)
        async with asyncio.timeout(10):
            report = await testing

        assert report.job == run.job == master.submitted[0]
        assert report.distribution.filename == "demo-1.0-py3-none-any.whl"
        assert [job.state for job in await master.jobs()] == [JobState.DONE]


async def test_submitted_jobs_are_in_the_store_before_submit_returns(
    settings: Settings, slave: Any, index: Any, known: Make, store: Store
) -> None:
    index.wheel("demo", "1.0")
    index.sdist("demo", "1.0")
    async with Master(settings) as master:
        await known(master)

        rows = await master.submit([Submission(requirement="demo", choice=FileChoice.ALL, priority=Priority.HIGH)])

        assert {row.job for row in rows} == {row.job for row in await store.jobs()} == set(master.submitted)
        assert {row.distribution.filename for row in rows} == {"demo-1.0-py3-none-any.whl", "demo-1.0.tar.gz"}


@pytest.mark.parametrize("requirement", ["no-such-project", "demo==99"])
async def test_what_the_index_has_not_is_refused_and_nothing_is_stored(
    settings: Settings, slave: Any, index: Any, known: Make, requirement: str
) -> None:
    index.wheel("demo", "1.0")
    async with Master(settings) as master:
        await known(master)

        with pytest.raises(NoSuchDistribution):
            await master.submit([Submission(requirement="demo"), Submission(requirement=requirement)])

        assert await master.jobs() == []
        assert master.submitted == []


async def test_without_image_and_slave_a_submission_is_refused(settings: Settings) -> None:
    async with Master(settings) as master:
        with pytest.raises(ImageMissing):
            await master.submit([Submission(requirement="demo")])


async def test_a_local_file_is_handed_over_through_the_blob_store(
    settings: Settings, slave: Any, known: Make, tmp_path: Path, make_wheel: Make
) -> None:
    path = tmp_path / "demo-1.0-py3-none-any.whl"
    path.write_bytes(make_wheel("demo", "1.0"))
    async with Master(settings) as master:
        await known(master)

        testing = asyncio.create_task(master.test(file=path))
        run = await slave.take()
        content = await master.blobs.get_bytes(run.distribution.blob, limit=1 << 20)
        await slave.result(run)
        async with asyncio.timeout(10):
            await testing

        assert content == path.read_bytes()


async def test_one_report_cannot_stand_for_all_files(settings: Settings) -> None:
    async with Master(settings) as master:
        with pytest.raises(UsageError, match="use submit"):
            await master.test("demo", choice=FileChoice.ALL)


async def test_progress_is_told_to_those_who_watch(settings: Settings, slave: Any, index: Any, known: Make) -> None:
    index.wheel("demo", "1.0")
    async with Master(settings) as master:
        await known(master)
        with master.watch() as events:
            await master.submit([Submission(requirement="demo")])
            run = await slave.take()
            await slave.accept(run)
            await slave.progress(run, task="import")
            async with asyncio.timeout(10):
                event = await anext(events)

        assert (event.job, event.task) == (run.job, "import")


async def test_a_report_of_an_unknown_job_is_refused(settings: Settings) -> None:
    async with Master(settings) as master:
        with pytest.raises(NoSuchJob):
            await master.report("no-such-job")


async def test_a_job_that_was_cancelled_before_it_started_has_no_report(
    settings: Settings, store: Store, make_job: Make
) -> None:
    run = make_job()
    await store.add_jobs([run])
    async with Master(settings) as master:
        await master.cancel(run.job, "enough")

        with pytest.raises(UsageError, match="cancelled before it started"):
            await master.report(run.job)


async def test_cancelling_reaches_the_slave_that_runs_the_job(
    settings: Settings, slave: Any, index: Any, known: Make, wait_until: Make
) -> None:
    index.wheel("demo", "1.0")
    async with Master(settings) as master:
        await known(master)
        (row,) = await master.submit([Submission(requirement="demo")])
        run = await slave.take()
        await slave.accept(run)

        async def running() -> bool:
            return (await master.store.job(row.job)).summary.state is JobState.RUNNING

        await wait_until(running)
        await master.cancel(row.job, "enough")

        command = await slave.command()
        assert (command.job, command.reason) == (row.job, "enough")
        await slave.result(run, state="cancelled")
        async with asyncio.timeout(10):
            assert (await master.report(row.job)).state == "cancelled"


async def test_the_next_master_of_the_name_sends_what_the_last_one_only_stored(
    settings: Settings, slave: Any, store: Store, make_job: Make
) -> None:
    run = make_job()
    await store.add_jobs([run])

    async with Master(settings):
        assert await slave.take() == run


async def test_a_result_that_comes_while_no_master_is_there_counts(
    settings: Settings, slave: Any, index: Any, known: Make
) -> None:
    index.wheel("demo", "1.0")
    async with Master(settings) as first:
        await known(first)
        (row,) = await first.submit([Submission(requirement="demo")])
        run = await slave.take()
    await slave.accept(run)
    await slave.result(run)

    async with Master(settings) as second, asyncio.timeout(10):
        assert (await second.report(row.job)).job == row.job


async def test_a_slave_that_died_while_no_master_was_there_is_noticed_by_the_next_one(
    settings: Settings, slave: Any, store: Store, make_job: Make
) -> None:
    run = make_job()
    await store.add_jobs([run])
    await store.accepted(run.job, 1, "slave-9", 1.0)

    async with Master(settings):
        again = await slave.take()

    assert (again.job, again.attempt) == (run.job, 2)


async def test_a_master_leaves_the_jobs_of_other_masters_alone(
    settings: Settings, slave: Any, store: Store, make_job: Make, wait_until: Make
) -> None:
    theirs, own = make_job(master="other"), make_job()
    await store.add_jobs([theirs, own])

    async with Master(settings):
        assert await slave.take() == own
        assert await slave.take(timeout_s=0) is None

    renamed = msgspec.structs.replace(settings.master, name="other")
    async with Master(msgspec.structs.replace(settings, master=renamed)):
        assert await slave.take() == theirs


async def test_a_watched_project_s_new_file_becomes_a_job(
    settings: Settings, slave: Any, index: Any, wait_until: Make
) -> None:
    index.wheel("demo", "1.0")
    watching = msgspec.structs.replace(settings.master, watch=("demo",), watch_interval_s=0.02)
    async with Master(msgspec.structs.replace(settings, master=watching)):
        await wait_until(lambda: index.seen["demo"] >= 2)
        index.wheel("demo", "1.1")

        run = await slave.take()

    assert run.distribution.filename == "demo-1.1-py3-none-any.whl"
