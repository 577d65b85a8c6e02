"""Feeds: where uploads come from. A feed yields batches with a cursor; its consumer commits the cursor with the jobs.

Exactly once is the consumer's to keep: jobs and cursor go into the store in one transaction. A batch whose cursor was
not committed comes again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
from packaging.utils import NormalizedName

from pyti.errors import NetworkError, PytiError, ResourceError, UsageError
from pyti.index.client import IndexClient, Validators, normalized
from pyti.messages import Distribution

__all__ = ["Batch", "Cursor", "ExplicitFeed", "Feed", "WatchListFeed", "WatchListSource"]


class Cursor(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a project's page was read: the validators of the last answer and the file names seen so far."""

    validators: Validators = Validators()
    known: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Batch:
    """New uploads of one source (``watch:NAME`` or ``explicit``), and the cursor to commit with them, if any."""

    source: str
    distributions: tuple[Distribution, ...]
    cursor: Cursor | None = None


class Feed(Protocol):
    """A source of uploads."""

    def __aiter__(self) -> AsyncIterator[Batch]:
        """Yield batches until the feed is closed or cancelled."""
        ...


class ExplicitFeed:
    """Submissions, handed in by whoever takes them; bounded, so that a flood waits at the door."""

    def __init__(self, size: int = 100) -> None:
        self._queue: asyncio.Queue[Batch | None] = asyncio.Queue(size)

    async def submit(self, distributions: Sequence[Distribution]) -> None:
        """Hand in distributions; waits while the feed is full."""
        await self._queue.put(Batch("explicit", tuple(distributions)))

    async def close(self) -> None:
        """End the feed after what was handed in."""
        await self._queue.put(None)

    async def __aiter__(self) -> AsyncIterator[Batch]:
        """Yield what was handed in, in order."""
        while (batch := await self._queue.get()) is not None:
            yield batch


class WatchListSource:
    """Looks at one project's page and tells what is new on it. Keeps no state of its own."""

    def __init__(self, client: IndexClient) -> None:
        self._client = client

    async def poll(
        self, project: str, validators: Validators, known: Collection[str]
    ) -> tuple[tuple[Distribution, ...], Validators]:
        """Ask for the page if it changed; give the files not yet known, the oldest upload first, and new validators.

        Yanked files count as known: nobody would install them. Raises the index's errors.
        """
        page, fresh = await self._client.project_if_changed(project, validators)
        if page is None:
            return (), fresh
        new = [file for file in page.files if file.filename not in known and not file.yanked]
        new.sort(key=lambda file: (file.uploaded or 0.0, file.version, file.filename))
        return tuple(file.distribution() for file in new), fresh

    async def advance(self, project: str, cursor: Cursor | None) -> Batch:
        """Make one step: the batch to act on, with the cursor after it.

        A project that was never seen gives an empty batch: what is there already is known, not new.
        """
        name = normalized(project)
        before = cursor or Cursor()
        new, validators = await self.poll(name, before.validators, before.known)
        after = Cursor(validators, before.known | {distribution.filename for distribution in new})
        return Batch(f"watch:{name}", new if cursor is not None else (), after)


class WatchListFeed:
    """Polls the projects of a watch list in turn, for ever.

    ``load`` gives a project's committed cursor (``None`` if there is none); ``failed`` is told when a poll fails,
    and the feed goes on; ``sleep`` waits between rounds.
    """

    def __init__(
        self,
        source: WatchListSource,
        projects: Sequence[str],
        interval_s: float,
        *,
        load: Callable[[NormalizedName], Awaitable[Cursor | None]],
        failed: Callable[[NormalizedName, PytiError], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._source = source
        self._projects = tuple(dict.fromkeys(normalized(project) for project in projects))
        self._interval_s = interval_s
        self._load = load
        self._failed = failed
        self._sleep = sleep

    async def __aiter__(self) -> AsyncIterator[Batch]:
        """Yield a batch whenever a project's page has something new, or its cursor has moved."""
        while self._projects:
            for project in self._projects:
                before = await self._load(project)
                try:
                    batch = await self._source.advance(project, before)
                except (NetworkError, UsageError, ResourceError) as error:
                    self._failed(project, error)
                    continue
                if batch.distributions or batch.cursor != before:
                    yield batch
            await self._sleep(self._interval_s)
