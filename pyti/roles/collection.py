"""Raw data on its way from a slave's spool folder into the blob store."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pyti.messages import INLINE_LIMIT, BlobReference, RawDataSet
from pyti.rawdata.contract import MAX_FILES
from pyti.store import Blobs

__all__ = ["RECORDS", "store_raw_data"]

RECORDS = "records.jsonl"
CONCURRENCY = 4
"""Files hashed and stored at once: more gains nothing on one disk."""

_MEDIA_TYPES = {
    ".jsonl": "application/jsonl",
    ".stdout": "text/plain",
    ".stderr": "text/plain",
    ".strace": "text/plain",
}


async def store_raw_data(spool: Path, blobs: Blobs) -> RawDataSet:
    """Store every file below ``spool`` and return where each is, by its path in the outbox.

    The records ride inline when they are UTF-8 and no longer than ``INLINE_LIMIT``. A spool that does not exist (no
    guest was reached) gives an empty set.
    """
    paths = await asyncio.to_thread(_files, spool)
    places = asyncio.Semaphore(CONCURRENCY)

    async def store(path: Path) -> tuple[str, BlobReference]:
        async with places:
            media_type = _MEDIA_TYPES.get(path.suffix, "application/octet-stream")
            return path.relative_to(spool).as_posix(), await blobs.put_file(path, media_type)

    inline: str | None = None
    kept = []
    for path in paths[:MAX_FILES]:
        if path == spool / RECORDS and path.stat().st_size <= INLINE_LIMIT:
            inline = await asyncio.to_thread(_text, path)
            if inline is not None:
                continue
        kept.append(path)
    async with asyncio.TaskGroup() as group:
        stored = [group.create_task(store(path)) for path in kept]
    return RawDataSet(records=inline, files=dict(task.result() for task in stored), truncated=len(paths) > MAX_FILES)


def _files(spool: Path) -> list[Path]:
    return sorted(path for path in spool.rglob("*") if path.is_file() and not path.is_symlink())


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None
