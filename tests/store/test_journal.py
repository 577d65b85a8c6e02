"""The journal knows after a crash what a slave had taken and what it had not handed over."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from pathlib import Path

import msgspec
import pytest

from pyti.errors import OutOfSpace, StoreError
from pyti.messages import JobResult, JobRun
from pyti.store import Acceptance, Journal
from pyti.store import journal as journal_module


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "slave" / "journal.sqlite"


@pytest.fixture
async def journal(path: Path):
    async with Journal.open(path) as opened:
        yield opened


def attempt(run: JobRun, number: int) -> JobRun:
    return msgspec.structs.replace(run, attempt=number)


def result_of(run: JobRun) -> JobResult:
    return JobResult(job=run.job, attempt=run.attempt, slave="ada", state="done", distribution=run.distribution)


async def test_a_job_goes_from_accepted_to_unsent_to_sent(journal: Journal, make_job) -> None:
    run = make_job()
    assert await journal.accept(run) is Acceptance.NEW
    assert await journal.pending() == [run]
    await journal.keep_result(result_of(run))
    assert await journal.pending() == []
    assert await journal.unsent() == [("master", result_of(run))]
    await journal.sent(run.job, run.attempt)
    assert await journal.unsent() == []


async def test_a_redelivery_is_recognised_at_every_stage(journal: Journal, make_job) -> None:
    run = make_job()
    await journal.accept(run)
    assert await journal.accept(run) is Acceptance.RUNNING
    await journal.keep_result(result_of(run))
    assert await journal.accept(run) is Acceptance.FINISHED
    await journal.sent(run.job, run.attempt)
    assert await journal.accept(run) is Acceptance.FINISHED
    assert await journal.pending() == []


async def test_a_newer_attempt_replaces_an_older_one(journal: Journal, make_job) -> None:
    first, second = attempt(make_job(job="job-same"), 1), attempt(make_job(job="job-same"), 2)
    await journal.accept(first)
    assert await journal.accept(second) is Acceptance.NEW
    assert await journal.accept(first) is Acceptance.STALE
    await journal.keep_result(result_of(first))
    assert await journal.unsent() == []
    await journal.finished(first.job, 1)
    assert await journal.pending() == [second]


async def test_a_job_that_somebody_else_has_is_given_up(journal: Journal, make_job) -> None:
    run = make_job()
    await journal.accept(run)
    await journal.finished(run.job, run.attempt)
    await journal.keep_result(result_of(run))
    assert await journal.pending() == []
    assert await journal.unsent() == []


async def test_a_finished_job_keeps_its_unsent_result(journal: Journal, make_job) -> None:
    run = make_job(master="other")
    await journal.accept(run)
    await journal.keep_result(result_of(run))
    await journal.finished(run.job, run.attempt)
    assert await journal.unsent() == [("other", result_of(run))]
    await journal.sent(run.job, run.attempt)
    assert await journal.unsent() == []


async def test_everything_is_there_after_a_restart_in_order(path: Path, make_job) -> None:
    runs = [make_job() for _ in range(4)]
    async with Journal.open(path) as journal:
        for run in runs:
            await journal.accept(run)
        await journal.keep_result(result_of(runs[2]))
        await journal.keep_result(result_of(runs[0]))
    async with Journal.open(path) as journal:
        assert await journal.pending() == [runs[1], runs[3]]
        assert await journal.unsent() == [("master", result_of(runs[0])), ("master", result_of(runs[2]))]


async def test_only_so_many_jobs_are_kept_in_mind(journal: Journal, make_job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "REMEMBERED", 2)
    runs = [make_job() for _ in range(4)]
    for run in runs:
        await journal.accept(run)
    for run in runs[:3]:
        await journal.finished(run.job, 1)
    assert await journal.accept(runs[0]) is Acceptance.NEW
    assert [await journal.accept(run) for run in runs[1:]] == [
        Acceptance.FINISHED,
        Acceptance.FINISHED,
        Acceptance.RUNNING,
    ]


CRASHING = """
import asyncio, os, signal, sys
from pathlib import Path
from pyti.messages import *
from pyti.store import Journal

async def main():
    d = Distribution(name="six", version="1", filename="six-1.tar.gz", kind="sdist")
    async with Journal.open(Path(sys.argv[1])) as journal:
        await journal.accept(JobRun(job="job-taken", distribution=d))
        await journal.accept(JobRun(job="job-ended", distribution=d))
        await journal.keep_result(JobResult(job="job-ended", attempt=1, slave="ada", state="done", distribution=d))
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_a_killed_slave_finds_its_jobs_and_results_again(path: Path) -> None:
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", CRASHING, str(path))
    assert await killed.wait() == -signal.SIGKILL
    async with Journal.open(path, busy_timeout_s=5) as journal:
        assert [run.job for run in await journal.pending()] == ["job-taken"]
        assert [(master, result.job) for master, result in await journal.unsent()] == [("master", "job-ended")]


async def test_each_write_reaches_the_disk_before_it_returns(journal: Journal) -> None:
    async with journal._engine.connect() as connection:
        assert (await connection.exec_driver_sql("PRAGMA synchronous")).scalar() == 2  # FULL


async def test_a_newer_journal_is_not_touched(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(StoreError, match="written by a newer PyTI") as caught:
        async with Journal.open(path):
            pass
    assert "Upgrade PyTI" in caught.value.remedy


async def test_a_damaged_journal_is_named(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(os.urandom(8192))
    with pytest.raises(StoreError, match=rf"the database {path} is damaged"):
        async with Journal.open(path):
            pass


async def test_a_full_journal_says_so_and_keeps_what_it_had(journal: Journal, make_job) -> None:
    run = make_job()
    await journal.accept(run)
    async with journal._engine.connect() as connection:
        await connection.exec_driver_sql("PRAGMA max_page_count=1")  # the pool hands this connection out again

    async def fill() -> None:
        for _ in range(200):
            await journal.accept(make_job("x" * 200))

    with pytest.raises(OutOfSpace, match="cannot grow"):
        await fill()
    assert (await journal.pending())[0] == run
