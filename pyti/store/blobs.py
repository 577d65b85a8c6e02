"""Blobs by content address: a folder by default, any storage that obstore knows for many hosts.

A blob lies under its SHA-256 and nowhere else, so equal bytes are kept once, writers never collide, and whoever
reads can prove that it has what was meant. What a reference's ``uri`` says is never used to find anything.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import LocalStore, ObjectStore, from_url

from pyti.errors import ConfigError, OutOfSpace, StoreError, TooLarge
from pyti.messages import BlobReference

__all__ = ["CHUNK", "Blobs"]

CHUNK = 1024 * 1024
"""Bytes read or written at once."""

DIGEST = re.compile(r"[0-9a-f]{64}")


class Blobs:
    """A store of bytes by their SHA-256; open one with ``Blobs.open``.

    Methods raise ``StoreError`` naming the blob when it is absent, damaged or out of reach, and ``OutOfSpace`` when
    the disk is full. Several processes may use one folder.
    """

    def __init__(self, storage: ObjectStore, name: str, folder: Path | None) -> None:
        self._storage = storage
        self._name = name
        self._folder = folder

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator[Blobs]:
        """Open a folder (made when absent) or a URL such as ``s3://bucket/prefix``.

        Credentials of remote storage come from where its own tools look for them. ``ConfigError`` for a URL that
        obstore does not know.
        """
        scheme, separator, rest = url.partition("://")
        if separator and scheme != "file":
            try:
                storage = from_url(url)
            except (BaseError, ValueError) as error:
                raise ConfigError(
                    f"the blob store {scheme}:// cannot be used: {error}",
                    remedy="Set [store] blobs to a folder or to a URL as docs/reference/settings.md shows.",
                ) from error
            yield cls(storage, f"{scheme}://{rest.rpartition('@')[2]}", None)
            return
        folder = Path(rest if separator else url).absolute()
        with _storage_errors(str(folder)):
            await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
            local = LocalStore(folder)
        yield cls(local, str(folder), folder)

    async def put_bytes(self, data: bytes, media_type: str = "application/octet-stream") -> BlobReference:
        """Keep the bytes; returns where they lie."""
        digest = await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())
        if not await self._has(digest, len(data)):
            with _storage_errors(self._name):
                await obstore.put_async(self._storage, _location(digest), data)
            await self._settle(digest)
        return _reference(digest, len(data), media_type)

    async def put_file(self, path: Path, media_type: str = "application/octet-stream") -> BlobReference:
        """Keep a file's bytes without holding them all in memory; returns where they lie.

        The file is hashed first, so that bytes which are kept already are not written again, and hashed once more
        while it is written: a file that changes meanwhile is a ``StoreError`` and leaves nothing behind.
        """
        with _storage_errors(self._name, reading=path):
            file = path.open("rb")  # not in a thread: a cancellation would lose the open file
        try:
            with _storage_errors(self._name, reading=path):
                digest, size = await asyncio.to_thread(_digest, file)
            if not await self._has(digest, size):
                with _storage_errors(self._name):
                    await obstore.put_async(
                        self._storage, _location(digest), _checked(file, digest, size, path), chunk_size=5 * CHUNK
                    )
                await self._settle(digest)
        finally:
            file.close()
        return _reference(digest, size, media_type)

    async def get_bytes(self, reference: BlobReference, *, limit: int) -> bytes:
        """Return the blob's bytes, proven to be the ones meant; ``TooLarge`` when they are more than ``limit``."""
        if reference.size > limit:
            raise TooLarge(f"blob {reference.sha256} has {reference.size} bytes, and {limit} are the limit here")
        return b"".join([chunk async for chunk in self.stream(reference)])

    async def stream(self, reference: BlobReference) -> AsyncIterator[bytes]:
        """Yield the blob's bytes in order; only when it ends without an error are they proven to be the ones meant.

        Never yields more bytes than the reference says.
        """
        hasher, size = hashlib.sha256(), 0
        damaged = f"blob {reference.sha256} in {self._name} is damaged"
        remedy = "Delete the blob and run the job that made it once more."
        try:
            with _storage_errors(self._name):
                found = await obstore.get_async(self._storage, _location(reference.sha256))
                chunks = found.stream(min_chunk_size=CHUNK)
            if found.meta["size"] != reference.size:
                raise StoreError(
                    f"{damaged}: it has {found.meta['size']} bytes instead of {reference.size}", remedy=remedy
                )
            while True:
                with _storage_errors(self._name):
                    chunk = await anext(chunks, None)
                if chunk is None:
                    break
                data = bytes(chunk)
                size += len(data)
                if size > reference.size:
                    raise StoreError(f"{damaged}: it goes on after {reference.size} bytes", remedy=remedy)
                await asyncio.to_thread(hasher.update, data)
                yield data
        except FileNotFoundError as error:
            raise StoreError(
                f"blob {reference.sha256} is not in {self._name}",
                remedy="Check that master and slaves use the same [store] blobs.",
            ) from error
        if size != reference.size or hasher.hexdigest() != reference.sha256:
            raise StoreError(f"{damaged}: its hash is {hasher.hexdigest()}", remedy=remedy)

    async def get_file(self, reference: BlobReference, path: Path) -> None:
        """Write the blob to ``path``, which appears only once the bytes are proven, and replaces what was there."""
        with _storage_errors(str(path.parent)):
            descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:64]}.", suffix=".part")
        part = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                async for chunk in self.stream(reference):
                    with _storage_errors(str(path.parent)):
                        await asyncio.to_thread(file.write, chunk)
                with _storage_errors(str(path.parent)):
                    await asyncio.to_thread(file.flush)
            with _storage_errors(str(path.parent)):
                part.chmod(0o644)
                part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    async def exists(self, reference: BlobReference) -> bool:
        """Whether bytes of the right size lie under the reference's hash; reading them proves the rest."""
        return await self._has(reference.sha256, reference.size)

    async def delete(self, sha256: str) -> None:
        """Remove a blob; nothing happens when it is not there."""
        try:
            with _storage_errors(self._name):
                await obstore.delete_async(self._storage, _location(sha256))
        except FileNotFoundError:
            return

    async def _has(self, sha256: str, size: int) -> bool:
        try:
            with _storage_errors(self._name):
                meta = await obstore.head_async(self._storage, _location(sha256))
        except FileNotFoundError:
            return False
        return meta["size"] == size

    async def _settle(self, sha256: str) -> None:
        """Make a new blob in a folder outlive a power cut, since a result that names it is confirmed soon after."""
        if self._folder is not None:
            with _storage_errors(self._name):
                await asyncio.to_thread(_sync, self._folder / _location(sha256))


