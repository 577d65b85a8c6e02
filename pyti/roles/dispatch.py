"""The master's side of the command API: jobs out, leases watched, cancellations passed on, results counted once."""

from __future__ import annotations

import asyncio
import time

import structlog

from pyti.bus import Bus, Context
from pyti.config import Settings
from pyti.errors import Cause, PytiError, StoreError
from pyti.messages import (
    CancelJob,
    JobAccepted,
    JobFailure,
    JobProgress,
    JobResult,
    JobRun,
    JobState,
    Message,
    SlavePresence,
    Step,
)
from pyti.roles.evaluation import evaluate_result
from pyti.roles.progress import ProgressFeed
from pyti.roles.topology import CMD, CTL, capability, job_key, job_queues
from pyti.store import Blobs, Store

__all__ = ["Dispatcher"]

log = structlog.get_logger(__name__)


class Dispatcher:
    """Keeps the bus and the job table in step; the store decides, this only carries."""

    def __init__(self, settings: Settings, store: Store, blobs: Blobs, bus: Bus, progress: ProgressFeed) -> None:
        self._settings = settings
        self._store = store
        self._blobs = blobs
        self._bus = bus
        self._progress = progress
        self._declared: set[str] = set()
        self.wake = asyncio.Event()
        """Set it when jobs were added to the store, or a cancellation was asked for."""

    async def turn(self) -> None:
        """One look at the table: send what waits, reissue what lost its lease, pass cancellations on."""
        now = time.time()
        for run in await self._store.pending(self._settings.master.name):
            if run.deadline is not None and now > run.deadline:
                await self._end(run, "failed", _failure(Cause.RESOURCE, "DeadlinePassed", "its deadline passed before it was started", timeout=True))
            else:
                await self._send(run)
        for run in await self._store.expired(now, self._settings.master.name):
            failure = _failure(
                Cause.INFRASTRUCTURE, "LeaseExpired", f"the slave that ran attempt {run.attempt} was lost"
            )
            await self._again(run, JobResult(
                job=run.job, attempt=run.attempt, slave="", state="failed",
                distribution=run.distribution, failure=failure, finished=now,
            ))
        for request in await self._store.cancel_requests(self._settings.master.name):
            await self._cancel(request.job, request.reason)

    async def on_event(self, message: Message, context: Context) -> None:
        """Take an event of a slave: it renews a lease, or tells that the slave lives."""
        del context
        match message:
            case JobAccepted():
                await self._store.accepted(message.job, message.attempt, message.slave, message.lease_until)
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
        """Take a result: it counts once for each job; a retryable failure is tried again while attempts are left."""
        del context
        if not isinstance(message, JobResult):
            log.warning("result_ignored", type=type(message).__name__)
            return
        record = await self._store.job(message.job)
        if record.run.attempt != message.attempt or record.summary.state not in (JobState.QUEUED, JobState.RUNNING):
            log.info("result_fenced", job=message.job, attempt=message.attempt)
            return
        if message.failure is not None and message.failure.retryable and not record.cancel_requested:
            await self._again(record.run, message)
        else:
            await self._finish(record.run, message)

    async def _send(self, run: JobRun) -> None:
        namespace = self._settings.bus.namespace
        name = capability(run.machine.arch, run.machine.image)
        if name not in self._declared:
            await self._bus.declare_all(job_queues(namespace, name))
            self._declared.add(name)
        await self._bus.publish(
            CMD(namespace), job_key(run.machine, run.priority), run, correlation_id=run.job, message_id=f"{run.job}.{run.attempt}"
        )
        await self._store.mark_dispatched(run.job, run.attempt)

    async def _again(self, run: JobRun, result: JobResult) -> None:
        if run.attempt < self._settings.master.max_attempts:
            if await self._store.reissue(run.job, run.attempt) is not None:
                log.info("job_reissued", job=run.job, attempt=run.attempt + 1)
                self.wake.set()
        else:
            await self._finish(run, result)

    async def _finish(self, run: JobRun, result: JobResult) -> None:
        try:
            evaluated = await evaluate_result(run, result, self._blobs)
        except StoreError:
            raise
        except PytiError as error:
            log.warning("evaluation_failed", job=run.job, error=error.message)
            raise
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

    async def _cancel(self, job: str, reason: str) -> None:
        record = await self._store.job(job)
        await self._bus.publish(
            CTL(self._settings.bus.namespace), "slave.all", CancelJob(job=job, reason=reason), correlation_id=job, mandatory=False
        )
        if record.summary.state == JobState.QUEUED:
            await self._end(record.run, "cancelled", None)

    async def _end(self, run: JobRun, state: str, failure: JobFailure | None) -> None:
        """End a job that no slave has."""
        await self._finish(
            run,
            JobResult(
                job=run.job,
                attempt=run.attempt,
                slave="",
                state="cancelled" if state == "cancelled" else "failed",
                distribution=run.distribution,
                failure=failure,
                finished=time.time(),
            ),
        )


def _failure(cause: Cause, error: str, message: str, *, timeout: bool = False) -> JobFailure:
    return JobFailure(step=Step.ACCEPTED, cause=cause, error=error, message=message, timeout=timeout)
