"""Where a resolution gets its facts: pages, files and metadata, each asked for once, many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from packaging.utils import NormalizedName

from pyti.errors import MalformedArchive, NoSuchDistribution, TooLarge
from pyti.index.archive import ArchiveSummary, check_archive
from pyti.index.client import IndexClient
from pyti.index.downloads import Downloads, digest_of
from pyti.index.metadata import StaticMetadata, parse_metadata, wheel_metadata
from pyti.index.page import IndexFile, ProjectPage
from pyti.index.provider import Candidate, Unusable
from pyti.messages import DistributionKind

__all__ = ["Fetched", "Sources"]

T = TypeVar("T")

PREFETCH_BYTES = 32 * 1024 * 1024
"""A larger wheel is downloaded only once it is certain that its metadata is needed."""


@dataclass(frozen=True)
class Fetched:
    """A file that is in the cache and was checked."""

    path: Path
    sha256: str
    size: int
    summary: ArchiveSummary


class Sources:
    """Remembers every answer for the length of one resolution; use it with ``async with``."""

    def __init__(self, client: IndexClient, downloads: Downloads) -> None:
        self._client = client
        self._downloads = downloads
        self._pages: dict[NormalizedName, asyncio.Task[ProjectPage | None]] = {}
        self._files: dict[str, asyncio.Task[Fetched]] = {}
        self._metadata: dict[str, asyncio.Task[StaticMetadata]] = {}
        self._budget: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks: list[asyncio.Task[Any]] = [*self._pages.values(), *self._files.values(), *self._metadata.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def pages_read(self) -> int:
        """How many projects were asked for."""
        return len(self._pages)

    async def page(self, name: NormalizedName) -> ProjectPage | None:
        """Get a project's page, or ``None`` when the index has no such project."""
        return await asyncio.shield(self._page(name))

    async def fetched(self, file: IndexFile) -> Fetched:
        """Download and check a file. Raises the download's errors and ``MalformedArchive``."""
        return await asyncio.shield(self._fetched(file))

    async def wheel_metadata(self, file: IndexFile) -> StaticMetadata:
        """Get a wheel's metadata: from beside it where the index offers that, else from the wheel."""
        return await asyncio.shield(self._wheel(file))

    def start(self, file: IndexFile) -> None:
        """Start a download that ``fetched`` will be asked for; it ends with the resolution at the latest."""
        self._fetched(file)

    def prefetch(self, names: Sequence[NormalizedName], candidates: Sequence[Candidate]) -> None:
        """Start asking for what will be needed soon. Errors show when it is really needed."""
        for name in names:
            self._page(name)
        for candidate in candidates:
            file = candidate.file
            if file is None or file.kind is not DistributionKind.WHEEL:
                continue
            if file.core_metadata_sha256 or (file.size is not None and file.size <= PREFETCH_BYTES):
                self._wheel(file)

    def _page(self, name: NormalizedName) -> asyncio.Task[ProjectPage | None]:
        return self._once(self._pages, name, self._read_page(name))

    def _fetched(self, file: IndexFile) -> asyncio.Task[Fetched]:
        return self._once(self._files, file.url, self._fetch(file))

    def _wheel(self, file: IndexFile) -> asyncio.Task[StaticMetadata]:
        return self._once(self._metadata, file.url, self._read_wheel(file))

    @staticmethod
    def _once(tasks: dict[Any, asyncio.Task[T]], key: str, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start the work unless it was started before."""
        task = tasks.get(key)
        if task is not None:
            work.close()
            return task
        task = tasks[key] = asyncio.create_task(work, name=f"index:{key[-80:]}")
        return task

    async def _read_page(self, name: NormalizedName) -> ProjectPage | None:
        try:
            return await self._client.project(name)
        except NoSuchDistribution:
            return None

    async def _fetch(self, file: IndexFile) -> Fetched:
        self._spend(file.url, file.size or 0)
        path = await self._downloads.fetch(file.url, file.sha256, file.size, file.filename)
        size = path.stat().st_size
        self._spend(file.url, size)
        summary = await self._client.compute(check_archive, path, file.kind)
        return Fetched(path, digest_of(path), size, summary)

    def _spend(self, url: str, size: int) -> None:
        """Count a file against the job's bound. Raises ``TooLarge``."""
        self._budget[url] = size
        limit = self._client.settings.max_job_bytes
        if sum(self._budget.values()) > limit:
            raise TooLarge(
                f"the dependencies have more than {limit} bytes together.", remedy="Raise index.max_job_bytes."
            )

    async def _read_wheel(self, file: IndexFile) -> StaticMetadata:
        candidate = Candidate(file.name, file.version, "", file)
        try:
            data = await self._client.core_metadata(file)
            if data is not None:
                metadata = await self._client.compute(parse_metadata, data, file.filename)
            else:
                fetched = await self.fetched(file)
                metadata = await self._client.compute(wheel_metadata, fetched.summary, file.filename)
        except (MalformedArchive, NoSuchDistribution) as error:
            raise Unusable(candidate, error.message) from error
        if (metadata.name, metadata.version) != (file.name, file.version):
            raise Unusable(candidate, f"its metadata says {metadata.name} {metadata.version}")
        return metadata
