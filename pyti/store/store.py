"""The store: jobs, feeds' cursors, slaves and reports in one SQL database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from pyti.errors import StoreError
from pyti.messages import BlobReference, JobResult, JobRun, JobState, JobSummary, SlavePresence, Step
from pyti.store import feed_table, job_table
from pyti.store import job_state as transitions
from pyti.store.database_errors import database_errors
from pyti.store.engine import database_file, make_engine, shown, writing
from pyti.store.migration import migrate
from pyti.store.records import (
    CancelRequest,
    CursorUpdate,
    JobRecord,
    Upload,
    decode,
    encode,
    record_of,
    run_of,
    standing_of,
    summary_of,
)

__all__ = ["Clock", "Store"]

Result = TypeVar("Result")
Clock = Callable[[], float]
"""Unix time in seconds."""

CONFLICTS = 5
"""How often a transaction begins anew after two masters wrote the same row at the same moment."""


class Store:
    """Jobs and all that is known of them; open one with ``Store.open``.

    Methods raise ``StoreError`` when the database fails and ``OutOfSpace`` when it cannot grow. Those that say
    what happened to an attempt return ``False`` where the attempt is stale or the job has ended.
    """

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._writing = writing(engine)
        self._clock = clock
        self._name = shown(engine.url)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, database_url: str, *, clock: Clock = time.time, busy_timeout_s: float = 30.0
    ) -> AsyncIterator[Store]:
        """Open the database, creating or upgrading its schema; ``ConfigError`` for a URL that cannot work.

        ``busy_timeout_s`` bounds each wait for other writers. Several processes may open one database.
        """
        engine = make_engine(database_url, busy_timeout_s=busy_timeout_s)
        try:
            if (file := database_file(engine.url)) is not None:
                with database_errors(str(file)):
                    await asyncio.to_thread(file.parent.mkdir, parents=True, exist_ok=True)
            await migrate(engine, limit_s=busy_timeout_s)
            yield cls(engine, clock)
        finally:
            await engine.dispose()

    async def add_jobs(
        self,
        runs: Sequence[JobRun],
        *,
        feed: str = "",
        cursor: CursorUpdate | None = None,
        uploads: Sequence[Upload] = (),
    ) -> list[JobRun]:
        """Store queued jobs, the feed's cursor and its seen files in one transaction; returns the jobs that are new.

        A run whose file is among ``uploads`` is left out when the feed has met that file before, so a file becomes
        a job once, whoever saw it and however often. A run that is stored already is left out too.
        """

        async def write(connection: AsyncConnection) -> list[JobRun]:
            now = self._clock()
            fresh = {name for _, name in await feed_table.note_uploads(connection, feed, uploads, now)}
            known = {upload.filename for upload in uploads} - fresh
            if cursor is not None:
                await feed_table.set_cursor(connection, feed, cursor, now)
            return [
                run
                for run in runs
                if run.distribution.filename not in known and await job_table.add(connection, run, feed)
            ]

        return await self._write(write)

    async def job(self, job: str) -> JobRecord:
        """All that is known of a job; ``NoSuchJob`` when there is none of that id."""
        return await self._read(lambda connection: _map(record_of, job_table.get(connection, job)))

    async def jobs(self, limit: int = 50, state: JobState | None = None) -> list[JobSummary]:
        """At most ``limit`` jobs, the newest first, in the state if one is given."""
        rows = await self._read(lambda connection: job_table.listed(connection, limit, state))
        return [summary_of(row) for row in rows]

    async def pending(self, *, master: str | None = None, limit: int = 1000) -> list[JobRun]:
        """Jobs that are stored but not yet confirmed on the bus, oldest first; publish, then ``mark_dispatched``."""
        rows = await self._read(lambda connection: job_table.pending(connection, master, limit))
        return [run_of(row) for row in rows]

    async def mark_dispatched(self, job: str, attempt: int) -> bool:
        """Note that the bus has confirmed this attempt."""

        async def write(connection: AsyncConnection) -> bool:
            row = await job_table.find(connection, job, lock=True)
            decide = partial(transitions.dispatch, attempt=attempt)
            return await job_table.move(connection, row, decide, dispatched_at=self._clock()) is not None

        return await self._write(write)

    async def stalled(self, before: float, *, master: str | None = None) -> list[JobRun]:
        """Return jobs that the bus confirmed before ``before`` (Unix time) and no slave has accepted yet."""
        rows = await self._read(lambda connection: job_table.stalled(connection, master, before))
        return [run_of(row) for row in rows]

    async def accepted(self, job: str, attempt: int, slave: str, lease_until: float) -> bool:
        """Note that a slave holds the attempt until ``lease_until`` (Unix time)."""
        return await self._held(job, attempt, slave, lease_until, step=Step.ACCEPTED.value)

    async def progress(
        self, job: str, attempt: int, slave: str, step: str, task: str, machine: str, lease_until: float
    ) -> bool:
        """Note where a slave is with the attempt, which also renews its lease."""
        return await self._held(job, attempt, slave, lease_until, step=step[:32], task=task[:64], machine=machine[:255])

    async def expired(self, now: float | None = None, *, master: str | None = None) -> list[JobRun]:
        """Return running jobs whose lease has run out at ``now``: ``reissue`` or ``finish`` them."""
        moment = self._clock() if now is None else now
        rows = await self._read(lambda connection: job_table.expired(connection, master, moment))
        return [run_of(row) for row in rows]

    async def reissue(self, job: str, attempt: int) -> JobRun | None:
        """Queue the job as ``attempt + 1``, which is then ``pending``; from here on ``attempt`` is stale.

        ``None`` when the attempt is stale, or the job has ended or is to be cancelled.
        """

        async def write(connection: AsyncConnection) -> JobRun | None:
            row = await job_table.find(connection, job, lock=True)
            decide = partial(transitions.reissue, attempt=attempt)
            columns = {"step": "", "task": "", "machine": "", "dispatched_at": None}
            if await job_table.move(connection, row, decide, **columns) is None:
                return None
            return run_of(await job_table.get(connection, job))

        return await self._write(write)

    async def finish(
        self,
        job: str,
        attempt: int,
        state: JobState,
        *,
        report: BlobReference | None = None,
        level: str = "",
        exit_status: int | None = None,
        passed: int = 0,
        not_passed: int = 0,
        detail: str = "",
        result: JobResult | None = None,
    ) -> bool:
        """Note how the job ended: ``True`` exactly once per job, ``False`` for duplicates and stale attempts."""

        async def write(connection: AsyncConnection) -> bool:
            row = await job_table.find(connection, job, lock=True)
            decide = partial(transitions.finish, attempt=attempt, state=state)
            columns = {
                "finished": self._clock(),
                "report": encode(report) if report else None,
                "level": level[:32],
                "exit_status": exit_status,
                "passed": passed,
                "not_passed": not_passed,
                "detail": detail[:4096],
                "result": encode(result) if result else None,
            }
            return await job_table.move(connection, row, decide, **columns) is not None

        return await self._write(write)

    async def request_cancel(self, job: str, reason: str = "") -> JobState:
        """End a queued job now, or note that a running one is to be cancelled; returns the state after that.

        ``NoSuchJob`` when there is none of that id. A job that has ended stays as it is.
        """

        async def write(connection: AsyncConnection) -> JobState:
            row = await job_table.get(connection, job, lock=True)
            columns: dict[str, object] = {"cancel_reason": reason[:4096]}
            if standing_of(row).state is JobState.QUEUED:
                columns |= {"finished": self._clock(), "detail": reason[:4096]}
            await job_table.move(connection, row, transitions.cancel, **columns)
            return standing_of(await job_table.get(connection, job)).state

        return await self._write(write)

    async def cancel_requests(self, *, master: str | None = None) -> list[CancelRequest]:
        """Return running jobs that are to be cancelled: tell their slaves, and again after a restart."""
        rows = await self._read(lambda connection: job_table.cancelling(connection, master))
        return [
            CancelRequest(job=row.job, attempt=row.attempt, slave=row.slave, reason=row.cancel_reason) for row in rows
        ]

    async def report_reference(self, job: str) -> BlobReference | None:
        """Where the job's report lies, or ``None`` while there is none; ``NoSuchJob`` when there is no such job."""
        row = await self._read(lambda connection: job_table.get(connection, job))
        return decode(BlobReference, row.report, f"job {job}") if row.report else None

    async def slave_seen(self, presence: SlavePresence) -> None:
        """Keep a slave's presence, unless a newer one is known."""
        await self._write(lambda connection: feed_table.note_slave(connection, presence))

    async def slaves(self) -> list[SlavePresence]:
        """Return the last presence of every slave that was ever heard of, by name."""
        return await self._read(feed_table.slave_presences)

    async def cursor(self, feed: str, project: str) -> str | None:
        """How far the feed has read the project, or ``None`` before the first time."""
        return await self._read(lambda connection: feed_table.cursor(connection, feed, project))

    async def seen(self, feed: str, project: str) -> set[str]:
        """Return the names of the files that the feed has met for the project."""
        return await self._read(lambda connection: feed_table.seen(connection, feed, project))

    async def _held(self, job: str, attempt: int, slave: str, lease_until: float, **columns: str) -> bool:
        async def write(connection: AsyncConnection) -> bool:
            row = await job_table.find(connection, job, lock=True)
            decide = partial(
                transitions.accept, attempt=attempt, slave=slave[:200], lease_until=lease_until, now=self._clock()
            )
            return await job_table.move(connection, row, decide, **columns) is not None

        return await self._write(write)

    async def _read(self, work: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
        with database_errors(self._name):
            async with self._engine.connect() as connection:
                return await work(connection)

    async def _write(self, work: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
        """Run ``work`` in one transaction, anew when another master wrote the same rows at the same moment."""
        with database_errors(self._name):
            for _ in range(CONFLICTS):
                try:
                    async with self._writing.begin() as connection:
                        return await work(connection)
                except IntegrityError as error:
                    conflict: DBAPIError = error
                except DBAPIError as error:
                    # PostgreSQL: serialization failure and deadlock, both cured by another try
                    if getattr(error.orig, "sqlstate", None) not in {"40001", "40P01"}:
                        raise
                    conflict = error
        raise StoreError(
            f"the database {self._name} refused the same change {CONFLICTS} times: {conflict.orig}",
            remedy="Look for other programs that write to it.",
        )


async def _map(function: Callable[[Result], JobRecord], found: Awaitable[Result]) -> JobRecord:
    return function(await found)
