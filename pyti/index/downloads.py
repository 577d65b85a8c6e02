"""Verified downloads: each file once, resumed where it broke off, and never in its place before its hash is right."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import aiohttp
import msgspec
from yarl import URL

from pyti.config import IndexSettings
from pyti.errors import (
    HashMismatch,
    IndexLied,
    IndexUnavailable,
    NoSuchDistribution,
    OutOfSpace,
    TooLarge,
    TruncatedDownload,
)
from pyti.index.cache import FileCache
from pyti.index.client import IndexClient
from pyti.index.location import without_secrets
from pyti.index.page import FILENAME
from pyti.index.transport import BadStatus

__all__ = ["Downloads", "digest_of"]

CHUNK = 1024 * 1024
SLOWEST_BYTES_PER_S = 16 * 1024
"""A download may take ten times ``timeout_s`` plus its size at this speed: a trickle ends, a slow line does not."""
MARGIN_BYTES = 64 * 1024 * 1024
"""Room that stays free on the disk beyond the file itself."""
CONTENT_RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15}|\*)")

Progress = Callable[[str, int, int | None], None]
"""Told the file's name, the bytes that are there and the bytes expected (``None`` where unknown)."""


def digest_of(path: Path) -> str:
    """Tell the sha256 of a file that ``Downloads.fetch`` returned: the name of its folder in the cache."""
    return path.parent.name


class _Partial(msgspec.Struct, omit_defaults=True):
    """What is known of an unfinished download: the validator that a resumption must match (RFC 9110, If-Range)."""

    validator: str = ""


@dataclass(frozen=True)
class _Wanted:
    """One file to be fetched."""

    url: URL
    sha256: str | None
    size: int | None
    filename: str
    progress: Progress | None

    @property
    def key(self) -> str:
        """The name of the download in progress: the digest, or where none is announced that of the URL."""
        return self.sha256 or "url-" + hashlib.sha256(str(self.url).encode()).hexdigest()


