"""Locks between processes: ``flock`` on a file, released by the kernel when the holder dies, however it dies."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pyti.errors import TimeLimitExceeded

__all__ = ["FileLock", "locked"]

POLL_S = 0.1
"""Between two tries; ``flock`` has no wait with a limit, and nobody notices a tenth of a second in a build."""


class FileLock:
    """One ``flock``; ``acquire`` never blocks, and two objects exclude each other even within one process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self, *, shared: bool = False) -> bool:
        """Take the lock if it is free; tells whether it was. A lock file that was removed meanwhile is made anew."""
        if self._descriptor is not None:
            return True
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return False
            if self._is_current(descriptor):
                self._descriptor = descriptor
                return True
            os.close(descriptor)

    def release(self, *, remove: bool = False) -> None:
        """Give the lock back; ``remove`` deletes its file first, while it is still held."""
        if self._descriptor is None:
            return
        if remove:
            self.path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._descriptor is not None

    def _is_current(self, descriptor: int) -> bool:
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return False
        mine = os.fstat(descriptor)
        return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)


@asynccontextmanager
async def locked(path: Path, *, limit_s: float, what: str) -> AsyncIterator[None]:
    """Hold the lock at ``path``; raises ``TimeLimitExceeded`` naming ``what`` after ``limit_s`` seconds."""
    lock = FileLock(path)
    try:
        async with asyncio.timeout(limit_s):
            while not lock.acquire():  # noqa: ASYNC110 (another process sets no event of ours)
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise TimeLimitExceeded(
            f"another process has been busy with {what} for more than {limit_s:.0f} s",
            remedy=f"Wait for it or end it; it holds {path}.",
        ) from None
    try:
        yield
    finally:
        lock.release()