@contextmanager
def _storage_errors(name: str, *, reading: Path | None = None) -> Iterator[None]:
    """Tell obstore's and the system's errors as PyTI's; a missing blob stays ``FileNotFoundError``."""
    try:
        yield
    except OSError as error:
        if reading is not None:
            raise StoreError(f"cannot read {reading}: {error.strerror}") from error
        if isinstance(error, FileNotFoundError):
            raise
        raise _told(error, error.errno or 0, name) from error
    except BaseError as error:
        # obstore tells the system's error number only in its text, as Rust formats it
        number = re.search(r"\(os error (\d+)\)", str(error))
        raise _told(error, int(number[1]) if number else 0, name) from error


def _told(error: Exception, number: int, name: str) -> StoreError | OutOfSpace:
    if number in {errno.ENOSPC, errno.EDQUOT}:
        return OutOfSpace(f"no space left in {name}", remedy="Free space on its disk, then go on.")
    denied = number in {errno.EACCES, errno.EPERM, errno.EROFS}
    if denied or isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return StoreError(f"no permission to use {name}: {error}", remedy="Check its owner, or the credentials.")
    return StoreError(f"{name} failed: {error}", remedy="Check that it can be reached, then try again.")


def _location(sha256: str) -> str:
    if not DIGEST.fullmatch(sha256):
        raise StoreError(f"{sha256[:80]!r} is no SHA-256", remedy="Take blob references from PyTI's messages alone.")
    return f"sha256/{sha256[:2]}/{sha256}"


def _reference(sha256: str, size: int, media_type: str) -> BlobReference:
    return BlobReference(uri=f"blob:sha256:{sha256}", sha256=sha256, size=size, media_type=media_type)


def _digest(file: BinaryIO) -> tuple[str, int]:
    hasher, size = hashlib.sha256(), 0
    while chunk := file.read(CHUNK):
        hasher.update(chunk)
        size += len(chunk)
    return hasher.hexdigest(), size


async def _checked(file: BinaryIO, sha256: str, size: int, path: Path) -> AsyncIterator[bytes]:
    """Yield the file's bytes anew; raises before the last chunk's end when they are not the ones hashed before."""
    hasher, count = hashlib.sha256(), 0
    await asyncio.to_thread(file.seek, 0)
    while chunk := await asyncio.to_thread(file.read, CHUNK):
        await asyncio.to_thread(hasher.update, chunk)
        count += len(chunk)
        yield chunk
    if count != size or hasher.hexdigest() != sha256:
        raise StoreError(f"{path} changed while it was stored", remedy="Store it once nothing writes to it any more.")


def _sync(path: Path) -> None:
    for target in (path, path.parent):
        descriptor = os.open(target, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
