"""Uploads that feeds hear of become jobs, each exactly once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec
import structlog

from pyti.config import Settings
from pyti.errors import PytiError
from pyti.index import Batch, Cursor, IndexClient, Validators, WatchListFeed, WatchListSource
from pyti.messages import Distribution, JobRun, MachineRequest
from pyti.roles.submission import job_id
from pyti.store import CursorUpdate, Store, Upload

__all__ = ["WatchList"]

log = structlog.get_logger(__name__)

FEED = "watch-list"


class WatchList:
    """Turns new files of the watched projects into jobs; what is there at a project's first poll is known, not new.

    ``added`` is called after jobs were stored.
    """

    def __init__(self, settings: Settings, client: IndexClient, store: Store, added: Callable[[], None]) -> None:
        self._settings = settings
        self._store = store
        self._added = added
        self._feed = WatchListFeed(
            WatchListSource(client),
            settings.master.watch,
            settings.master.watch_interval_s,
            load=self._load,
            failed=_failed,
        )

    async def follow(self) -> None:
        """Store the jobs of every batch, with the cursor after it in the same transaction, for ever."""
        async for batch in self._feed:
            await self._commit(batch)

    async def _load(self, project: str) -> Cursor | None:
        value = await self._store.cursor(FEED, project)
        if value is None:
            return None
        return Cursor(
            validators=msgspec.json.decode(value, type=Validators),
            known=frozenset(await self._store.seen(FEED, project)),
        )

    async def _commit(self, batch: Batch) -> None:
        if batch.cursor is None:
            return
        project = batch.source.removeprefix("watch:")
        fresh = batch.cursor.known - await self._store.seen(FEED, project)
        # Those that become jobs are named in any case: another master may have met them since.
        fresh |= {upload.filename for upload in batch.distributions}
        jobs = await self._store.add_jobs(
            self._runs(batch.distributions),
            feed=FEED,
            cursor=CursorUpdate(project=project, value=msgspec.json.encode(batch.cursor.validators).decode()),
            uploads=[Upload(project=project, filename=name) for name in sorted(fresh)],
        )
        log.info("uploads_heard", project=project, files=len(fresh), jobs=len(jobs))
        if jobs:
            self._added()

    def _runs(self, uploads: Sequence[Distribution]) -> list[JobRun]:
        now = time.time()
        return [
            JobRun(
                job=job_id(now),
                master=self._settings.master.name,
                distribution=upload,
                machine=MachineRequest(image=self._settings.machines.image),
                profile=self._settings.master.watch_profile,
                lease_s=self._settings.master.lease_s,
                submitted=now,
            )
            for upload in uploads
        ]


def _failed(project: str, error: PytiError) -> None:
    """A poll that failed comes again at the next turn; the cursor has not moved."""
    log.warning("poll_failed", project=project, error=error.message)
