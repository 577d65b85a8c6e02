"""The store keeps every job, follows the state machine to the letter, and survives restarts."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from pyti.errors import NoSuchJob, StoreError
from pyti.messages import (
    BlobReference,
    Distribution,
    DistributionKind,
    JobResult,
    JobRun,
    JobState,
    SlavePresence,
    Step,
)
from pyti.store import CancelRequest, CursorUpdate, Store, Upload, job_state
from pyti.store.job_state import ENDED, Standing

REPORT = BlobReference(uri="blob:x", sha256="a" * 64, size=12, media_type="application/json")


def result_of(run: JobRun, state: str = "done") -> JobResult:
    return JobResult(job=run.job, attempt=run.attempt, slave="ada", state=state, distribution=run.distribution)


async def test_a_job_walks_from_the_queue_to_its_report(store, make_job, clock) -> None:
    run = make_job()
    assert await store.add_jobs([run]) == [run]
    assert await store.pending() == [run]
    assert await store.mark_dispatched(run.job, 1)
    assert await store.pending() == []
    assert await store.accepted(run.job, 1, "ada", 1030.0)
    assert await store.progress(run.job, 1, "ada", Step.RUN, "install", "vm-1", 1060.0)
    summary = (await store.job(run.job)).summary
    assert (summary.state, summary.slave, summary.step, summary.task, summary.machine) == (
        JobState.RUNNING,
        "ada",
        "run",
        "install",
        "vm-1",
    )
    clock.now = 1050.0
    assert await store.report_reference(run.job) is None
    assert await store.finish(
        run.job,
        1,
        JobState.DONE,
        report=REPORT,
        level="none_found",
        exit_status=0,
        passed=9,
        not_passed=1,
        detail="fine",
        result=result_of(run),
    )
    record = await store.job(run.job)
    assert record.run == run
    assert record.report == REPORT
    assert record.result == result_of(run)
    assert await store.report_reference(run.job) == REPORT
    ended = record.summary
    assert (ended.state, ended.finished, ended.level, ended.exit_status) == (JobState.DONE, 1050.0, "none_found", 0)
    assert (ended.passed, ended.not_passed, ended.detail, ended.slave) == (9, 1, "fine", "ada")


async def test_a_result_counts_once(store, make_job) -> None:
    run = make_job()
    await store.add_jobs([run])
    answers = await asyncio.gather(
        *(store.finish(run.job, 1, JobState.DONE, detail=f"copy {n}", result=result_of(run)) for n in range(8))
    )
    assert answers.count(True) == 1
    assert (await store.job(run.job)).summary.detail == f"copy {answers.index(True)}"


async def test_a_stale_attempt_is_fenced_off(store, make_job, clock) -> None:
    run = make_job()
    await store.add_jobs([run])
    await store.mark_dispatched(run.job, 1)
    await store.accepted(run.job, 1, "ada", 1030.0)
    assert await store.expired(1029.9) == []
    clock.now = 1031.0
    assert await store.expired() == [run]
    again = await store.reissue(run.job, 1)
    assert again is not None
    assert (again.job, again.attempt) == (run.job, 2)
    assert await store.reissue(run.job, 1) is None
    assert await store.pending() == [again]
    assert not await store.accepted(run.job, 1, "ada", 1090.0)
    assert not await store.progress(run.job, 1, "ada", "run", "", "", 1090.0)
    assert not await store.finish(run.job, 1, JobState.DONE, result=result_of(run))
    assert await store.finish(run.job, 2, JobState.DONE, result=result_of(again))


async def test_two_masters_reissue_a_job_once(database_url, make_job, clock) -> None:
    run = make_job()
    async with Store.open(database_url, clock=clock) as one, Store.open(database_url, clock=clock) as two:
        await one.add_jobs([run])
        await one.accepted(run.job, 1, "ada", 1001.0)
        answers = await asyncio.gather(*(master.reissue(run.job, 1) for master in (one, two) for _ in range(4)))
    assert [answer.attempt for answer in answers if answer is not None] == [2]


async def test_an_undispatched_job_is_pending_after_a_restart(database_url, make_job) -> None:
    runs = [make_job(), make_job(), make_job()]
    async with Store.open(database_url) as store:
        await store.add_jobs(runs)
        await store.mark_dispatched(runs[1].job, 1)
    async with Store.open(database_url) as store:
        assert await store.pending() == [runs[0], runs[2]]
        assert await store.pending(limit=1) == [runs[0]]


async def test_each_master_finds_its_own_jobs(store, make_job) -> None:
    ours, theirs = make_job(master="ours"), make_job(master="theirs")
    await store.add_jobs([ours, theirs])
    assert await store.pending(master="ours") == [ours]
    for run in (ours, theirs):
        await store.accepted(run.job, 1, "ada", 1.0)
    assert await store.expired(2.0, master="theirs") == [theirs]
    assert await store.expired(2.0) == [ours, theirs]


async def test_a_job_that_no_slave_accepts_is_found(store, make_job, clock) -> None:
    run, quick = make_job(), make_job()
    await store.add_jobs([run, quick])
    for each in (run, quick):
        await store.mark_dispatched(each.job, 1)
    await store.accepted(quick.job, 1, "ada", 1100.0)
    assert await store.stalled(1000.0) == []
    assert await store.stalled(1000.1) == [run]


async def test_a_queued_job_is_cancelled_at_once_and_a_running_one_by_its_slave(store, make_job) -> None:
    queued, running = make_job(), make_job()
    await store.add_jobs([queued, running])
    await store.accepted(running.job, 1, "ada", 1030.0)
    assert await store.request_cancel(queued.job, "not wanted") is JobState.CANCELLED
    assert await store.request_cancel(running.job, "too slow") is JobState.RUNNING
    assert await store.cancel_requests() == [CancelRequest(job=running.job, attempt=1, slave="ada", reason="too slow")]
    assert await store.pending() == []
    assert not await store.accepted(queued.job, 1, "ada", 1030.0)
    assert await store.finish(running.job, 1, JobState.CANCELLED, result=result_of(running, "cancelled"))
    assert await store.cancel_requests() == []
    assert await store.request_cancel(running.job, "again") is JobState.CANCELLED
    record = await store.job(queued.job)
    assert (record.summary.detail, record.cancel_reason, record.summary.finished) == ("not wanted", "not wanted", 1000)


async def test_a_job_that_has_ended_keeps_its_end_when_it_is_cancelled(store, make_job) -> None:
    run = make_job()
    await store.add_jobs([run])
    await store.finish(run.job, 1, JobState.DONE, result=result_of(run))
    assert await store.request_cancel(run.job, "late") is JobState.DONE
    assert (await store.job(run.job)).cancel_reason == ""


async def test_jobs_are_listed_newest_first_and_by_state(store, make_job) -> None:
    runs = [make_job() for _ in range(4)]
    await store.add_jobs(runs)
    await store.finish(runs[2].job, 1, JobState.FAILED)
    assert [row.job for row in await store.jobs(3)] == [run.job for run in reversed(runs[1:])]
    assert [row.job for row in await store.jobs(10, JobState.FAILED)] == [runs[2].job]


@pytest.mark.parametrize("ask", ["job", "report_reference", "request_cancel"])
async def test_an_unknown_job_is_named(store, ask: str) -> None:
    with pytest.raises(NoSuchJob, match="job-9999"):
        await getattr(store, ask)("job-9999")


async def test_news_of_an_unknown_job_changes_nothing(store) -> None:
    assert not await store.mark_dispatched("job-9999", 1)
    assert not await store.accepted("job-9999", 1, "ada", 1030.0)
    assert not await store.finish("job-9999", 1, JobState.DONE)
    assert await store.reissue("job-9999", 1) is None
    assert await store.jobs() == []


async def test_storing_a_job_again_is_harmless_and_another_job_of_that_id_is_refused(store, make_job) -> None:
    run = make_job(job="job-same")
    assert await store.add_jobs([run]) == [run]
    await store.accepted(run.job, 1, "ada", 1.0)
    await store.reissue(run.job, 1)
    assert await store.add_jobs([run]) == []
    with pytest.raises(StoreError, match="another job has the id job-same"):
        await store.add_jobs([make_job(), make_job("other-1.0.whl", job="job-same")])
    assert [row.job for row in await store.jobs()] == ["job-same"]


async def test_a_new_file_becomes_a_job_once_across_restarts(database_url, make_job) -> None:
    upload = Upload(project="six", filename="six-2.0.tar.gz")
    async with Store.open(database_url) as store:
        assert await store.cursor("watch", "six") is None
        first = await store.add_jobs(
            [make_job("six-2.0.tar.gz")],
            feed="watch",
            cursor=CursorUpdate(project="six", value='"etag-1"'),
            uploads=[upload],
        )
        assert len(first) == 1
    async with Store.open(database_url) as store:
        assert await store.cursor("watch", "six") == '"etag-1"'
        assert await store.seen("watch", "six") == {"six-2.0.tar.gz"}
        again = await store.add_jobs(
            [make_job("six-2.0.tar.gz", job="job-again")],
            feed="watch",
            cursor=CursorUpdate(project="six", value='"etag-2"'),
            uploads=[upload],
        )
        assert again == []
        assert await store.cursor("watch", "six") == '"etag-2"'
        assert [row.job for row in await store.jobs()] == ["job-0001"]


async def test_two_masters_that_see_a_file_at_once_make_one_job(database_url, make_job) -> None:
    uploads = [Upload(project="six", filename=f"six-{n}.tar.gz") for n in range(5)]
    async with Store.open(database_url) as one, Store.open(database_url) as two:
        added = await asyncio.gather(
            *(
                master.add_jobs([make_job(upload.filename) for upload in uploads], feed="watch", uploads=uploads)
                for master in (one, two) * 3
            )
        )
        assert sorted(len(jobs) for jobs in added) == [0, 0, 0, 0, 0, 5]
        assert len(await one.jobs()) == 5


async def test_what_was_there_before_watching_began_makes_no_jobs(store, make_job) -> None:
    old, new = Upload(project="six", filename="six-1.tar.gz"), Upload(project="six", filename="six-2.tar.gz")
    assert await store.add_jobs([], feed="watch", uploads=[old]) == []
    added = await store.add_jobs(
        [make_job(old.filename), make_job(new.filename)], feed="watch", uploads=[old, new, new]
    )
    assert [run.distribution.filename for run in added] == [new.filename]
    assert await store.seen("other", "six") == set()


async def test_jobs_cursor_and_seen_files_are_stored_together_or_not_at_all(store, make_job) -> None:
    await store.add_jobs([make_job(job="job-same")])
    with pytest.raises(StoreError):
        await store.add_jobs(
            [make_job("six-3.tar.gz"), make_job("six-4.tar.gz", job="job-same")],
            feed="watch",
            cursor=CursorUpdate(project="six", value="3"),
            uploads=[Upload(project="six", filename="six-3.tar.gz"), Upload(project="six", filename="six-4.tar.gz")],
        )
    assert await store.cursor("watch", "six") is None
    assert await store.seen("watch", "six") == set()
    assert len(await store.jobs()) == 1


async def test_the_newest_presence_of_each_slave_is_kept(store) -> None:
    def presence(slave: str, at: float, free: int) -> SlavePresence:
        return SlavePresence(slave=slave, version="1", capabilities=("x86_64.bookworm",), free=free, at=at)

    for each in (presence("bob", 5.0, 1), presence("ada", 5.0, 2), presence("ada", 7.0, 0), presence("ada", 6.0, 1)):
        await store.slave_seen(each)
    assert await store.slaves() == [presence("ada", 7.0, 0), presence("bob", 5.0, 1)]


async def test_a_cancelled_write_leaves_the_store_usable(store, make_job) -> None:
    for turns in range(1, 20):
        task = asyncio.create_task(store.add_jobs([make_job()]))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    survivor = make_job()
    assert await store.add_jobs([survivor]) == [survivor]
    assert survivor.job in {row.job for row in await store.jobs()}


async def test_texts_longer_than_their_columns_are_cut(store, make_job) -> None:
    run = make_job()
    await store.add_jobs([run])
    assert await store.progress(run.job, 1, "s" * 900, "x" * 900, "t" * 900, "m" * 900, 1030.0)
    assert await store.finish(run.job, 1, JobState.FAILED, detail="d" * 9000, level="l" * 900)
    summary = (await store.job(run.job)).summary
    assert [len(text) for text in (summary.slave, summary.step, summary.task, summary.machine)] == [200, 32, 64, 255]
    assert (len(summary.detail), len(summary.level)) == (4096, 32)


ATTEMPTS = st.integers(min_value=0, max_value=5)


class StoredJob(RuleBasedStateMachine):
    """The SQL and the pure machine are told the same things and must say the same."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.now = 1000.0
        self.model = Standing()
        url = f"sqlite+aiosqlite:///{Path(self.folder.name) / 'model.sqlite'}"
        self.opened = Store.open(url, clock=lambda: self.now)
        self.store = self.runner.run(self.opened.__aenter__())
        distribution = Distribution(name="six", version="1", filename="six-1.tar.gz", kind=DistributionKind.SDIST)
        self.runner.run(self.store.add_jobs([JobRun(job="job-model", distribution=distribution)]))

    def teardown(self) -> None:
        self.runner.run(self.opened.__aexit__(None, None, None))
        self.runner.close()
        self.folder.cleanup()

    def agree(self, after: Standing | None, stored: object) -> None:
        assert bool(stored) == (after is not None)
        self.model = self.model if after is None else after
        assert self.runner.run(self.store.job("job-model")).standing == self.model
        waiting = self.runner.run(self.store.pending())
        assert [run.attempt for run in waiting] == [self.model.attempt] * job_state.awaits_dispatch(self.model)
        expired = self.runner.run(self.store.expired())
        assert [run.attempt for run in expired] == [self.model.attempt] * job_state.lease_ran_out(self.model, self.now)

    @rule(seconds=st.floats(min_value=0, max_value=40))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(attempt=ATTEMPTS)
    def the_bus_confirms(self, attempt: int) -> None:
        stored = self.runner.run(self.store.mark_dispatched("job-model", attempt))
        self.agree(job_state.dispatch(self.model, attempt), stored)

    @rule(attempt=ATTEMPTS, slave=st.sampled_from(["ada", "bob"]), lease=st.floats(min_value=0, max_value=60))
    def a_slave_speaks(self, attempt: int, slave: str, lease: float) -> None:
        until = self.now + lease
        stored = self.runner.run(self.store.progress("job-model", attempt, slave, "run", "", "", until))
        self.agree(job_state.accept(self.model, attempt, slave, until, self.now), stored)

    @rule(attempt=ATTEMPTS)
    def the_master_reissues(self, attempt: int) -> None:
        stored = self.runner.run(self.store.reissue("job-model", attempt))
        self.agree(job_state.reissue(self.model, attempt), stored)

    @rule(attempt=ATTEMPTS, state=st.sampled_from(sorted(ENDED)))
    def a_result_arrives(self, attempt: int, state: JobState) -> None:
        stored = self.runner.run(self.store.finish("job-model", attempt, state))
        self.agree(job_state.finish(self.model, attempt, state), stored)

    @rule()
    def somebody_cancels(self) -> None:
        state = self.runner.run(self.store.request_cancel("job-model", "model"))
        after = job_state.cancel(self.model)
        self.agree(after, after is not None)
        assert state is self.model.state


TestStoredJob = StoredJob.TestCase
TestStoredJob.settings = settings(max_examples=12, stateful_step_count=20, deadline=None)
