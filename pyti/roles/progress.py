"""Progress of jobs for those who watch in the same process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from pyti.messages import JobProgress

__all__ = ["ProgressFeed"]

BACKLOG = 1000
"""Events kept for a watcher that does not keep up; the oldest are dropped."""


class ProgressFeed:
    """Hands every event to every watcher, and wakes those who wait for a job's end."""

    def __init__(self) -> None:
        self._watchers: set[asyncio.Queue[JobProgress]] = set()
        self._ends: dict[str, asyncio.Event] = {}

    def put(self, event: JobProgress) -> None:
        """Hand one event to all who watch now."""
        for queue in self._watchers:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(event)

    def end(self, job: str) -> None:
        """Wake those who wait for this job."""
        if (event := self._ends.pop(job, None)) is not None:
            event.set()

    def ending(self, job: str) -> asyncio.Event:
        """An event that is set when the job ends here."""
        return self._ends.setdefault(job, asyncio.Event())

    @contextmanager
    def watch(self) -> Iterator[AsyncIterator[JobProgress]]:
        """Iterate over all events that come while the context is open; the iterator itself never ends."""
        queue: asyncio.Queue[JobProgress] = asyncio.Queue(maxsize=BACKLOG)

        async def events() -> AsyncIterator[JobProgress]:
            while True:
                yield await queue.get()

        self._watchers.add(queue)
        try:
            yield events()
        finally:
            self._watchers.discard(queue)
