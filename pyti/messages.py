"""The vocabulary: every command, event and result that crosses the bus.

A message is a frozen msgspec Struct whose tag carries name and version (``job.run.v1``) in the field ``type``.
New fields have defaults; a field never changes type; unknown fields are ignored.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from pyti.errors import Cause

__all__ = [
    "INLINE_LIMIT",
    "BlobReference",
    "CancelJob",
    "ControlCommand",
    "Distribution",
    "DistributionKind",
    "Drain",
    "FileChoice",
    "GetReport",
    "GetTarget",
    "JobAccepted",
    "JobFailure",
    "JobId",
    "JobListing",
    "JobProgress",
    "JobResult",
    "JobRun",
    "JobState",
    "JobSummary",
    "ListJobs",
    "ListSlaves",
    "MachineRequest",
    "MachineUsed",
    "Message",
    "NetworkPolicy",
    "Ping",
    "Priority",
    "RawDataSet",
    "Refusal",
    "ReportReply",
    "ShowJob",
    "SlaveListing",
    "SlavePresence",
    "SlotActivity",
    "Step",
    "Submission",
    "SubmitJobs",
    "TargetReply",
    "Timings",
]

INLINE_LIMIT = 64 * 1024
"""Bytes that may ride inside a message; the rest goes to the blob store (DESIGN: raw data does not pass job queues)."""

JobId = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{3,63}$")]
"""A job's id: lower-case letters, digits and hyphens, so that it is safe in file names, domains and routing keys."""

Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
ShortText = Annotated[str, Meta(max_length=4096)]
Seconds = Annotated[float, Meta(ge=0)]
TaskName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,31}$")]


class DistributionKind(StrEnum):
    """The two kinds of distribution files that the index serves."""

    SDIST = "sdist"
    WHEEL = "wheel"


class FileChoice(StrEnum):
    """Which files of a release to test: the one an installer would take, one kind, or all."""

    AUTO = "auto"
    SDIST = "sdist"
    WHEEL = "wheel"
    ALL = "all"


class NetworkPolicy(StrEnum):
    """What network a guest has; ``none`` means no network card at all."""

    NONE = "none"


class Priority(StrEnum):
    """Two queues per capability."""

    HIGH = "high"
    NORMAL = "normal"


class JobState(StrEnum):
    """Where a job stands in the master's table."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Step(StrEnum):
    """What a slave is doing for a job, in order."""

    ACCEPTED = "accepted"
    DOWNLOAD = "download"
    RESOLVE = "resolve"
    CLONE = "clone"
    DELIVER = "deliver"
    RUN = "run"
    COLLECT = "collect"
    DESTROY = "destroy"


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """The base of everything that crosses the bus."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """The base of the parts of messages."""


class BlobReference(Record, frozen=True, kw_only=True):
    """A claim check: where bytes lie in the blob store, and what they must be."""

    uri: Name
    sha256: Sha256
    size: Annotated[int, Meta(ge=0)]
    media_type: Name = "application/octet-stream"


class Distribution(Record, frozen=True, kw_only=True):
    """One file of one release: from the index (``url``) or handed over through the blob store (``blob``)."""

    name: Name
    version: Name
    filename: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+!-]{0,254}$")]
    kind: DistributionKind
    sha256: Sha256 | None = None
    size: int | None = None
    url: Annotated[str, Meta(max_length=4096)] | None = None
    blob: BlobReference | None = None
    extras: tuple[Name, ...] = ()
    yanked: bool = False
    yanked_reason: ShortText = ""
    requires_python: Name | None = None
    uploaded: float | None = None
    """Unix time of the upload, where the index tells it."""


class MachineRequest(Record, frozen=True, kw_only=True):
    """The machine that a job asks for."""

    image: Name = "bookworm"
    arch: Name = "x86_64"
    cpus: Annotated[int, Meta(ge=1, le=64)] = 1
    memory_mib: Annotated[int, Meta(ge=256, le=262144)] = 1024
    time_limit_s: Annotated[float, Meta(gt=0, le=86400)] = 1800.0
    """Wall-clock bound of all tasks of the job together."""
    network: NetworkPolicy = NetworkPolicy.NONE


class JobRun(Message, frozen=True, kw_only=True, tag="job.run.v1"):
    """Test this distribution on such a machine with these tasks."""

    job: JobId
    attempt: Annotated[int, Meta(ge=1)] = 1
    master: Name = "master"
    distribution: Distribution
    machine: MachineRequest = MachineRequest()
    profile: Name = "default"
    tasks: tuple[TaskName, ...] = ()
    """Names of the tasks to run; empty means those of the profile."""
    priority: Priority = Priority.NORMAL
    deadline: float | None = None
    """Unix time after which the job is not started."""
    lease_s: Annotated[float, Meta(gt=0)] = 30.0
    submitted: float = 0.0


class CancelJob(Message, frozen=True, kw_only=True, tag="job.cancel.v1"):
    """Stop the job, wherever it is. Sent by clients to the master and by the master to slaves."""

    job: JobId
    reason: ShortText = ""
    attempt: Annotated[int, Meta(ge=0)] = 0
    """Only this attempt; 0 means whichever runs."""


class Drain(Message, frozen=True, kw_only=True, tag="slave.drain.v1"):
    """Take no more jobs, finish those that run, then stop."""

    grace_s: Seconds = 60.0


class Ping(Message, frozen=True, kw_only=True, tag="slave.ping.v1"):
    """Announce yourself now."""


class GetTarget(Message, frozen=True, kw_only=True, tag="slave.target.v1"):
    """Ask a slave which interpreter and platform its image has; answered with a ``TargetReply`` or a ``Refusal``."""

    image: Name


class TargetReply(Message, frozen=True, kw_only=True, tag="slave.target-reply.v1"):
    """The image's manifest of its interpreter: PEP 508 markers and the tags of wheels that it takes."""

    image: Name
    target: dict[str, Any]


