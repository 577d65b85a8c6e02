"""Master and slave in one process over the in-process transport: the default of ``pyti test``."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import structlog

from pyti.config import Settings
from pyti.messages import JobState
from pyti.roles.master import Master
from pyti.roles.slave import Slave
from pyti.store import Store

__all__ = ["embedded", "embedded_settings"]

log = structlog.get_logger(__name__)

PREFIX = "local-"
"""Names of embedded masters and slaves: this, and the process id."""


def embedded_settings(settings: Settings) -> Settings:
    """The settings with a bus, a master and a slave of this process's own; store, blobs and machines stay shared."""
    name = f"{PREFIX}{os.getpid()}"
    return msgspec.structs.replace(
        settings,
        bus=msgspec.structs.replace(settings.bus, url=f"inprocess:{name}"),
        master=msgspec.structs.replace(settings.master, name=name),
        slave=msgspec.structs.replace(settings.slave, name=name),
    )


@asynccontextmanager
async def embedded(settings: Settings) -> AsyncIterator[Master]:
    """Run a master and a slave for as long as the body runs; jobs that have not ended by then are cancelled.

    Jobs that an earlier process of this kind left unfinished, because it was killed, are ended as failed first.
    """
    own = embedded_settings(settings)
    async with Master(own) as master:
        await _end_orphans(master.store)
        await asyncio.to_thread(_forget_the_dead, own)
        try:
            async with Slave(own):
                yield master
        finally:
            for job in master.submitted:
                await _cancel(master.store, job)
            await asyncio.to_thread(_forget, own, own.master.name)


async def _cancel(store: Store, job: str) -> None:
    """End a job that has not ended; its attempt may change meanwhile, since its slave has just handed it back."""
    record = await store.job(job)
    while record.summary.finished is None:
        await store.finish(job, record.run.attempt, JobState.CANCELLED, detail="interrupted")
        record = await store.job(job)


def _forget(settings: Settings, name: str) -> None:
    """Remove the journal and the spool of a slave whose name no later process will have."""
    for path in (settings.home / "slaves").glob(f"{name}.sqlite*"):
        path.unlink(missing_ok=True)
    shutil.rmtree(settings.home / "spool" / name, ignore_errors=True)


def _forget_the_dead(settings: Settings) -> None:
    """Remove what processes of this kind left that were killed; their machines are the hypervisor's to sweep."""
    names = {path.name.split(".")[0] for path in (settings.home / "slaves").glob(f"{PREFIX}*")}
    names |= {path.name for path in (settings.home / "spool").glob(f"{PREFIX}*")}
    for name in names:
        if _is_dead(name):
            _forget(settings, name)


async def _end_orphans(store: Store) -> None:
    now = time.time()
    for run in [*await store.expired(now), *await store.stalled(now), *await store.pending()]:
        if _is_dead(run.master):
            log.warning("orphan_ended", job=run.job, master=run.master)
            await store.finish(
                run.job, run.attempt, JobState.FAILED, exit_status=3, detail="the process that ran the job was killed"
            )


def _is_dead(name: str) -> bool:
    """Whether this is the name of a process of this kind that has ended."""
    process = name.removeprefix(PREFIX)
    if process == name or not process.isdecimal() or int(process) == os.getpid():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
