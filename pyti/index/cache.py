"""The content-addressed cache of downloads: where files lie, and locks that hold across processes."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from pyti.errors import TimeLimitExceeded

__all__ = ["FileCache", "digest_file"]

CHUNK = 1024 * 1024
LOCK_POLL_S = 0.05
IN_USE_S = 3600.0
"""What was handed out within the last hour may be in use by a job, and is not pruned."""


def digest_file(path: Path) -> str:
    """Compute a file's sha256 in hexadecimal; reads it all, so call it in a thread."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class FileCache:
    """``files/<first two digits>/<sha256>/<filename>``, with ``partial/`` and ``locks/`` beside it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    def path(self, sha256: str, filename: str) -> Path:
        """Tell where a file lies or will lie; its folder's name is its sha256."""
        return self.root / "files" / sha256[:2] / sha256 / filename

    def partial(self, key: str) -> Path:
        """Tell where an unfinished download lies."""
        return self.root / "partial" / f"{key}.part"

    def look_up(self, sha256: str, filename: str, size: int | None) -> Path | None:
        """Find a file by its digest and cheaply check it: a regular file of the right size. Marks it as used."""
        path = self.path(sha256, filename)
        try:
            found = path.stat()
        except OSError:
            return None
        if path.is_symlink() or not path.is_file() or (size is not None and found.st_size != size):
            return None
        os.utime(path)
        return path

    def place(self, partial: Path, sha256: str, filename: str) -> Path:
        """Move a finished, verified download to its place, atomically, and make it last."""
        path = self.path(sha256, filename)
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
        path.chmod(0o444)
        os.utime(path)
        return path

    def verify(self, path: Path) -> bool:
        """Compute the digest of a cached file again; one that is damaged is removed. Call it in a thread."""
        if digest_file(path) == path.parent.name:
            return True
        path.unlink(missing_ok=True)
        return False

    @asynccontextmanager
    async def lock(self, key: str, *, limit_s: float) -> AsyncIterator[None]:
        """Hold ``key`` alone, among the tasks of this process and among processes.

        Raises ``TimeLimitExceeded`` when another holds it for longer than ``limit_s``.
        """
        own, users = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = (own, users + 1)
        try:
            async with asyncio.timeout(limit_s), own:
                handle = await self._lock_file(key)
        except TimeoutError as error:
            raise TimeLimitExceeded(
                f"another download of the same file has not ended within {limit_s:g} s.",
                remedy="Look for a hanging pyti process.",
            ) from error
        finally:
            self._forget(key)
        try:
            yield
        finally:
            os.close(handle)

    async def _lock_file(self, key: str) -> int:
        path = self.root / "locks" / f"{key}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Pruning unlinks lock files: a lock on one that is gone excludes nobody.
                if os.fstat(handle).st_nlink:
                    return handle
            except BlockingIOError:
                pass
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)
            await asyncio.sleep(LOCK_POLL_S)

    def _forget(self, key: str) -> None:
        own, users = self._locks[key]
        if users > 1:
            self._locks[key] = (own, users - 1)
        else:
            del self._locks[key]

    def prune(self, max_bytes: int, *, now: float | None = None, in_use_s: float = IN_USE_S) -> int:
        """Remove the files unused for longest until all together are at most ``max_bytes``; tell the bytes removed.

        Files used within ``in_use_s`` seconds stay. Unfinished downloads older than that go first. Call it in a thread.
        """
        oldest_kept = (time.time() if now is None else now) - in_use_s
        entries: list[tuple[float, int, Path]] = []
        removed = 0
        for folder, pattern in (("partial", "*"), ("files", "*/*/*")):
            for path in (self.root / folder).glob(pattern):
                try:
                    status = path.stat()
                except FileNotFoundError:
                    continue
                if folder == "partial" and status.st_mtime < oldest_kept:
                    path.unlink(missing_ok=True)
                    removed += status.st_size
                else:
                    entries.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in entries)
        for used, size, path in sorted(entries):
            if total <= max_bytes or used >= oldest_kept:
                break
            path.unlink(missing_ok=True)
            if path.parent.parent.parent.name == "files":
                with suppress(OSError):  # another name of the same bytes lies there
                    path.parent.rmdir()
            total -= size
            removed += size
        return removed