class Downloads:
    """Downloads through the client's session into a cache that several processes may share."""

    def __init__(self, client: IndexClient, cache: Path, settings: IndexSettings) -> None:
        self._client = client
        self.cache = FileCache(cache)
        self.settings = settings
        self._places = asyncio.Semaphore(settings.concurrency)
        self.bytes_received = 0
        """Bytes that crossed the network, resumptions and retries included."""

    async def fetch(
        self,
        url: str,
        sha256: str | None,
        size: int | None,
        filename: str,
        progress: Progress | None = None,
    ) -> Path:
        """Get a file into the cache, if it is not there, and tell where it is; its folder's name is its sha256.

        A file without an announced hash is downloaded anew each time and kept under the computed one. Raises
        ``HashMismatch``, ``TruncatedDownload``, ``IndexLied``, ``IndexUnavailable``, ``TooLarge``, ``OutOfSpace``,
        and ``NoSuchDistribution`` when the index lists a file that it does not have.
        """
        if FILENAME.fullmatch(filename) is None or (sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", sha256)):
            raise IndexLied(f"{filename[:80]!r} is no safe file name, or its sha256 is none.")
        limit = self.settings.max_file_bytes
        if size is not None and size > limit:
            raise TooLarge(
                f"{filename} has {size} bytes; more than {limit} are not downloaded.",
                remedy="Raise index.max_file_bytes.",
            )
        wanted = _Wanted(URL(url), sha256, size, filename, progress)
        if sha256 is not None and (found := self.cache.look_up(sha256, filename, size)):
            return found
        seconds = self.settings.timeout_s * 10 + (size or limit) / SLOWEST_BYTES_PER_S
        async with self._places, self.cache.lock(wanted.key, limit_s=seconds * self.settings.attempts):
            if sha256 is not None and (found := self.cache.look_up(sha256, filename, size)):
                return found
            try:
                await asyncio.to_thread(self._check_room, wanted)
                return await self._client.transport.retrying(lambda: self._attempt(wanted, seconds))
            except OSError as error:
                if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                    raise
                self._discard(wanted)
                raise OutOfSpace(
                    f"no space left below {self.cache.root} for {filename}.",
                    remedy="Free some space, or move the home folder (PYTI_HOME).",
                ) from error

    async def verify(self, path: Path) -> bool:
        """Hash a cached file again; a damaged one is removed, so that the next fetch downloads it."""
        return await asyncio.to_thread(self.cache.verify, path)

    async def prune(self, max_bytes: int) -> int:
        """Remove what was unused for longest until the cache holds at most ``max_bytes``; tell the bytes removed."""
        return await asyncio.to_thread(self.cache.prune, max_bytes)

    def _check_room(self, wanted: _Wanted) -> None:
        folder = self.cache.root / "partial"
        folder.mkdir(parents=True, exist_ok=True)
        if wanted.size is not None and shutil.disk_usage(folder).free < wanted.size + MARGIN_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _discard(self, wanted: _Wanted) -> None:
        partial = self.cache.partial(wanted.key)
        partial.unlink(missing_ok=True)
        partial.with_suffix(".json").unlink(missing_ok=True)

    async def _attempt(self, wanted: _Wanted, seconds: float) -> Path:
        """Download what is missing, verify the whole, move it to its place."""
        partial = self.cache.partial(wanted.key)
        resumed = wanted.sha256 is not None and partial.exists() and partial.stat().st_size > 0
        if not resumed:
            self._discard(wanted)
        try:
            async with asyncio.timeout(seconds):
                digest = await self._receive(wanted, partial)
        except TimeoutError as error:
            raise IndexUnavailable(f"{wanted.filename} did not arrive within {seconds:g} s.") from error
        if wanted.sha256 is not None and digest != wanted.sha256:
            self._discard(wanted)
            if resumed:  # The earlier part may be at fault: once more from the start.
                return await self._attempt(wanted, seconds)
            raise HashMismatch(
                f"{wanted.filename} has the sha256 {digest}, the index announces {wanted.sha256}.",
                remedy="Do not use this file; report it to the index's owners.",
            )
        partial.with_suffix(".json").unlink(missing_ok=True)
        return await asyncio.to_thread(self.cache.place, partial, digest, wanted.filename)

    async def _receive(self, wanted: _Wanted, partial: Path) -> str:
        """Bring the partial file to its full length; give the sha256 of all of it."""
        hasher = hashlib.sha256()
        have = await asyncio.to_thread(_rehash, partial, hasher)
        if wanted.size is not None and have > wanted.size:
            partial.unlink()
            hasher, have = hashlib.sha256(), 0
        if have and have == wanted.size:
            return hasher.hexdigest()
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if validator := _read_validator(partial):
                headers["If-Range"] = validator
        async with self._client.transport.get(wanted.url, headers, raw=True) as response:
            if response.status == 416 and have:
                self._discard(wanted)
                raise TruncatedDownload(f"{wanted.filename}: the rest is no longer there; starting again.")
            if response.status in {404, 410}:
                raise NoSuchDistribution(f"the index lists {wanted.filename} but does not have it.")
            if response.status not in {200, 206}:
                raise BadStatus(wanted.url, response.status)
            if response.status == 200 and have:
                hasher, have = hashlib.sha256(), 0
            total = _announced(response, have, wanted)
            if (total or 0) > self.settings.max_file_bytes:
                raise TooLarge(f"{wanted.filename} has {total} bytes.", remedy="Raise index.max_file_bytes.")
            _write_validator(partial, response)
            with partial.open("r+b" if have else "wb") as file:
                file.seek(have)
                file.truncate()
                have = await self._pour(response, file, hasher, have, total, wanted)
        if total is not None and have < total:
            raise TruncatedDownload(
                f"{wanted.filename} broke off after {have} of {total} bytes.", remedy="Try again; the part is kept."
            )
        return hasher.hexdigest()

    async def _pour(
        self,
        response: aiohttp.ClientResponse,
        file: BinaryIO,
        hasher: hashlib._Hash,
        have: int,
        total: int | None,
        wanted: _Wanted,
    ) -> int:
        limit = self.settings.max_file_bytes if total is None else total
        try:
            async for chunk in response.content.iter_chunked(CHUNK):
                have += len(chunk)
                self.bytes_received += len(chunk)
                if have > limit:
                    self._discard(wanted)
                    if total is None:
                        raise TooLarge(f"{wanted.filename} is larger than {limit} bytes.")
                    raise IndexLied(f"{wanted.filename} goes on after the announced {total} bytes.")
                await asyncio.to_thread(_write, file, hasher, chunk)
                if wanted.progress is not None:
                    wanted.progress(wanted.filename, have, total)
        except aiohttp.ClientPayloadError as error:
            raise TruncatedDownload(
                f"{wanted.filename} broke off after {have} bytes.", remedy="Try again; the part is kept."
            ) from error
        return have


def _write(file: BinaryIO, hasher: hashlib._Hash, chunk: bytes) -> None:
    file.write(chunk)
    hasher.update(chunk)


def _rehash(partial: Path, hasher: hashlib._Hash) -> int:
    """Feed what an earlier attempt left to the hasher; tell its length."""
    try:
        with partial.open("rb") as file:
            while chunk := file.read(CHUNK):
                hasher.update(chunk)
            return file.tell()
    except FileNotFoundError:
        return 0


def _read_validator(partial: Path) -> str:
    try:
        return msgspec.json.decode(partial.with_suffix(".json").read_bytes(), type=_Partial).validator
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return ""


def _write_validator(partial: Path, response: aiohttp.ClientResponse) -> None:
    """Remember a strong ETag, else the date; a weak one may not be used with If-Range (RFC 9110, 13.1.5)."""
    etag = response.headers.get("ETag", "")
    validator = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")
    partial.with_suffix(".json").write_bytes(msgspec.json.encode(_Partial(validator[:1024])))


def _announced(response: aiohttp.ClientResponse, have: int, wanted: _Wanted) -> int | None:
    """Work out the whole file's length from page and headers. Raises ``IndexLied`` where they disagree."""
    total: int | None
    if response.status == 206:
        match = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if match is None or int(match[1]) != have:
            raise IndexLied(f"{without_secrets(wanted.url)} answers with another range than was asked for.")
        total = None if match[3] == "*" else int(match[3])
    else:
        total = response.content_length
    if total is None:
        return wanted.size
    if wanted.size is not None and total != wanted.size:
        raise IndexLied(f"{wanted.filename} has {total} bytes, the index announces {wanted.size}.")
    return total
