"""What a database driver raises, told as PyTI's errors with a remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from pyti.errors import OutOfSpace, PytiError, StoreError

__all__ = ["database_errors", "translate"]


def translate(error: BaseException, name: str) -> PytiError:
    """Return the error to raise for ``error``, which came from the database ``name`` (no password in it).

    SQLite's codes: sqlite.org/rescode.html; SQLSTATE classes: PostgreSQL's appendix A.
    """
    origin = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    code = _sqlite_code(origin)
    state = str(getattr(origin, "sqlstate", None) or "")
    if code == "SQLITE_FULL" or state == "53100":
        return OutOfSpace(f"the database {name} cannot grow: {origin}", remedy="Free space on its disk, then go on.")
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) or state == "55P03" or isinstance(error, PoolTimeout):
        return StoreError(
            f"the database {name} was locked by others for too long: {origin}",
            remedy="Look for a PyTI process that hangs with this database open, end it, and try again.",
        )
    if code.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return StoreError(
            f"the database {name} is damaged: {origin}",
            remedy="Move the file and its -wal and -shm files away, or put a backup in their place.",
        )
    if code.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH")):
        return StoreError(
            f"the database {name} cannot be opened for writing: {origin}",
            remedy="Check the file's and its folder's owner and permissions, or set [store] url.",
        )
    return StoreError(f"the database {name} failed: {origin}", remedy="Check that it can be reached, then try again.")


@contextmanager
def database_errors(name: str) -> Iterator[None]:
    """Raise ``StoreError`` or ``OutOfSpace`` in place of whatever SQLAlchemy or its driver raises inside."""
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        raise translate(error, name) from error


def _sqlite_code(error: BaseException) -> str:
    """Return the name of SQLite's extended result code, or an empty string; drivers chain the original error."""
    seen: BaseException | None = error
    for _ in range(4):
        if seen is None:
            break
        if name := getattr(seen, "sqlite_errorname", None):
            return str(name)
        seen = seen.__cause__
    return ""
