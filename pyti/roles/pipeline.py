"""One job on a slave, from accepted to destroyed: download, resolve, clone, deliver, run, collect."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import structlog

from pyti.errors import PytiError, TimeLimitExceeded, UsageError
from pyti.index import Resolution, Target, check_archive, resolve
from pyti.messages import (
    BlobReference,
    JobFailure,
    JobResult,
    JobRun,
    MachineUsed,
    RawDataSet,
    Step,
)
from pyti.rawdata.contract import GuestDistribution, GuestJob, TaskFinished, TaskStarted
from pyti.roles.collection import store_raw_data
from pyti.roles.failure import failure_of
from pyti.roles.following import follow_job
from pyti.roles.guests import Guest, GuestSupply
from pyti.roles.metadata import MetadataPreparer
from pyti.roles.profiles import limits_of, task_limits, tasks_of
from pyti.roles.rooms import SlaveRooms
from pyti.roles.stopwatch import Stopwatch

__all__ = ["Announce", "JobPipeline"]

log = structlog.get_logger(__name__)

Announce = Callable[[Step, str, str], None]
"""Told ``(step, task, machine)`` at every change; must not block."""


class JobPipeline:
    """Carries one job through its steps; built for one job, used once."""

    def __init__(self, run: JobRun, rooms: SlaveRooms, *, slave: str, announce: Announce) -> None:
        self._run = run
        self._rooms = rooms
        self._slave = slave
        self._announce = announce
        self._stopwatch = Stopwatch()
        self._step = Step.ACCEPTED
        self._distribution = run.distribution
        self._machine = MachineUsed(image=run.machine.image, cpus=run.machine.cpus, memory_mib=run.machine.memory_mib)
        self._raw = RawDataSet()
        self._lock: BlobReference | None = None

    async def execute(self) -> JobResult:
        """Do the job. Every failure becomes part of the result; only a cancellation is raised, after cleaning up."""
        failure: JobFailure | None = None
        spool = self._rooms.spool / f"{self._run.job}-{self._run.attempt}"
        try:
            await self._work(spool)
        except PytiError as error:
            failure = failure_of(error, self._step)
            log.info("job_failed", job=self._run.job, step=self._step, error=error.message)
        except Exception as error:
            failure = failure_of(_first(error), self._step)
            log.exception("job_defect", job=self._run.job, step=self._step)
        finally:
            await asyncio.to_thread(shutil.rmtree, spool, ignore_errors=True)
        return self.result("failed" if failure else "done", failure)

    def result(self, state: Literal["done", "failed", "cancelled"], failure: JobFailure | None = None) -> JobResult:
        """What is known of the job at this moment, as its result."""
        return JobResult(
            job=self._run.job,
            attempt=self._run.attempt,
            slave=self._slave,
            state=state,
            distribution=self._distribution,
            machine=self._machine,
            timings=self._stopwatch.timings(),
            raw=self._raw,
            lock=self._lock,
            failure=failure,
            finished=time.time(),
        )

    @property
    def step(self) -> Step:
        """Where the job is."""
        return self._step

    async def _work(self, spool: Path) -> None:
        if self._run.deadline is not None and time.time() > self._run.deadline:
            raise TimeLimitExceeded(
                "the job's deadline passed while it waited for a slave",
                remedy="Give it a later deadline, or start more slaves.",
            )
        await asyncio.to_thread(spool.mkdir, parents=True, exist_ok=True)
        image = self._rooms.image(self._run.machine.image)
        async with GuestSupply(self._rooms.pool, image, self._run, self._stopwatch) as supply:
            self._at(Step.DOWNLOAD)
            with self._stopwatch.part("download"):
                root = await self._fetch(spool)
            self._at(Step.RESOLVE)
            with self._stopwatch.part("resolve"):
                resolution = await resolve(
                    self._distribution,
                    root,
                    target=Target.from_manifest(image.target),
                    client=self._rooms.client,
                    downloads=self._rooms.downloads,
                    prepare=MetadataPreparer(self._run, supply, spool),
                    settings=self._rooms.settings.index,
                    test_extras="tests" in tasks_of(self._run),
                )
            self._lock = await self._rooms.blobs.put_bytes(resolution.lock.encode(), "application/toml")
            self._at(Step.CLONE)
            trouble: PytiError | None = None
            outbox = spool / "outbox"
            try:
                async with supply.guest() as guest:
                    await self._in_guest(guest, resolution, outbox)
                    self._at(Step.DESTROY)
            except PytiError as error:
                # What has left the guest before it failed is still evidence.
                trouble = error
            if trouble is None:
                self._at(Step.COLLECT)
            with self._stopwatch.part("collect"):
                self._raw = await store_raw_data(outbox, self._rooms.blobs)
            if trouble is not None:
                raise trouble

    async def _fetch(self, spool: Path) -> Path:
        distribution = self._distribution
        if distribution.blob is not None:
            path = spool / distribution.filename
            await self._rooms.blobs.get_file(distribution.blob, path)
        elif distribution.url is not None:
            path = await self._rooms.downloads.fetch(
                distribution.url, distribution.sha256, distribution.size, distribution.filename
            )
        else:
            raise UsageError(
                f"the job says neither where {distribution.filename} is on the index nor in the blob store"
            )
        await asyncio.to_thread(check_archive, path, distribution.kind)
        return path

    async def _in_guest(self, guest: Guest, resolution: Resolution, outbox: Path) -> None:
        machine = guest.machine
        self._machine = MachineUsed(
            image=self._run.machine.image,
            template=machine.template,
            accel=machine.accel,
            machine=machine.name,
            cpus=self._run.machine.cpus,
            memory_mib=self._run.machine.memory_mib,
            cold_boot=machine.cold_boot,
            tools=self._rooms.image(self._run.machine.image).tools,
        )
        self._at(Step.DELIVER)
        job = self._guest_job(resolution)
        files = {
            f"{'dist' if file.role == 'root' else 'wheelhouse'}/{file.filename}": file.path for file in resolution.files
        }
        with self._stopwatch.part("deliver"):
            await guest.session.deliver(job, files)
        self._at(Step.RUN)
        started = time.monotonic()
        inside = 0.0
        with self._stopwatch.part("run"):
            async for record in follow_job(guest, job, outbox):
                if isinstance(record, TaskStarted):
                    self._at(Step.RUN, record.task)
                elif isinstance(record, TaskFinished):
                    inside += record.wall_s
        # The guest's own clock may lie, but no task can have taken longer than the whole run.
        self._stopwatch.add("tasks", min(inside, time.monotonic() - started))

    def _guest_job(self, resolution: Resolution) -> GuestJob:
        run, distribution = self._run, self._distribution
        tasks = tasks_of(run)
        return GuestJob(
            job=run.job,
            attempt=run.attempt,
            dist=GuestDistribution(
                name=distribution.name,
                version=distribution.version,
                filename=distribution.filename,
                kind=distribution.kind,
                extras=distribution.extras,
                test_extras=resolution.test_extras,
            ),
            tasks=tasks,
            limits=limits_of(run.machine),
            task_limits=task_limits(run.machine, tasks),
            time_limit_s=run.machine.time_limit_s,
            test_requirements=resolution.test_requirements,
        )

    def _at(self, step: Step, task: str = "") -> None:
        self._step = step
        self._announce(step, task, self._machine.machine)


def _first(error: BaseException) -> BaseException:
    """The first real error inside nested groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
