"""Uploads that feeds hear of become jobs, each exactly once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import structlog

from pyti.config import Settings
from pyti.errors import PytiError
from pyti.index import IndexClient, WatchListSource
from pyti.messages import Distribution, JobRun, MachineRequest
from pyti.roles.submission import job_id
from pyti.store import CursorUpdate, Store, Upload

__all__ = ["WatchList"]

log = structlog.get_logger(__name__)

FEED = "watch-list"


class WatchList:
    """Polls the projects of the settings; a project's first poll only notes what is there already."""

    def __init__(self, settings: Settings, client: IndexClient, store: Store, added: Callable[[], None]) -> None:
        self._settings = settings
        self._source = WatchListSource(client)
        self._store = store
        self._added = added

    async def turn(self) -> None:
        """Poll every project once; one that fails is logged and polled again at the next turn."""
        for project in self._settings.master.watch:
            try:
                await self._poll(project)
            except PytiError as error:
                log.warning("poll_failed", project=project, error=error.message)

    async def _poll(self, project: str) -> None:
        cursor = await self._store.cursor(FEED, project)
        known = await self._store.seen(FEED, project)
        uploads, validators = await self._source.poll(project, cursor, known)
        runs = () if cursor is None else self._runs(uploads)
        if not uploads and validators == cursor:
            return
        added = await self._store.add_jobs(
            runs,
            feed=FEED,
            cursor=CursorUpdate(project=project, value=validators),
            uploads=[Upload(project=project, filename=upload.filename) for upload in uploads],
        )
        log.info("uploads_heard", project=project, files=len(uploads), jobs=added)
        if added:
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