ControlCommand = CancelJob | Drain | Ping


class JobAccepted(Message, frozen=True, kw_only=True, tag="job.accepted.v1"):
    """A slave has journaled the job and leases it until ``lease_until`` (Unix time)."""

    job: JobId
    attempt: int
    slave: Name
    lease_until: float


class JobProgress(Message, frozen=True, kw_only=True, tag="job.progress.v1"):
    """Where a running job is; renews its lease."""

    job: JobId
    attempt: int
    slave: Name
    step: Step
    task: str = ""
    detail: ShortText = ""
    machine: str = ""
    lease_until: float = 0.0
    at: float = 0.0


class Timings(Record, frozen=True, kw_only=True):
    """Seconds that each part of a job took, measured by the slave; ``total`` is wall-clock from accept to destroyed."""

    resolve: Seconds = 0.0
    download: Seconds = 0.0
    clone: Seconds = 0.0
    deliver: Seconds = 0.0
    run: Seconds = 0.0
    collect: Seconds = 0.0
    destroy: Seconds = 0.0
    total: Seconds = 0.0
    tasks: Seconds = 0.0
    """Seconds spent inside tasks, as the guest's records say (a part of ``run``)."""


class MachineUsed(Record, frozen=True, kw_only=True):
    """The machine that a job really ran on."""

    image: Annotated[str, Meta(max_length=200)] = ""
    template: str = ""
    accel: str = ""
    machine: str = ""
    cpus: int = 0
    memory_mib: int = 0
    cold_boot: bool = False
    tools: dict[str, Name] = {}
    """Versions of the interpreter and the tools in the image, by its manifest."""


class JobFailure(Record, frozen=True, kw_only=True):
    """Why a job has no complete raw data."""

    step: Step
    cause: Cause
    error: Name
    """The error's class name."""
    message: Annotated[str, Meta(max_length=65536)]
    remedy: ShortText = ""
    retryable: bool = False
    timeout: bool = False


class RawDataSet(Record, frozen=True, kw_only=True):
    """All that came out of the guest: the records, and the streams and artefacts by path in the outbox.

    ``records`` is the text of ``records.jsonl`` when it fits inline; else ``files`` holds it too.
    """

    records: Annotated[str, Meta(max_length=INLINE_LIMIT)] | None = None
    files: dict[str, BlobReference] = {}
    truncated: bool = False


