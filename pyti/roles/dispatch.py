"""The master's side of the command API: jobs out, leases watched, cancellations passed on, results counted once."""

from __future__ import annotations

import asyncio
import time

import msgspec
import structlog

from pyti.bus import Bus, Context
from pyti.config import Settings
from pyti.errors import Cause, ExitStatus, GuestMisbehaved, StoreError
from pyti.messages import (
    CancelJob,
    JobAccepted,
    JobFailure,
    JobProgress,
    JobResult,
    JobRun,
    JobState,
    Message,
    RawDataSet,
    SlavePresence,
    Step,
)
from pyti.roles.evaluation import evaluate_result
from pyti.roles.failure import failure_of
from pyti.roles.progress import ProgressFeed
from pyti.roles.topology import Names, capability, job_key, job_queues
from pyti.store import Blobs, Store

__all__ = ["Dispatcher"]

log = structlog.get_logger(__name__)

RESULT_ATTEMPTS = 4
"""Tries to store a report; the bus's delays between them add up to about 21 s."""

RESULT_LEASE_S = 120.0
"""Longer than any delay between two of those tries."""

NOBODY = "none"
"""Stands for the slave in the result of a job that no slave ever had."""


class Dispatcher:
    """Keeps the bus and the job table in step; the store decides, this only carries."""

    def __init__(self, settings: Settings, store: Store, blobs: Blobs, bus: Bus, progress: ProgressFeed) -> None:
        self._settings = settings
        self._store = store
        self._blobs = blobs
        self._bus = bus
        self._progress = progress
        self._names = Names(settings.bus.namespace)
        self._declared: set[str] = set()
        self.wake = asyncio.Event()
        """Set it when jobs were added to the store, or a cancellation was asked for."""

    async def turn(self) -> None:
        """One look at the table: send what waits, reissue what lost its lease, pass cancellations on."""
        now = time.time()
        master = self._settings.master.name
        for run in await self._store.pending(master=master):
            if run.deadline is not None and now > run.deadline:
                await self._finish(run, _unserved(run, _DEADLINE_PASSED, NOBODY))
            else:
                await self._send(run)
        for run in await self._store.stalled(now, master=master):
            if run.deadline is not None and now > run.deadline:
                await self._finish(run, _unserved(run, _DEADLINE_PASSED, NOBODY))
        for run in await self._store.expired(now, master=master):
            holder = (await self._store.job(run.job)).summary.slave
            await self._again(run, _unserved(run, _SLAVE_LOST, holder or NOBODY))
        for request in await self._store.cancel_requests(master=master):
            await self._cancel(request.slave, CancelJob(job=request.job, reason=request.reason))

    async def on_event(self, message: Message, context: Context) -> None:
        """Take an event of a slave: it renews a lease, or tells that the slave lives."""
        del context
        match message:
            case JobAccepted():
                if not await self._store.accepted(message.job, message.attempt, message.slave, message.lease_until):
                    # Cancelled while it waited in the queue, or an attempt that was given up: fence it off.
                    stale = CancelJob(job=message.job, attempt=message.attempt, reason="this attempt does not count")
                    await self._cancel(message.slave, stale)
            case JobProgress():
                if await self._store.progress(
                    message.job,
                    message.attempt,
                    message.slave,
                    step=message.step,
                    task=message.task,
                    machine=message.machine,
                    lease_until=message.lease_until,
                ):
                    self._progress.put(message)
            case SlavePresence():
                await self._store.slave_seen(message)
            case _:
                log.warning("event_ignored", type=type(message).__name__)

    async def on_result(self, message: Message, context: Context) -> None:
        """Take a result: it counts once for each job; a retryable failure is tried again while attempts are left.

        While the store fails, the job's lease is held, so that its work is not done again, and the result comes back
        through the bus's retries; at the last of them the job ends without a report and says why.
        """
        if not isinstance(message, JobResult):
            log.warning("result_ignored", type=type(message).__name__)
            return
        record = await self._store.job(message.job)
        if record.run.attempt != message.attempt or record.summary.state not in (JobState.QUEUED, JobState.RUNNING):
            log.info("result_fenced", job=message.job, attempt=message.attempt)
            return
        if message.failure is not None and message.failure.retryable:
            await self._again(record.run, message)
            return
        try:
            await self._finish(record.run, message)
        except StoreError as error:
            if context.attempt < RESULT_ATTEMPTS:
                held = time.time() + RESULT_LEASE_S
                await self._store.accepted(message.job, message.attempt, message.slave, held)
                raise
            await self._store.finish(
                message.job,
                message.attempt,
                JobState.FAILED,
                exit_status=ExitStatus.INCONCLUSIVE,
                detail=f"its report could not be stored: {error.message}",
                result=message,
            )
            self._progress.end(message.job)

    async def _send(self, run: JobRun) -> None:
        name = capability(run.machine.arch, run.machine.image)
        if name not in self._declared:
            queues, bindings = job_queues(self._names.namespace, name)
            for queue in queues:
                await self._bus.declare(queue)
            for binding in bindings:
                await self._bus.declare(binding)
            self._declared.add(name)
        await self._bus.publish(
            self._names.cmd,
            job_key(run.machine, run.priority),
            run,
            correlation_id=run.job,
            message_id=f"{run.job}.{run.attempt}",
        )
        await self._store.mark_dispatched(run.job, run.attempt)

    async def _again(self, run: JobRun, result: JobResult) -> None:
        """Queue the job once more; end it where its attempts are used up or somebody asked for its end."""
        left = run.attempt < self._settings.master.max_attempts
        if left and await self._store.reissue(run.job, run.attempt) is not None:
            log.info("job_reissued", job=run.job, attempt=run.attempt + 1)
            self.wake.set()
            return
        if (await self._store.job(run.job)).standing.cancelling:
            result = msgspec.structs.replace(result, state="cancelled")
        await self._finish(run, result)

    async def _finish(self, run: JobRun, result: JobResult) -> None:
        try:
            evaluated = await evaluate_result(run, result, self._blobs)
        except GuestMisbehaved as error:
            # Its own job suffers, and ends: the same raw data will not be better another time.
            failure = failure_of(error, Step.COLLECT)
            result = msgspec.structs.replace(result, state="failed", raw=RawDataSet(), failure=failure)
            evaluated = await evaluate_result(run, result, self._blobs)
        report = evaluated.report
        passed = sum(task.outcome == "passed" for task in report.tasks)
        counted = await self._store.finish(
            run.job,
            run.attempt,
            JobState(result.state),
            report=evaluated.reference,
            level=str(report.malice.level),
            exit_status=report.exit_status,
            passed=passed,
            not_passed=sum(task.outcome in ("failed", "error", "timeout") for task in report.tasks),
            detail=result.failure.message[:4000] if result.failure else "",
            result=result,
        )
        log.info("job_ended", job=run.job, state=result.state, counted=counted)
        if counted:
            self._progress.end(run.job)

    async def _cancel(self, slave: str, command: CancelJob) -> None:
        await self._bus.publish(self._names.ctl, f"slave.{slave}", command, correlation_id=command.job, mandatory=False)


_DEADLINE_PASSED = JobFailure(
    step=Step.ACCEPTED,
    cause=Cause.RESOURCE,
    error="DeadlinePassed",
    message="the job's deadline passed before it was started",
    remedy="Give it a later deadline, or start more slaves.",
    timeout=True,
)

_SLAVE_LOST = JobFailure(
    step=Step.ACCEPTED,
    cause=Cause.INFRASTRUCTURE,
    error="LeaseExpired",
    message="the slave that ran the job was lost",
    remedy="Look at that slave's log and machine.",
)


def _unserved(run: JobRun, failure: JobFailure, slave: str) -> JobResult:
    """The result of an attempt of which no slave will hand one over; ``slave`` is who had it."""
    return JobResult(
        job=run.job,
        attempt=run.attempt,
        slave=slave,
        state="failed",
        distribution=run.distribution,
        failure=failure,
        finished=time.time(),
    )
