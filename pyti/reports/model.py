"""The shape of a report: what was tested, on what, how each task ended, what was found, and how far to trust it.

Everything in a report that came from a guest has already been bounded and type-checked by ``evaluate``; it is still
text that strangers wrote, so the renderers neutralise it once more where it is shown.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from pyti.errors import Cause
from pyti.messages import Distribution, JobFailure, MachineUsed, Timings

__all__ = [
    "REPORT_VERSION",
    "Coverage",
    "Finding",
    "ImportFigures",
    "LintFigures",
    "Malice",
    "MaliceLevel",
    "MetadataFigures",
    "PhaseCoverage",
    "PhaseReport",
    "Quality",
    "Report",
    "Severity",
    "StyleFigures",
    "TaskReport",
    "TestFigures",
    "WheelFigures",
]

REPORT_VERSION = 1
"""The version of the report's shape; new fields have defaults and do not change it."""

Severity = Literal["info", "low", "medium", "high", "critical"]
"""How much a finding weighs by itself; docs/reference/findings.md lists each rule's."""

MaliceLevel = Literal["none_found", "suspicious", "malicious", "inconclusive"]


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """The base of everything in a report."""


class PhaseReport(Part, frozen=True, kw_only=True):
    """One process tree that a task ran; sizes in bytes, times in seconds."""

    name: str
    exit_status: int | None = None
    signal: int | None = None
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    max_rss: int | None = None
    limit: str | None = None
    processes_killed: int = 0


class TaskReport(Part, frozen=True, kw_only=True):
    """How one task ended, and who is to blame when it did not pass."""

    name: str
    outcome: Literal["passed", "failed", "error", "timeout", "skipped", "not_applicable"]
    cause: Cause | None = None
    detail: str = ""
    seconds: float = 0.0
    max_rss: int | None = None
    """Peak memory of the largest phase, in bytes."""
    exit_status: int | None = None
    """Of the last phase; negative is a signal's number."""
    started_after: float | None = None
    """Seconds between the start of the job in the guest and the start of this task, by the guest's clock."""
    phases: tuple[PhaseReport, ...] = ()


class Finding(Part, frozen=True, kw_only=True):
    """One behaviour that a rule recognised; ``id`` is stable for ever."""

    id: str
    severity: Severity
    title: str
    task: str
    phase: str
    evidence: tuple[str, ...] = ()
    """At most ``EVIDENCE_LINES`` lines of neutralised text."""
    count: int = 1
    """How often it was seen, also beyond the evidence shown."""


class PhaseCoverage(Part, frozen=True, kw_only=True):
    """What the rules could see of one phase."""

    task: str
    phase: str
    traced: bool = False
    truncated: bool = False
    marker_found: bool = False
    """Whether the end of the launcher was recognised by the phase's own argument vector."""
    lines: int = 0
    events: int = 0
    unreadable: int = 0
    """Lines that are not strace's; other than zero means that something wrote into the trace or cut it."""
    processes: int = 0


class Coverage(Part, frozen=True, kw_only=True):
    """What was looked at, so that "nothing found" has a meaning."""

    observed: tuple[str, ...] = ()
    """Tasks that ran and were traced to their end."""
    partial: tuple[str, ...] = ()
    """Tasks that ran and were traced, but not to their end."""
    unobserved: tuple[str, ...] = ()
    """Tasks that would run the distribution's code, were asked for, and were not seen."""
    phases: tuple[PhaseCoverage, ...] = ()
    lines: int = 0
    events: int = 0
    rules: tuple[str, ...] = ()
    """The ids of all rules that were applied."""


class Malice(Part, frozen=True, kw_only=True):
    """The verdict on intent: a level, the reasons for it, and what was covered."""

    level: MaliceLevel
    reasons: tuple[str, ...] = ()
    coverage: Coverage = Coverage()


class TestFigures(Part, frozen=True, kw_only=True):
    """What the distribution's own tests said."""

    framework: str = ""
    found_by: str = ""
    collected: int = 0
    passed: int = 0
    failed: int = 0
    errors: int = 0
    skipped: int = 0
    xfailed: int = 0
    seconds: float = 0.0


class LintFigures(Part, frozen=True, kw_only=True):
    """What pylint said; ``score`` is pylint's own, at most 10."""

    score: float | None = None
    counts: dict[str, int] = {}
    statements: int = 0
    lines: int = 0


class StyleFigures(Part, frozen=True, kw_only=True):
    """What the PEP 8 checker said."""

    total: int = 0
    lines: int = 0
    per_100_lines: float | None = None
    counts: dict[str, int] = {}
    """The ten most frequent codes."""


class ImportFigures(Part, frozen=True, kw_only=True):
    """How many of the installed modules can be imported."""

    total: int = 0
    ok: int = 0
    failed: tuple[str, ...] = ()
    """At most twenty of those that cannot, with the error."""

    slowest: tuple[tuple[str, float], ...] = ()
    """The three slowest, with seconds."""


class WheelFigures(Part, frozen=True, kw_only=True):
    """The wheel or the installed files; sizes in bytes."""

    filename: str = ""
    size: int | None = None
    tags: tuple[str, ...] = ()
    backend: str = ""
    files: int | None = None
    installed_bytes: int | None = None
    extensions: int | None = None
    """Compiled modules."""
    left_after_uninstall: int | None = None
    consistent: bool | None = None
    """Whether all that was installed satisfies each other's requirements."""


class MetadataFigures(Part, frozen=True, kw_only=True):
    """Which of the fields that a user needs are there."""

    present: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


class Quality(Part, frozen=True, kw_only=True):
    """Figures, each by itself: PyTI invents no single score out of them."""

    tests: TestFigures | None = None
    imports: ImportFigures | None = None
    pylint: LintFigures | None = None
    pep8: StyleFigures | None = None
    wheel: WheelFigures | None = None
    metadata: MetadataFigures | None = None
    typed: bool | None = None
    """Whether it ships a ``py.typed`` marker; unknown is ``None``."""
    summary: tuple[str, ...] = ()
    """One sentence for each figure that there is."""


class Report(Part, frozen=True, kw_only=True):
    """Everything that PyTI has to say about one job."""

    report_version: int = REPORT_VERSION
    pyti_version: str = ""
    job: str
    attempt: int
    profile: str = "default"
    slave: str = ""
    distribution: Distribution
    machine: MachineUsed = MachineUsed()
    tools: dict[str, str] = {}
    """Versions of the interpreter and the tools in the image."""
    state: Literal["done", "failed", "cancelled"] = "done"
    tasks: tuple[TaskReport, ...] = ()
    findings: tuple[Finding, ...] = ()
    quality: Quality = Quality()
    malice: Malice
    lock: str | None = None
    """The PEP 751 lock of everything that was installed, as TOML."""
    timings: Timings = Timings()
    failure: JobFailure | None = None
    notes: tuple[str, ...] = ()
    """Where the raw data contradicts itself or breaks off."""
    submitted: float = 0.0
    finished: float = 0.0
    evaluated: float = 0.0
    """Unix times by the master's clock."""
    exit_status: int = 0
