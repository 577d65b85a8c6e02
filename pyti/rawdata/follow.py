"""Follows one outbox: frames into the spool folder, records out, over as many connections as it takes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import BinaryIO, Protocol, Self

import asyncssh
import msgspec

from pyti.errors import GuestMisbehaved, GuestUnreachable, TimeLimitExceeded
from pyti.rawdata.contract import RawRecord
from pyti.rawdata.frames import Frame, FrameDecoder
from pyti.rawdata.records import RecordDecoder

__all__ = ["RECONNECTS", "Reader", "Writer", "follow_outbox"]

RECORDS = "records.jsonl"
READ = 256 * 1024
RECONNECTS = 5
"""Connections in a row that bring nothing before the guest counts as gone."""
OPEN_S = 30.0
"""One attempt to reach the outbox."""


class Reader(Protocol):
    """The incoming half of a byte stream."""

    async def read(self, n: int = -1, /) -> bytes:
        """Up to ``n`` bytes, none at the end."""


class Writer(Protocol):
    """The outgoing half of a byte stream."""

    def write(self, data: bytes, /) -> None:
        """Send."""

    def close(self) -> None:
        """Close both halves."""


Open = Callable[[float], Awaitable[tuple[Reader, Writer]]]
"""Opens a stream to the guest's outbox within a time, or raises ``GuestUnreachable``."""


async def follow_outbox(
    connect: Open, job: str, attempt: int, spool: Path, timeout_s: float
) -> AsyncGenerator[RawRecord, None]:
    """Yield the records of ``job`` while its files grow below ``spool``.

    Raises ``GuestMisbehaved``, ``GuestUnreachable`` or, after ``timeout_s``, ``TimeLimitExceeded``.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    records = RecordDecoder(job, attempt)
    frames = FrameDecoder()
    fruitless = 0
    with _Spool(spool) as files:
        while not frames.ended:
            had = sum(frames.received.values())
            frames = FrameDecoder(frames.received)
            try:
                async with contextlib.aclosing(_read(connect, job, frames, deadline)) as pieces:
                    async for piece in pieces:
                        for frame in frames.feed(piece):
                            await asyncio.to_thread(files.write, frame)
                            if frame.path == RECORDS:
                                for record in records.feed(frame.content):
                                    yield record
            except GuestUnreachable:
                if fruitless >= RECONNECTS:
                    raise
            fruitless = 0 if sum(frames.received.values()) > had else fruitless + 1
            if not frames.ended and fruitless > RECONNECTS:
                raise GuestUnreachable(f"the guest broke off {fruitless} times without sending anything")
    if records.incomplete or not records.finished:
        raise GuestMisbehaved("the guest said that everything was sent, but its last record is missing")


async def _read(connect: Open, job: str, frames: FrameDecoder, deadline: float) -> AsyncGenerator[bytes, None]:
    """Yield what one connection brings, until its end; every wait ends at the deadline."""
    loop = asyncio.get_running_loop()
    reader, writer = await connect(max(0.1, min(OPEN_S, deadline - loop.time())))
    try:
        writer.write(msgspec.json.encode({"job": job, "offsets": dict(frames.received)}) + b"\n")
        while not frames.ended:
            try:
                async with asyncio.timeout_at(deadline):
                    piece = await reader.read(READ)
            except TimeoutError as error:
                raise TimeLimitExceeded(
                    "the job did not finish in time: the guest still had not sent its end"
                ) from error
            if not piece:
                return
            yield piece
    except (asyncssh.Error, OSError) as error:
        raise GuestUnreachable(f"the stream from the guest broke: {error}") from error
    finally:
        writer.close()


class _Spool:
    """The folder that a guest's files grow in; at most as many open files as the decoder lets pass."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, BinaryIO] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    def write(self, frame: Frame) -> None:
        """Append a frame to its file."""
        file = self._files.get(frame.path)
        if file is None:
            path = self._folder / frame.path
            path.parent.mkdir(parents=True, exist_ok=True)
            file = self._files[frame.path] = path.open("wb", buffering=0)
        file.write(frame.content)
