"""A slave's own journal: what it has taken from the bus and not yet handed over, so that a crash loses nothing.

The slave journals a job before it acknowledges the delivery, and a result before it publishes it. After a crash
``pending`` tells which jobs it had begun, and ``unsent`` which results the master has not confirmed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    Column,
    Double,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    Text,
    and_,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from pyti.errors import StoreError
from pyti.messages import JobResult, JobRun
from pyti.store.database_errors import database_errors
from pyti.store.engine import make_engine, opening_lock, writing
from pyti.store.records import decode, encode
from pyti.store.store import Clock

__all__ = ["Acceptance", "Journal"]

Result = TypeVar("Result")

FORMAT = 1
"""SQLite's ``user_version`` of a journal that this module reads."""

REMEMBERED = 1000
"""Jobs handed over that are kept in mind, so that a late redelivery is known; far more than a slave's queue holds."""

metadata = MetaData()
entries = Table(
    "entries",
    metadata,
    Column("sequence", Integer, primary_key=True, autoincrement=True),
    Column("job", String(64), nullable=False, unique=True),
    Column("attempt", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("run", Text, nullable=False),
    Column("result", Text),
    Column("at", Double, nullable=False),
)


class Acceptance(StrEnum):
    """What a delivery is, as the journal knows."""

    NEW = "new"
    """Journaled now: run it."""
    RUNNING = "running"
    """A redelivery of a job that is journaled and has not ended."""
    FINISHED = "finished"
    """A redelivery of a job that has ended; its result is on its way or was confirmed."""
    STALE = "stale"
    """An attempt older than one that this slave knows."""


class _State(StrEnum):
    ACCEPTED = "accepted"
    UNSENT = "unsent"
    OVER = "over"


class Journal:
    """A small SQLite file that survives a power cut; open one with ``Journal.open``.

    Methods raise ``StoreError`` when the file fails and ``OutOfSpace`` when it cannot grow. The newest attempt
    of a job replaces older ones, whose results would be refused anyway.
    """

    def __init__(self, engine: AsyncEngine, name: str, clock: Clock) -> None:
        self._engine = writing(engine)
        self._name = name
        self._clock = clock

    @classmethod
    @asynccontextmanager
    async def open(
        cls, path: Path, *, clock: Clock = time.time, busy_timeout_s: float = 30.0
    ) -> AsyncIterator[Journal]:
        """Open the journal file, making it when absent; ``StoreError`` for a damaged one or one of a newer PyTI."""
        url = URL.create("sqlite+aiosqlite", database=str(path)).render_as_string(hide_password=False)
        engine = make_engine(url, busy_timeout_s=busy_timeout_s, synchronous="FULL")
        try:
            with database_errors(str(path)):
                await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
            async with opening_lock(path.with_name(f"{path.name}.lock"), busy_timeout_s):
                with database_errors(str(path)):
                    async with writing(engine).begin() as connection:
                        await _prepare(connection, path)
            yield cls(engine, str(path), clock)
        finally:
            await engine.dispose()

    async def accept(self, run: JobRun) -> Acceptance:
        """Journal a delivered job; once this returns the delivery may be acknowledged."""

        async def write(connection: AsyncConnection) -> Acceptance:
            known = (await connection.execute(select(entries).where(entries.c.job == run.job))).one_or_none()
            if known is not None and known.attempt > run.attempt:
                return Acceptance.STALE
            if known is not None and known.attempt == run.attempt:
                return Acceptance.RUNNING if known.state == _State.ACCEPTED else Acceptance.FINISHED
            await connection.execute(delete(entries).where(entries.c.job == run.job))
            values = {"job": run.job, "attempt": run.attempt, "run": encode(run), "at": self._clock()}
            await connection.execute(insert(entries).values(state=_State.ACCEPTED.value, **values))
            return Acceptance.NEW

        return await self._write(write)

    async def pending(self) -> list[JobRun]:
        """Return the jobs that are journaled and have no result, in the order of their acceptance."""
        where = f"the journal {self._name}"
        return [decode(JobRun, row.run, where) for row in await self._rows(_State.ACCEPTED)]

    async def keep_result(self, result: JobResult) -> None:
        """Journal a result before it is published; its job is no longer pending, in the same transaction.

        A result of an attempt that a newer one has replaced is not kept, and neither is one confirmed before.
        """

        async def write(connection: AsyncConnection) -> None:
            where = and_(
                entries.c.job == result.job,
                entries.c.attempt == result.attempt,
                entries.c.state != _State.OVER.value,
            )
            await connection.execute(
                update(entries).where(where).values(state=_State.UNSENT.value, result=encode(result))
            )

        await self._write(write)

    async def unsent(self) -> list[tuple[str, JobResult]]:
        """Return (master, result) for each result that is not confirmed, in the order of the jobs' acceptance."""
        where = f"the journal {self._name}"
        return [
            (decode(JobRun, row.run, where).master, decode(JobResult, row.result, where))
            for row in await self._rows(_State.UNSENT)
        ]

    async def sent(self, job: str, attempt: int) -> None:
        """Note that the bus has confirmed the result."""
        await self._over(job, attempt, _State.ACCEPTED, _State.UNSENT)

    async def finished(self, job: str, attempt: int) -> None:
        """Note that the attempt is not pending any more; a result that waits to be sent goes on waiting."""
        await self._over(job, attempt, _State.ACCEPTED)

    async def _over(self, job: str, attempt: int, *states: _State) -> None:
        async def write(connection: AsyncConnection) -> None:
            await connection.execute(
                update(entries)
                .where(and_(entries.c.job == job, entries.c.attempt == attempt, entries.c.state.in_(states)))
                .values(state=_State.OVER.value, result=None, at=self._clock())
            )
            over = select(entries.c.sequence).where(entries.c.state == _State.OVER.value)
            newest = over.order_by(entries.c.at.desc(), entries.c.sequence.desc())
            if forgotten := (await connection.execute(newest)).scalars().all()[REMEMBERED:]:
                await connection.execute(delete(entries).where(entries.c.sequence.in_(forgotten)))

        await self._write(write)

    async def _rows(self, state: _State) -> Sequence[Row[Any]]:
        query = select(entries).where(entries.c.state == state.value).order_by(entries.c.sequence)

        async def read(connection: AsyncConnection) -> Sequence[Row[Any]]:
            return (await connection.execute(query)).all()

        return await self._write(read)

    async def _write(self, work: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
        with database_errors(self._name):
            async with self._engine.begin() as connection:
                return await work(connection)


async def _prepare(connection: AsyncConnection, path: Path) -> None:
    version = (await connection.exec_driver_sql("PRAGMA user_version")).scalar() or 0
    if version > FORMAT:
        raise StoreError(
            f"the journal {path} was written by a newer PyTI (format {version}, this one knows {FORMAT})",
            remedy="Upgrade PyTI here; the journal may hold results that nobody else has.",
        )
    if version < FORMAT:
        await connection.run_sync(metadata.create_all)
        await connection.exec_driver_sql(f"PRAGMA user_version={FORMAT}")
