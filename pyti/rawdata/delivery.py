"""What a slave sends into a guest's inbox, as one tar stream that is written on the fly."""

from __future__ import annotations

import asyncio
import re
import tarfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import msgspec

from pyti.errors import InfrastructureError, UsageError
from pyti.rawdata.contract import GuestJob

__all__ = ["JOB_MEMBER", "check_names", "tar_stream"]

JOB_MEMBER = ".job.json"
"""The name under which ``job.json`` travels; the last act of a delivery renames it."""
CHUNK = 256 * 1024
_NAME = re.compile(r"(?:dist|wheelhouse)/[A-Za-z0-9][A-Za-z0-9._+!-]{0,254}")


def check_names(job: GuestJob, files: Mapping[str, Path]) -> None:
    """Refuse names that the contract does not know, and a job whose distribution is not among the files."""
    for name in files:
        if not _NAME.fullmatch(name):
            raise UsageError(f"no inbox may hold {name!r}")
    if f"dist/{job.dist.filename}" not in files:
        raise UsageError(f"the distribution {job.dist.filename} is not among the files to deliver")


async def tar_stream(job: GuestJob, files: Mapping[str, Path]) -> AsyncIterator[bytes]:
    """The files, then the job, as pieces of one tar archive; a file is read as far as its size said at first."""
    for name, path in files.items():
        with await asyncio.to_thread(path.open, "rb") as file:
            size = (await asyncio.to_thread(path.stat)).st_size
            yield _header(name, size)
            left = size
            while left:
                piece = await asyncio.to_thread(file.read, min(CHUNK, left))
                if not piece:
                    raise InfrastructureError(f"{path} became shorter while it was delivered")
                left -= len(piece)
                yield piece
            yield _padding(size)
    content = msgspec.json.encode(job)
    yield _header(JOB_MEMBER, len(content)) + content + _padding(len(content))
    yield bytes(2 * tarfile.BLOCKSIZE)


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = size
    member.mode = 0o644
    return member.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)
