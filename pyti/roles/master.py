"""The master: hears of releases, makes jobs of them, dispatches them, and evaluates what comes back into reports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from pyti.bus import Bus, Context
from pyti.config import Settings
from pyti.errors import PytiError, UsageError
from pyti.index import IndexClient
from pyti.messages import (
    CancelJob,
    FileChoice,
    JobListing,
    JobProgress,
    JobState,
    JobSummary,
    MachineRequest,
    Message,
    Ping,
    SlavePresence,
    Submission,
    SubmitJobs,
)
from pyti.reports import Report, decode_report
from pyti.roles.dispatch import Dispatcher
from pyti.roles.folders import make_folder
from pyti.roles.progress import ProgressFeed
from pyti.roles.requests import answer, refusal
from pyti.roles.submission import jobs_for, stored_file
from pyti.roles.supervision import every, supervised
from pyti.roles.targets import TargetDirectory
from pyti.roles.topology import Names, bus_options, capability, master_topology, registry
from pyti.roles.uploads import WatchList
from pyti.store import Blobs, Store

__all__ = ["MAX_REPORT_BYTES", "Master"]

log = structlog.get_logger(__name__)

TURN_S = 0.5
"""Seconds between two looks at the job table; a submission or a cancellation in this process needs no wait."""

MAX_REPORT_BYTES = 32 * 1024 * 1024

_ENDED = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


class Master:
    """A long-running service; ``async with Master(settings) as master:`` dispatches jobs until it is left.

    What it has accepted is in the store before it is on the bus, so leaving, or a crash, loses nothing: the next
    master of the same name goes on.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store: Store
        self.blobs: Blobs
        self.submitted: list[str] = []
        """The jobs that were submitted through this object, in order."""
        self._stack = AsyncExitStack()
        self._progress = ProgressFeed()
        self._bus: Bus
        self._client: IndexClient
        self._targets: TargetDirectory
        self._dispatcher: Dispatcher

    async def __aenter__(self) -> Self:
        settings, name = self.settings, self.settings.master.name
        names = Names(settings.bus.namespace)
        make_folder(settings.home)
        async with AsyncExitStack() as stack:
            self.store = await stack.enter_async_context(Store.open(settings.database_url))
            self.blobs = await stack.enter_async_context(Blobs.open(settings.blobs_url))
            self._client = await stack.enter_async_context(IndexClient(settings.index, cache=settings.home / "cache"))
            self._bus = await stack.enter_async_context(
                Bus.open(
                    settings.bus.url,
                    registry=registry(),
                    topology=master_topology(
                        names.namespace, name, (capability(MachineRequest().arch, settings.machines.image),)
                    ),
                    name=name,
                    app="pyti",
                    options=bus_options(settings.bus),
                )
            )
            self._targets = TargetDirectory(settings, self._bus, self.store)
            self._dispatcher = Dispatcher(settings, self.store, self.blobs, self._bus, self._progress)
            spawn = await stack.enter_async_context(supervised())
            for queue, handler, prefetch in (
                (names.results(name), self._dispatcher.on_result, 4),
                (names.events(name), self._dispatcher.on_event, 50),
                (names.requests, self._on_request, 10),
            ):
                await stack.enter_async_context(self._bus.consume(queue, handler, prefetch=prefetch))
            spawn(every(TURN_S, self._dispatcher.turn, wake=self._dispatcher.wake), "dispatch")
            if settings.master.watch:
                watch = WatchList(settings, self._client, self.store, self._dispatcher.wake.set)
                spawn(watch.follow(), "watch list")
            await self._bus.publish(names.ctl, "slave.all", Ping(), mandatory=False)
            self._stack = stack.pop_all()
        log.info("master_ready", master=name)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._stack.__aexit__(kind, error, trace)

    async def submit(self, submissions: Sequence[Submission]) -> list[JobSummary]:
        """Make jobs of the submissions and return their rows; they are stored, and are sent next.

        Raises ``UsageError`` or one of its classes (``NoSuchDistribution``) when one of them cannot be met.
        """
        images = {submission.machine.image for submission in submissions}
        targets = {image: await self._targets.target(image) for image in images}
        runs = await jobs_for(
            submissions,
            client=self._client,
            target=lambda submission: targets[submission.machine.image],
            master=self.settings.master.name,
            lease_s=self.settings.master.lease_s,
        )
        await self.store.add_jobs(runs)
        self.submitted.extend(run.job for run in runs)
        self._dispatcher.wake.set()
        return [(await self.store.job(run.job)).summary for run in runs]

    async def test(
        self,
        requirement: str | None = None,
        *,
        file: Path | None = None,
        choice: FileChoice = FileChoice.AUTO,
        profile: str = "default",
        tasks: Sequence[str] = (),
        machine: MachineRequest | None = None,
    ) -> Report:
        """Test one file of a release, or one local file, and return its report.

        With ``choice`` ``ALL`` use ``submit`` and ``report``, since there is a report for each file. Raises what
        ``submit`` raises.
        """
        if choice is FileChoice.ALL:
            raise UsageError("test() gives one report; use submit() and report() to test all the files of a release")
        submission = Submission(
            requirement=requirement,
            file=None if file is None else await stored_file(file, self.blobs),
            choice=choice,
            profile=profile,
            tasks=tuple(tasks),
            machine=machine or MachineRequest(image=self.settings.machines.image),
        )
        (job,) = await self.submit([submission])
        return await self.report(job.job)

    async def report(self, job: str) -> Report:
        """Wait until the job has ended and return its report; raises ``NoSuchJob``."""
        ending = self._progress.ending(job)
        while (await self.store.job(job)).summary.state not in _ENDED:
            try:
                # Another master of the same name may have ended it, so look again now and then.
                async with asyncio.timeout(TURN_S * 4):
                    await ending.wait()
            except TimeoutError:
                pass
        reference = await self.store.report_reference(job)
        if reference is None:
            raise UsageError(f"job {job} was cancelled before it started, so there is no report")
        return decode_report(await self.blobs.get_bytes(reference, limit=MAX_REPORT_BYTES))

    async def cancel(self, job: str, reason: str = "") -> None:
        """Cancel a job that waits or runs; one that has ended stays as it is. Raises ``NoSuchJob``."""
        await self.store.request_cancel(job, reason)
        self._dispatcher.wake.set()

    async def jobs(self, limit: int = 50, state: JobState | None = None) -> Sequence[JobSummary]:
        """The newest jobs first."""
        return await self.store.jobs(limit, state)

    async def slaves(self) -> Sequence[SlavePresence]:
        """The last presence of each slave."""
        return await self.store.slaves()

    def watch(self) -> AbstractContextManager[AsyncIterator[JobProgress]]:
        """Progress of all jobs while the context is open."""
        return self._progress.watch()

    async def _on_request(self, message: Message, context: Context) -> None:
        if isinstance(message, SubmitJobs):
            try:
                reply: Message = JobListing(jobs=tuple(await self.submit(message.submissions)))
            except PytiError as error:
                reply = refusal(error)
        else:
            reply = await answer(message, self.store, self.blobs)
            if isinstance(message, CancelJob):
                self._dispatcher.wake.set()
        await context.reply(reply)
