"""The raw data contract: what goes into a guest's inbox and what comes out of its outbox.

The guest writes the same shapes with the standard library alone (``pyti.guest``); here they are decoded, and every
bound is checked, because everything that comes out of a guest is hostile.

In::

    inbox/<job>/dist/<filename>         the distribution under test
    inbox/<job>/wheelhouse/<filename>   its dependencies and build requirements
    inbox/<job>/job.json                a GuestJob; renamed in last, so its presence means that all is there

Out, append-only::

    outbox/<job>/records.jsonl                          one record a line
    outbox/<job>/streams/<task>/<phase>.stdout|.stderr|.strace
    outbox/<job>/artefacts/<task>/<name>
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from pyti.errors import Cause
from pyti.messages import DistributionKind, JobId, Name, Seconds, Sha256, TaskName

__all__ = [
    "MAX_DATA_BYTES",
    "MAX_FILES",
    "MAX_OUTBOX_BYTES",
    "MAX_RECORDS",
    "MAX_RECORD_BYTES",
    "OUTBOX_PATH",
    "TASKS",
    "GuestAddress",
    "GuestDistribution",
    "GuestJob",
    "JobFinished",
    "JobStarted",
    "Limits",
    "Outcome",
    "Phase",
    "RawRecord",
    "StreamReference",
    "TaskFinished",
    "TaskStarted",
]

MAX_RECORD_BYTES = 1024 * 1024
"""One line of ``records.jsonl``; the agent keeps its ``data`` below MAX_DATA_BYTES."""
MAX_DATA_BYTES = 768 * 1024
MAX_RECORDS = 1000
MAX_FILES = 500
"""Files in one job's outbox."""
MAX_OUTBOX_BYTES = 256 * 1024 * 1024
"""All the bytes that one job's guest may send."""

OUTBOX_PATH = (
    r"^(records\.jsonl"
    r"|streams/[a-z][a-z0-9-]{0,31}/[a-z][a-z0-9-]{0,31}\.(stdout|stderr|strace)"
    r"|artefacts/[a-z][a-z0-9-]{0,31}/[A-Za-z0-9][A-Za-z0-9._+!-]{0,254})$"
)
"""The only names that an outbox may hold."""

TASKS = (
    "metadata",
    "build",
    "install",
    "startup",
    "import",
    "entry-points",
    "tests",
    "pylint",
    "pep8",
    "uninstall",
)
"""Every task, in the order in which a guest runs them."""

Outcome = Literal["passed", "failed", "error", "timeout", "skipped", "not_applicable"]
"""``failed``: the package did not do it. ``error``: the task itself could not be carried out."""

Text = Annotated[str, Meta(max_length=8192)]
Bytes = Annotated[int, Meta(ge=0, le=2**50)]


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """The base of everything in the contract."""


class GuestAddress(Piece, frozen=True, kw_only=True):
    """How to reach one machine's SSH server: over a UNIX socket, with pinned keys."""

    socket: Path
    user: str = "root"
    client_key: Path
    """The private key that the image's root accepts."""
    host_key: str
    """The guest's public host key, in OpenSSH's one-line form."""


class Limits(Piece, frozen=True, kw_only=True):
    """What one phase of a task may use."""

    wall_s: Annotated[float, Meta(gt=0)] = 300.0
    memory_bytes: Bytes = 768 * 1024 * 1024
    pids: Annotated[int, Meta(ge=1)] = 256
    output_bytes: Bytes = 8 * 1024 * 1024
    """Of stdout and of stderr, each; what is beyond is counted, not kept."""
    trace_bytes: Bytes = 64 * 1024 * 1024
    file_bytes: Bytes = 2 * 1024 * 1024 * 1024
    """The largest file that may be written."""


class GuestDistribution(Piece, frozen=True, kw_only=True):
    """The distribution under test, as the guest needs to know it."""

    name: Name
    version: Name
    filename: Name
    kind: DistributionKind
    extras: tuple[Name, ...] = ()
    test_extras: tuple[Name, ...] = ()
    """Extras that hold test requirements and were resolved into the wheelhouse."""


class GuestJob(Piece, frozen=True, kw_only=True):
    """The text of ``job.json``."""

    v: Literal[1] = 1
    job: JobId
    attempt: int = 1
    dist: GuestDistribution
    tasks: tuple[TaskName, ...]
    limits: Limits = Limits()
    task_limits: dict[str, Limits] = {}
    """Limits of single tasks, where they differ."""
    time_limit_s: Annotated[float, Meta(gt=0)] = 1800.0
    """All tasks together; what has not started by then is ``timeout``."""
    trace: bool = True
    test_requirements: tuple[str, ...] = ()
    """Further requirements, in the wheelhouse, to install before ``tests`` runs."""


class StreamReference(Piece, frozen=True, kw_only=True):
    """One file in the outbox, as the guest describes it; the slave checks it against what it received."""

    path: Annotated[str, Meta(pattern=OUTBOX_PATH)]
    size: Bytes
    sha256: Sha256 | None = None
    truncated: bool = False
    total: Bytes | None = None
    """Bytes that were produced, where more than ``size``."""


class Phase(Piece, frozen=True, kw_only=True):
    """One process tree that a task ran."""

    phase: TaskName
    argv: Annotated[tuple[Annotated[str, Meta(max_length=4096)], ...], Meta(max_length=256)] = ()
    exit_status: int | None = None
    signal: int | None = None
    started: float = 0.0
    """Unix time by the guest's clock."""
    wall_s: Seconds = 0.0
    cpu_user_s: Seconds = 0.0
    cpu_system_s: Seconds = 0.0
    max_rss_bytes: Bytes | None = None
    """Peak of the control group's memory (cgroup v2 ``memory.peak``), else the largest process's."""
    limit: Literal["wall", "memory", "pids", "output", "file"] | None = None
    """The limit that was hit, if one was."""
    processes_killed: Annotated[int, Meta(ge=0)] = 0
    """Processes that outlived the main one and were killed."""
    stdout: StreamReference | None = None
    stderr: StreamReference | None = None
    trace: StreamReference | None = None


class JobStarted(Piece, frozen=True, kw_only=True, tag_field="type", tag="job.started"):
    """The agent found the job in its inbox."""

    seq: int
    at: float
    job: JobId
    attempt: int
    tools: dict[str, Text] = {}
    """Versions of the interpreter and the tools in the image."""


class TaskStarted(Piece, frozen=True, kw_only=True, tag_field="type", tag="task.started"):
    """A task begins."""

    seq: int
    at: float
    job: JobId
    attempt: int
    task: TaskName


class TaskFinished(Piece, frozen=True, kw_only=True, tag_field="type", tag="task.finished"):
    """A task ended, was skipped, or does not apply."""

    seq: int
    at: float
    job: JobId
    attempt: int
    task: TaskName
    outcome: Outcome
    cause: Cause | None = None
    """The guest's guess; the master judges for itself."""
    detail: Text = ""
    wall_s: Seconds = 0.0
    phases: Annotated[tuple[Phase, ...], Meta(max_length=16)] = ()
    artefacts: Annotated[tuple[StreamReference, ...], Meta(max_length=32)] = ()
    data: dict[str, Any] = {}
    """What only this task knows; docs/reference/raw-data.md has the shapes."""


class JobFinished(Piece, frozen=True, kw_only=True, tag_field="type", tag="job.finished"):
    """The agent is done with the job; nothing follows."""

    seq: int
    at: float
    job: JobId
    attempt: int


RawRecord = JobStarted | TaskStarted | TaskFinished | JobFinished
"""Any line of ``records.jsonl``."""