class JobResult(Message, frozen=True, kw_only=True, tag="job.result.v1"):
    """What a slave hands over when a job ends, however it ends."""

    job: JobId
    attempt: int
    slave: Name
    state: Literal["done", "failed", "cancelled"]
    distribution: Distribution
    machine: MachineUsed = MachineUsed()
    timings: Timings = Timings()
    raw: RawDataSet = RawDataSet()
    lock: BlobReference | None = None
    """The PEP 751 lock of the job's wheelhouse."""
    failure: JobFailure | None = None
    finished: float = 0.0


class SlotActivity(Record, frozen=True, kw_only=True):
    """What one machine slot is doing."""

    job: JobId
    attempt: int
    distribution: Name
    step: Step
    task: str = ""
    machine: str = ""
    since: float = 0.0


class SlavePresence(Message, frozen=True, kw_only=True, tag="slave.presence.v1"):
    """A slave's heartbeat: what it can run and what it runs now."""

    slave: Name
    version: Name
    capabilities: tuple[Name, ...]
    """``<arch>.<image>`` for each kind of job that this slave takes."""
    accel: str = ""
    slots: int = 1
    free: int = 1
    draining: bool = False
    leaving: bool = False
    activities: tuple[SlotActivity, ...] = ()
    at: float = 0.0


class Submission(Record, frozen=True, kw_only=True):
    """One requirement, or one local file (already in the blob store), with how to test it."""

    requirement: Annotated[str, Meta(min_length=1, max_length=2048)] | None = None
    file: Distribution | None = None
    choice: FileChoice = FileChoice.AUTO
    machine: MachineRequest = MachineRequest()
    profile: Name = "default"
    tasks: tuple[TaskName, ...] = ()
    priority: Priority = Priority.NORMAL
    deadline: float | None = None


class SubmitJobs(Message, frozen=True, kw_only=True, tag="master.submit.v1"):
    """Ask the master to test these; answered with a ``JobListing`` or a ``Refusal``."""

    submissions: tuple[Submission, ...]


class ListJobs(Message, frozen=True, kw_only=True, tag="master.jobs.v1"):
    """Ask for the newest jobs; answered with a ``JobListing``."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 50
    state: JobState | None = None


class ShowJob(Message, frozen=True, kw_only=True, tag="master.show.v1"):
    """Ask for one job; answered with a ``JobListing`` of one, or a ``Refusal``."""

    job: JobId


class GetReport(Message, frozen=True, kw_only=True, tag="master.report.v1"):
    """Ask for one job's report; answered with a ``ReportReply`` or a ``Refusal``."""

    job: JobId


class ListSlaves(Message, frozen=True, kw_only=True, tag="master.slaves.v1"):
    """Ask which slaves are known; answered with a ``SlaveListing``."""


class JobSummary(Record, frozen=True, kw_only=True):
    """One row of the master's job table."""

    job: JobId
    state: JobState
    distribution: Distribution
    profile: Name
    attempt: int
    submitted: float
    slave: str = ""
    step: str = ""
    task: str = ""
    machine: str = ""
    finished: float | None = None
    level: str = ""
    """The malice level of its report, when there is one."""
    passed: int = 0
    not_passed: int = 0
    exit_status: int | None = None
    detail: ShortText = ""


class JobListing(Message, frozen=True, kw_only=True, tag="master.job-listing.v1"):
    """Jobs, newest first."""

    jobs: tuple[JobSummary, ...]


class ReportReply(Message, frozen=True, kw_only=True, tag="master.report-reply.v1"):
    """A report as JSON: inline when small, else by reference."""

    job: JobId
    report: Annotated[str, Meta(max_length=INLINE_LIMIT)] | None = None
    """The report's JSON as text."""
    blob: BlobReference | None = None


class SlaveListing(Message, frozen=True, kw_only=True, tag="master.slave-listing.v1"):
    """The last presence of every slave that the master has heard of."""

    slaves: tuple[SlavePresence, ...]


class Refusal(Message, frozen=True, kw_only=True, tag="master.refusal.v1"):
    """A request was not carried out; says why, and the exit status that goes with it."""

    error: Name
    message: Annotated[str, Meta(max_length=65536)]
    remedy: ShortText = ""
    exit_status: int = 2
