"""Each way in which a database fails is told with what to do about it."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest
from sqlalchemy.exc import OperationalError

from pyti.errors import OutOfSpace, StoreError
from pyti.store import Store
from pyti.store.database_errors import translate
from pyti.store.engine import database_file, make_engine


def raised_by_sqlite(name: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(f"told by {name}")
    error.sqlite_errorname = name
    return error


@pytest.mark.parametrize(
    ("code", "kind", "says", "remedy"),
    [
        ("SQLITE_FULL", OutOfSpace, "cannot grow", "Free space"),
        ("SQLITE_BUSY", StoreError, "locked by others", "hangs"),
        ("SQLITE_BUSY_SNAPSHOT", StoreError, "locked by others", "hangs"),
        ("SQLITE_CORRUPT_VTAB", StoreError, "is damaged", "backup"),
        ("SQLITE_NOTADB", StoreError, "is damaged", "backup"),
        ("SQLITE_READONLY_DBMOVED", StoreError, "for writing", "permissions"),
        ("SQLITE_CANTOPEN", StoreError, "for writing", "permissions"),
        ("SQLITE_ERROR", StoreError, "failed", "try again"),
    ],
)
def test_sqlite_codes(code: str, kind: type, says: str, remedy: str) -> None:
    told = translate(OperationalError("SELECT 1", {}, raised_by_sqlite(code)), "here.sqlite")
    assert type(told) is kind
    assert says in told.message
    assert "here.sqlite" in told.message
    assert remedy in told.remedy


@pytest.mark.parametrize(("state", "kind"), [("53100", OutOfSpace), ("55P03", StoreError), ("08006", StoreError)])
def test_sql_states(state: str, kind: type) -> None:
    origin = Exception("told by the server")
    origin.sqlstate = state  # type: ignore[attr-defined]
    assert type(translate(OperationalError("SELECT 1", {}, origin), "server")) is kind


def test_a_driver_that_wraps_the_original_error_is_seen_through() -> None:
    wrapper = Exception("wrapped")
    wrapper.__cause__ = raised_by_sqlite("SQLITE_FULL")
    assert type(translate(OperationalError("SELECT 1", {}, wrapper), "here")) is OutOfSpace


async def test_a_database_that_another_process_keeps_locked(database_url: str, make_job) -> None:
    async with Store.open(database_url) as store:
        await store.add_jobs([make_job()])
    file = database_file(make_engine(database_url).url)
    async with Store.open(database_url, busy_timeout_s=0.1) as store:
        holder = sqlite3.connect(str(file), isolation_level=None)
        try:
            holder.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="locked by others for too long") as caught:
                await store.add_jobs([make_job()])
            assert "end it" in caught.value.remedy
            assert len(await store.jobs()) == 1  # readers are not held up
            holder.execute("ROLLBACK")
            assert len(await store.add_jobs([make_job()])) == 1
        finally:
            holder.close()


async def test_a_writer_waits_for_another_one(database_url: str, make_job) -> None:
    async with Store.open(database_url, busy_timeout_s=20) as store:
        holder = sqlite3.connect(str(database_file(make_engine(database_url).url)), isolation_level=None)
        try:
            holder.execute("BEGIN IMMEDIATE")
            waiting = asyncio.create_task(store.add_jobs([make_job()]))
            done, _ = await asyncio.wait({waiting}, timeout=0.1)
            assert not done
            holder.execute("COMMIT")
            assert len(await waiting) == 1
        finally:
            holder.close()


async def test_a_database_that_cannot_grow(database_url: str, make_job) -> None:
    async with Store.open(database_url) as store:
        await store.add_jobs([make_job()])
        async with store._engine.connect() as connection:
            await connection.exec_driver_sql("PRAGMA max_page_count=1")

        async def fill() -> None:
            for _ in range(50):
                await store.add_jobs([make_job("x" * 200) for _ in range(20)])

        with pytest.raises(OutOfSpace, match="cannot grow"):
            await fill()
        assert len(await store.jobs(1000)) >= 1
