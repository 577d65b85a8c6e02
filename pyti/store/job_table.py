"""The statements on the job table; each takes a connection whose transaction the caller has begun.

Every change goes through ``move``, which asks ``pyti.store.job_state`` what may happen and writes that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Row, and_, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from pyti.errors import NoSuchJob, StoreError
from pyti.messages import JobRun, JobState
from pyti.store.job_state import Standing
from pyti.store.records import decode, encode, standing_columns, standing_of
from pyti.store.tables import jobs

__all__ = ["add", "cancelling", "expired", "find", "get", "listed", "move", "pending", "stalled"]


async def add(connection: AsyncConnection, run: JobRun, feed: str) -> bool:
    """Store a queued job; ``False`` when the very same job is stored already.

    ``StoreError`` when another job has the id.
    """
    known = await find(connection, run.job)
    if known is not None:
        if decode(JobRun, known.run, f"job {run.job}") != run:
            raise StoreError(f"another job has the id {run.job} already", remedy="Give each job an id of its own.")
        return False
    await connection.execute(
        insert(jobs).values(
            **standing_columns(Standing(attempt=run.attempt)),
            job=run.job,
            master=run.master,
            feed=feed,
            cancel_reason="",
            step="",
            task="",
            machine="",
            level="",
            passed=0,
            not_passed=0,
            detail="",
            run=encode(run),
        )
    )
    return True


async def find(connection: AsyncConnection, job: str, *, lock: bool = False) -> Row[Any] | None:
    """Return the job's row, or ``None``; with ``lock`` nobody else changes it before the transaction ends."""
    query = select(jobs).where(jobs.c.job == job)
    return (await connection.execute(query.with_for_update() if lock else query)).one_or_none()


async def get(connection: AsyncConnection, job: str, *, lock: bool = False) -> Row[Any]:
    """Return the job's row; ``NoSuchJob`` when there is none."""
    row = await find(connection, job, lock=lock)
    if row is None:
        raise NoSuchJob(f"there is no job {job!r}", remedy="`pyti jobs` lists the jobs that there are.")
    return row


async def move(
    connection: AsyncConnection,
    row: Row[Any] | None,
    decide: Callable[[Standing], Standing | None],
    **columns: Any,
) -> Standing | None:
    """Write the standing that ``decide`` makes of the row's, and ``columns`` with it; ``None`` when it refuses.

    The update compares state and attempt once more, so it is safe even where rows cannot be locked.
    """
    if row is None:
        return None
    before = standing_of(row)
    after = decide(before)
    if after is None:
        return None
    written = await connection.execute(
        update(jobs)
        .where(and_(jobs.c.job == row.job, jobs.c.state == before.state.value, jobs.c.attempt == before.attempt))
        .values(**standing_columns(after), **columns)
    )
    return after if written.rowcount == 1 else None


async def listed(connection: AsyncConnection, limit: int, state: JobState | None) -> Sequence[Row[Any]]:
    """Return the newest rows first."""
    query = select(jobs).order_by(jobs.c.sequence.desc()).limit(limit)
    if state is not None:
        query = query.where(jobs.c.state == state.value)
    return (await connection.execute(query)).all()


async def pending(connection: AsyncConnection, master: str | None, limit: int) -> Sequence[Row[Any]]:
    """Queued rows whose current attempt the bus has not confirmed, oldest first."""
    query = (
        select(jobs)
        .where(and_(jobs.c.state == JobState.QUEUED.value, jobs.c.dispatched < jobs.c.attempt))
        .order_by(jobs.c.sequence)
        .limit(limit)
    )
    return (await connection.execute(_of(master, query))).all()


async def stalled(connection: AsyncConnection, master: str | None, before: float) -> Sequence[Row[Any]]:
    """Queued rows that the bus confirmed before ``before`` (Unix time) and no slave has accepted, oldest first."""
    query = (
        select(jobs)
        .where(
            and_(
                jobs.c.state == JobState.QUEUED.value,
                jobs.c.dispatched == jobs.c.attempt,
                jobs.c.dispatched_at < before,
            )
        )
        .order_by(jobs.c.sequence)
    )
    return (await connection.execute(_of(master, query))).all()


async def expired(connection: AsyncConnection, master: str | None, now: float) -> Sequence[Row[Any]]:
    """Return running rows whose lease has run out, longest ago first."""
    query = (
        select(jobs)
        .where(and_(jobs.c.state == JobState.RUNNING.value, jobs.c.lease_until <= now))
        .order_by(jobs.c.lease_until, jobs.c.sequence)
    )
    return (await connection.execute(_of(master, query))).all()


async def cancelling(connection: AsyncConnection, master: str | None) -> Sequence[Row[Any]]:
    """Return running rows that somebody asked to end, oldest first."""
    query = (
        select(jobs)
        .where(and_(jobs.c.state == JobState.RUNNING.value, jobs.c.cancelling.is_(True)))
        .order_by(jobs.c.sequence)
    )
    return (await connection.execute(_of(master, query))).all()


def _of(master: str | None, query: Any) -> Any:
    return query if master is None else query.where(jobs.c.master == master)
