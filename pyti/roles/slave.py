"""The slave: takes jobs from the bus, runs as many at once as it has machine slots, and hands back their results."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import structlog

from pyti._version import __version__
from pyti.bus import Bus, Context, Delivery
from pyti.config import Settings
from pyti.errors import BusError, Cause, ImageMissing, PytiError
from pyti.messages import (
    CancelJob,
    Drain,
    GetTarget,
    JobAccepted,
    JobFailure,
    JobProgress,
    JobResult,
    JobRun,
    Message,
    Ping,
    Priority,
    Refusal,
    SlavePresence,
    Step,
    TargetReply,
)
from pyti.roles.activity import ActivityBoard
from pyti.roles.pipeline import JobPipeline
from pyti.roles.rooms import SlaveRooms
from pyti.roles.supervision import every, supervised
from pyti.roles.topology import Names, bus_options, registry, slave_topology
from pyti.store import Acceptance, Journal

__all__ = ["Slave"]

log = structlog.get_logger(__name__)

TAKE_LIMIT_S = 5.0
"""How long one wait for a job lasts before draining is looked at again."""

TAKE_PAUSE_S = 1.0
"""Between two tries to take a job while the broker is away."""

HAND_BACK_LIMIT_S = 90.0
"""How long a cancelled job may take to destroy its machine and say so."""


@dataclass
class _Running:
    """A job that this slave runs now."""

    run: JobRun
    pipeline: JobPipeline
    work: asyncio.Task[JobResult] | None = None
    cancelled: str | None = None
    """Why it was cancelled, once it was."""


@dataclass
class _Outgoing:
    """Events that wait to be published; bounded, since progress may be lost and memory may not."""

    queue: asyncio.Queue[tuple[str, Message, str]] = field(default_factory=lambda: asyncio.Queue(maxsize=1000))

    def put(self, key: str, message: Message, job: str) -> None:
        if self.queue.full():
            self.queue.get_nowait()
        self.queue.put_nowait((key, message, job))


class Slave:
    """A long-running service; ``async with Slave(settings):`` takes jobs until it is left.

    Entering raises ``ImageMissing``, ``HypervisorUnavailable`` or ``BusDisconnected``. A fatal error of one of its
    parts cancels the body and is raised on leaving. Jobs that still run when it is left are handed back: their
    machines are destroyed and the master is told to try them elsewhere.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.name = settings.slave.name or _host_name()
        self.activities = ActivityBoard()
        self._names = Names(settings.bus.namespace)
        self._stack = AsyncExitStack()
        self._running: dict[str, _Running] = {}
        self._slots = asyncio.Semaphore(settings.slave.slots)
        self._draining = asyncio.Event()
        self._drained = asyncio.Event()
        self._announce_now = asyncio.Event()
        self._outgoing = _Outgoing()
        self._bus: Bus
        self._rooms: SlaveRooms
        self._journal: Journal
        self._spawn: Any

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._rooms = await stack.enter_async_context(SlaveRooms.open(self.settings, owner=self.name))
            self._journal = await stack.enter_async_context(
                Journal.open(self.settings.home / "slaves" / f"{self.name}.sqlite")
            )
            capabilities = self._rooms.capabilities
            self._bus = await stack.enter_async_context(
                Bus.open(
                    self.settings.bus.url,
                    registry=registry(),
                    topology=slave_topology(self.settings.bus.namespace, self.name, capabilities),
                    name=self.name,
                    app="pyti",
                    options=bus_options(self.settings.bus),
                )
            )
            await self._recover()
            self._spawn = await stack.enter_async_context(supervised())
            await stack.enter_async_context(self._hand_back_on_exit())
            await stack.enter_async_context(
                self._bus.consume(self._names.control(self.name), self._control, prefetch=10)
            )
            self._spawn(self._publish_events(), "events")
            self._spawn(every(self.settings.slave.heartbeat_s, self._heartbeat, wake=self._announce_now), "heartbeat")
            self._spawn(every(self.settings.slave.heartbeat_s, self._send_unsent), "results")
            self._spawn(self._take_jobs(), "take jobs")
            self._stack = stack.pop_all()
        log.info("slave_ready", slave=self.name, slots=self.settings.slave.slots, accel=self._rooms.accelerator.accel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._stack.__aexit__(kind, error, trace)

    async def drain(self) -> None:
        """Stop taking jobs and wait until those that run have ended."""
        self._draining.set()
        self._announce_now.set()
        await self._drained.wait()

    @property
    def draining(self) -> asyncio.Event:
        """Set once a ``Drain`` command came, so that the program around the slave can end it."""
        return self._draining

    # -- taking jobs ---------------------------------------------------------------------------------------------

    async def _take_jobs(self) -> None:
        # All high queues before all normal ones.
        ordered = tuple(self._names.jobs(name, priority) for priority in Priority for name in self._rooms.capabilities)
        while not self._draining.is_set():
            await self._slots.acquire()
            taken = False
            try:
                delivery = await self._bus.take(ordered, timeout_s=TAKE_LIMIT_S)
                if delivery is not None:
                    taken = await self._accept(delivery)
            except BusError as error:
                # What was not acknowledged is delivered again when the broker is back.
                log.warning("take_failed", error=error.message)
                await asyncio.sleep(TAKE_PAUSE_S)
            finally:
                if not taken:
                    self._slots.release()
        while self._running:
            await asyncio.wait([running.work for running in self._running.values() if running.work], timeout=1.0)
        self._drained.set()

    async def _accept(self, delivery: Delivery) -> bool:
        """Journal the job, tell the master, acknowledge, and start it; returns whether a slot is now in use."""
        run = delivery.message
        if not isinstance(run, JobRun):
            await delivery.reject(reason=f"a job queue holds a {type(run).__name__}")
            return False
        if (running := self._running.get(run.job)) is not None:
            if running.run.attempt >= run.attempt:
                # A redelivery of what runs here already: re-attach.
                await delivery.ack()
                self._report_progress(running.run, running.pipeline.step)
                return False
            running.cancelled = "a newer attempt was dispatched"
            if running.work is not None:
                running.work.cancel()
            await delivery.requeue(delay_s=1.0)
            return False
        if await self._journal.accept(run) in (Acceptance.FINISHED, Acceptance.STALE):
            # An attempt that is over, or older than one that was here: its result is sent, or will be. One that is
            # journaled and does not run (RUNNING) was never announced, because the bus failed in between: start it.
            await delivery.ack()
            return False
        await self._bus.publish(
            self._names.evt,
            f"job.{run.job}.accepted",
            JobAccepted(job=run.job, attempt=run.attempt, slave=self.name, lease_until=time.time() + run.lease_s),
            correlation_id=run.job,
            mandatory=False,
        )
        await delivery.ack()

        def announce(step: Step, task: str, machine: str) -> None:
            self.activities.move(run.job, step, task=task, machine=machine)
            self._report_progress(run, step)

        self.activities.begin(run)
        running = _Running(run, JobPipeline(run, self._rooms, slave=self.name, announce=announce))
        self._running[run.job] = running
        self._announce_now.set()
        self._spawn(self._oversee(running), f"job {run.job}")
        return True

    async def _oversee(self, running: _Running) -> None:
        """Run one job to its result, which is journaled and sent; the slot is free afterwards."""
        run = running.run
        with structlog.contextvars.bound_contextvars(job=run.job, attempt=run.attempt):
            try:
                running.work = asyncio.create_task(running.pipeline.execute(), name=f"pipeline {run.job}")
                try:
                    await asyncio.wait({running.work})
                finally:
                    if not running.work.done():
                        # This slave is being left: hand the job back.
                        running.work.cancel()
                        await asyncio.wait({running.work}, timeout=HAND_BACK_LIMIT_S)
                    await asyncio.shield(self._conclude(running))
            finally:
                self._running.pop(run.job, None)
                self.activities.end(run.job)
                self._slots.release()
                self._announce_now.set()

    async def _conclude(self, running: _Running) -> None:
        work = running.work
        if work is not None and work.done() and not work.cancelled():
            result = work.result()
        elif running.cancelled is not None:
            result = running.pipeline.result("cancelled")
        else:
            result = running.pipeline.result("failed", _handed_back(self.name, running.pipeline.step))
        await self._journal.keep_result(result)
        await self._send(running.run.master, result)

    # -- results and events ----------------------------------------------------------------------------------------

    async def _recover(self) -> None:
        """Give up the jobs that an earlier run of this slave accepted and never finished."""
        for run in await self._journal.pending():
            log.warning("job_abandoned", job=run.job, attempt=run.attempt)
            result = JobResult(
                job=run.job,
                attempt=run.attempt,
                slave=self.name,
                state="failed",
                distribution=run.distribution,
                failure=_handed_back(self.name, Step.ACCEPTED),
                finished=time.time(),
            )
            await self._journal.keep_result(result)

    async def _send(self, master: str, result: JobResult) -> None:
        try:
            await self._bus.publish(self._names.res, f"result.{master}", result, correlation_id=result.job)
        except PytiError as error:
            # Journaled: the loop ``results`` sends it again.
            log.warning("result_not_sent", job=result.job, error=error.message)
        else:
            await self._journal.sent(result.job, result.attempt)

    async def _send_unsent(self) -> None:
        for master, result in await self._journal.unsent():
            if result.job not in self._running:
                await self._send(master, result)

    def _report_progress(self, run: JobRun, step: Step) -> None:
        row = self.activities[run.job]
        now = time.time()
        self._outgoing.put(
            f"job.{run.job}.progress",
            JobProgress(
                job=run.job,
                attempt=run.attempt,
                slave=self.name,
                step=step,
                task=row.task,
                machine=row.machine,
                lease_until=now + run.lease_s,
                at=now,
            ),
            run.job,
        )

    async def _publish_events(self) -> None:
        while True:
            key, message, job = await self._outgoing.queue.get()
            try:
                await self._bus.publish(self._names.evt, key, message, correlation_id=job or None, mandatory=False)
            except PytiError as error:
                log.warning("event_lost", key=key, error=error.message)

    async def _heartbeat(self) -> None:
        for running in tuple(self._running.values()):
            if running.run.job in self.activities:
                self._report_progress(running.run, running.pipeline.step)
        self._outgoing.put(f"slave.{self.name}", self.presence(), "")

    def presence(self, *, leaving: bool = False) -> SlavePresence:
        """What this slave says of itself: capabilities, free slots, and what each busy slot does."""
        slots = self.settings.slave.slots
        return SlavePresence(
            slave=self.name,
            version=__version__,
            capabilities=self._rooms.capabilities,
            accel=self._rooms.accelerator.accel,
            slots=slots,
            free=max(0, slots - len(self._running)),
            draining=self._draining.is_set(),
            leaving=leaving,
            activities=self.activities.rows(),
            at=time.time(),
        )

    # -- control ---------------------------------------------------------------------------------------------------

    async def _control(self, message: Message, context: Context) -> None:
        match message:
            case CancelJob(job=job, reason=reason, attempt=attempt):
                running = self._running.get(job)
                if running is not None and running.work is not None and attempt in (0, running.run.attempt):
                    running.cancelled = reason or "cancelled"
                    running.work.cancel()
            case Drain():
                self._draining.set()
                self._announce_now.set()
            case Ping():
                self._announce_now.set()
            case GetTarget(image=name):
                try:
                    image = self._rooms.image(name)
                except ImageMissing as error:
                    await context.reply(Refusal(error="ImageMissing", message=error.message, remedy=error.remedy))
                else:
                    await context.reply(TargetReply(image=name, target=image.target))
            case _:
                log.warning("control_ignored", type=type(message).__name__)

    @asynccontextmanager
    async def _hand_back_on_exit(self) -> AsyncIterator[None]:
        """On leaving, say goodbye; the jobs' overseers destroy machines and hand back when they are cancelled."""
        try:
            yield
        finally:
            self._draining.set()
            if self._bus.connected:
                try:
                    async with asyncio.timeout(self.settings.bus.confirm_timeout_s):
                        await self._bus.publish(
                            self._names.evt,
                            f"slave.{self.name}",
                            self.presence(leaving=True),
                            mandatory=False,
                        )
                except (PytiError, TimeoutError) as error:
                    log.warning("goodbye_lost", error=str(error))


def _handed_back(slave: str, step: Step) -> JobFailure:
    return JobFailure(
        step=step,
        cause=Cause.INFRASTRUCTURE,
        error="HandedBack",
        message=f"slave {slave} stopped before the job was done",
        remedy="The job is tried again by another slave.",
        retryable=True,
    )


def _host_name() -> str:
    """The host's name, made to fit a slave's name."""
    name = "".join(c if c.isalnum() or c == "-" else "-" for c in socket.gethostname().lower()).strip("-")
    return name[:40] or "slave"
