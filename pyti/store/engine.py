"""One way to reach a database: an engine whose transactions behave alike on SQLite and PostgreSQL.

On SQLite: write-ahead log, foreign keys, a busy timeout, and transactions that write take the write lock when they
begin, so that a busy database makes them wait rather than fail half-way.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, InvalidRequestError, NoSuchModuleError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from pyti.errors import ConfigError, OutOfSpace, StoreError

__all__ = ["OpeningLock", "database_file", "make_engine", "opening_lock", "shown", "writing"]

POOL_SIZE = 4
"""Connections for reading beside a writer; SQLite has one writer at a time anyway."""


def shown(url: URL) -> str:
    """How messages call the database: its file, or its URL without the password."""
    return str(url.database) if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)


def database_file(url: URL) -> Path | None:
    """Return the file of an SQLite database, or ``None`` for a database server."""
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def make_engine(
    database_url: str, *, busy_timeout_s: float = 30.0, synchronous: Literal["NORMAL", "FULL"] = "FULL"
) -> AsyncEngine:
    """Return an engine for ``database_url``, an SQLAlchemy URL with an async driver.

    ``busy_timeout_s`` bounds each wait for another writer. ``ConfigError`` for a URL that cannot work.
    """
    remedy = "Set [store] url to an SQLAlchemy URL with an async driver, as docs/reference/settings.md shows."
    try:
        url = make_url(database_url)
        if url.get_backend_name() != "sqlite":
            return create_async_engine(url, pool_size=POOL_SIZE, pool_pre_ping=True, pool_timeout=busy_timeout_s)
        if url.database in {None, "", ":memory:"} or "memory" in url.query.get("mode", ""):
            raise ConfigError(f"the database {database_url} would live in memory and lose its jobs", remedy=remedy)
        engine = create_async_engine(
            url,
            pool_size=POOL_SIZE,
            pool_timeout=busy_timeout_s,
            connect_args={"timeout": busy_timeout_s, "isolation_level": None},
        )
    except (ArgumentError, NoSuchModuleError, InvalidRequestError, ModuleNotFoundError) as error:
        raise ConfigError(
            f"the database URL {_redacted(database_url)} cannot be used: {error}", remedy=remedy
        ) from error

    def connected(connection: Any, record: object) -> None:  # noqa: ARG001 - the event's signature
        cursor = connection.cursor()
        for pragma in ("foreign_keys=ON", f"synchronous={synchronous}"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def began(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("pyti_writing", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    event.listen(engine.sync_engine, "connect", connected)
    event.listen(engine.sync_engine, "begin", began)
    return engine


def writing(engine: AsyncEngine) -> AsyncEngine:
    """Return the same engine (and pool) for transactions that write."""
    return engine.execution_options(pyti_writing=True)


class OpeningLock:
    """A lock file that keeps two processes from creating or migrating the same SQLite database at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1

    def try_take(self) -> bool:
        """Take the lock if it is free; the kernel gives it back when the process dies."""
        try:
            if self._descriptor < 0:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise OutOfSpace(
                    f"no space for the lock file {self.path}", remedy="Free space on its disk, then go on."
                ) from error
            raise StoreError(
                f"the lock file {self.path} cannot be used: {error.strerror}",
                remedy="Check the folder's owner and permissions.",
            ) from error
        return True

    def give_back(self) -> None:
        """Give the lock back; the file stays, since removing it would let two processes hold two locks."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


@asynccontextmanager
async def opening_lock(path: Path, limit_s: float) -> AsyncIterator[None]:
    """Hold the lock file ``path``; ``StoreError`` when others hold it for longer than ``limit_s``."""
    lock = OpeningLock(path)
    try:
        async with asyncio.timeout(limit_s):
            while not lock.try_take():  # noqa: ASYNC110 - the holder is another process, which sets no event here
                await asyncio.sleep(0.02)
    except TimeoutError as error:
        lock.give_back()
        raise StoreError(
            f"another process has held {path} for {limit_s:g} s",
            remedy="Look for a PyTI process that hangs while it opens this database, and end it.",
        ) from error
    except BaseException:
        lock.give_back()
        raise
    try:
        yield
    finally:
        lock.give_back()


def _redacted(database_url: str) -> str:
    try:
        return make_url(database_url).render_as_string(hide_password=True)
    except ArgumentError:
        return f"of {len(database_url)} characters"
