"""What every renderer shows, in words: the verdict, what to do next, units, and findings put together by rule."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from pyti.reports.model import Finding, Report, Severity, TaskReport
from pyti.reports.neutral import neutral_line
from pyti.reports.rules import RANK

__all__ = [
    "LEVELS",
    "OUTCOMES",
    "SEVERITIES",
    "Bar",
    "Group",
    "Row",
    "advice",
    "bars",
    "facts",
    "figures",
    "groups",
    "seconds_text",
    "size_text",
    "tally",
    "timings",
    "verdict",
]  # fmt: skip

OUTCOMES = {
    "passed": ("✓", "passed"), "failed": ("✗", "failed"), "error": ("!", "error"), "timeout": ("⏱", "timeout"),
    "skipped": ("-", "skipped"), "not_applicable": ("·", "not applicable"),
}  # fmt: skip
"""A sign and words for each outcome, so that no one needs the colour."""
SEVERITIES = {"critical": "‼", "high": "▲", "medium": "◆", "low": "▽", "info": "·"}
LEVELS = {
    "malicious": ("‼", "malicious"), "suspicious": ("▲", "suspicious"), "inconclusive": ("?", "inconclusive"),
    "none_found": ("✓", "nothing found"),
}  # fmt: skip

SHOWN_TOOLS = ("python3", "uv", "setuptools", "pytest", "pylint", "pycodestyle", "strace")
"""The tools whose versions a person looks for first; the report's JSON names them all."""


class Row(NamedTuple):
    """A name and what is to be said about it."""

    name: str
    text: str


class Group(NamedTuple):
    """The findings of one rule over all tasks, the gravest severity first."""

    id: str
    severity: Severity
    title: str
    places: tuple[str, ...]
    times: int
    evidence: tuple[str, ...]


class Bar(NamedTuple):
    """One task on the timeline, in parts of the whole width (0 to 1)."""

    name: str
    outcome: str
    start: float
    width: float
    seconds: float


def seconds_text(seconds: float) -> str:
    """Give a length of time for people: ``0.3 s``, ``2 min 5 s``, ``1 h 3 min``."""
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left} min" if hours else f"{minutes} min {rest} s"


def size_text(size: int | None) -> str:
    """Give a size for people, in binary units; nothing for ``None``."""
    if size is None:
        return ""
    value, unit = float(size), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"


def tally(tasks: Sequence[TaskReport]) -> str:
    """Count the tasks by outcome: ``7 passed, 1 failed, 2 not applicable``."""
    counts = {outcome: sum(task.outcome == outcome for task in tasks) for outcome in OUTCOMES}
    return ", ".join(f"{count} {OUTCOMES[outcome][1]}" for outcome, count in counts.items() if count) or "no tasks"


def verdict(report: Report) -> tuple[str, str]:
    """Give the report's first line and its colour's name: ``good``, ``warn`` or ``bad``."""
    bad = [task for task in report.tasks if task.outcome in ("failed", "error", "timeout")]
    name = neutral_line(f"{report.distribution.name} {report.distribution.version}", 120)
    level = report.malice.level
    if level == "malicious":
        return f"MALICIOUS: {name} behaves like malware", "bad"
    parts = []
    if level == "suspicious":
        parts.append("suspicious behaviour")
    if report.failure is not None or report.state != "done":
        parts.append(
            "cancelled"
            if report.state == "cancelled"
            else f"the job failed at {report.failure.step}"
            if report.failure
            else "the job failed"
        )
    if bad:
        parts.append(
            ", ".join(
                f"{task.name} {'timed out' if task.outcome == 'timeout' else OUTCOMES[task.outcome][1]}"
                for task in bad[:4]
            )
            + (" and more" if len(bad) > 4 else "")
        )
    if level == "inconclusive":
        parts.append("behaviour inconclusive")
    if report.exit_status == 0:
        return f"PASSED: {name}: {tally(report.tasks)}; nothing found", "good"
    word = {1: "SUSPICIOUS" if level == "suspicious" else "FAILED"}.get(report.exit_status, "INCONCLUSIVE")
    if word == "SUSPICIOUS":
        parts = [part for part in parts if part != "suspicious behaviour"]
        kinds = sum(RANK[group.severity] >= RANK["medium"] for group in groups(report.findings))
        reason = f"{kinds} kind{'s' if kinds > 1 else ''} of behaviour to look at"
        parts.insert(0, reason)
    return (
        f"{word}: {name}: {'; '.join(parts) or 'not everything could be judged'}",
        "bad" if word == "FAILED" else "warn",
    )


def advice(report: Report) -> list[str]:
    """Say what the reader should do next, or where to look."""
    told = []
    if report.failure is not None and report.failure.remedy:
        told.append(report.failure.remedy)
    level = report.malice.level
    if level == "malicious":
        told.append("Do not install it. Read the evidence, then report it to the index's security contact.")
    elif level == "suspicious":
        told.append(
            "Read the evidence and the code before you install it; docs/reference/findings.md explains each rule."
        )
    elif level == "inconclusive":
        told.append("Behaviour could not be judged; run it again, with longer limits where a time limit was reached.")
    causes = {task.cause for task in report.tasks if task.outcome in ("failed", "error", "timeout")}
    if "package" in causes:
        told.append("The distribution is at fault: its maintainers should see the output of the failed tasks.")
    if "environment" in causes:
        told.append("The image lacks something: add what the task names to the image and test again.")
    if "network" in causes:
        told.append("It wants a network, which guests do not have: its tests should do without, or be deselected.")
    if "resource" in causes:
        told.append("A limit was reached: test again with more memory or time.")
    if "infrastructure" in causes and report.failure is None:
        told.append("PyTI's own parts failed: test again; `pyti doctor` looks for the reason.")
    told.append(f"The whole report, with all evidence kept: pyti report {report.job} --format json")
    return told


def groups(findings: Sequence[Finding]) -> list[Group]:
    """Put the findings of one rule together, the gravest first; evidence comes from the gravest place."""
    by_rule: dict[str, list[Finding]] = {}
    for finding in findings:
        by_rule.setdefault(finding.id, []).append(finding)
    result = []
    for rule, found in by_rule.items():
        found.sort(key=lambda finding: -RANK[finding.severity])
        evidence = list(dict.fromkeys(line for finding in found for line in finding.evidence))
        places = tuple(dict.fromkeys(finding.task for finding in found))
        result.append(
            Group(rule, found[0].severity, found[0].title, places, sum(f.count for f in found), tuple(evidence[:8]))
        )
    return sorted(result, key=lambda group: (-RANK[group.severity], group.id))


def facts(report: Report) -> list[Row]:
    """Say what was tested on what."""
    file, machine = report.distribution, report.machine
    size = f", {size_text(file.size)}" if file.size is not None else ""
    rows = [Row("file", f"{file.filename} ({file.kind}{size})")]
    if file.sha256:
        rows.append(Row("sha256", file.sha256))
    if file.yanked:
        rows.append(Row("yanked", file.yanked_reason or "yes, without a reason"))
    parts = [
        machine.image,
        machine.accel.upper(),
        f"{machine.cpus} CPU" if machine.cpus else "",
        f"{machine.memory_mib} MiB" if machine.memory_mib else "",
        "no network",
    ]
    parts.append(
        "booted cold" if machine.cold_boot else f"cloned from {machine.template[:12]}" if machine.template else ""
    )
    rows.append(Row("machine", ", ".join(part for part in parts if part)))
    if tools := [f"{name} {report.tools[name]}" for name in SHOWN_TOOLS if name in report.tools]:
        rows.append(Row("tools", ", ".join(tools)))
    when = _moment(report.finished)
    rows.append(
        Row(
            "job",
            f"{report.job}, attempt {report.attempt}, profile {report.profile}"
            + (f", slave {report.slave}" if report.slave else "")
            + (f", {when}" if when else ""),
        )
    )
    return [Row(name, neutral_line(text, 400)) for name, text in rows]


def _moment(at: float) -> str:
    if not 0 < at < 4e9:
        return ""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def figures(report: Report) -> list[str]:
    """Give the sentences about quality."""
    return [neutral_line(sentence, 300) for sentence in report.quality.summary]


def timings(report: Report) -> list[Row]:
    """Give the parts of the job in order, those that took time."""
    names = ("resolve", "download", "clone", "deliver", "run", "collect", "destroy", "total")
    return [
        Row(name, seconds_text(value))
        for name in names
        if (value := float(getattr(report.timings, name))) > 0 or name == "total"
    ]


def bars(tasks: Sequence[TaskReport]) -> list[Bar]:
    """Place the tasks that took time on a line from the first start to the last end."""
    placed = [task for task in tasks if task.started_after is not None and task.outcome != "not_applicable"]
    end = max((float(task.started_after or 0) + task.seconds for task in placed), default=0.0)
    if end <= 0:
        return []
    return [
        Bar(
            task.name,
            task.outcome,
            min(1.0, float(task.started_after or 0) / end),
            min(1.0, task.seconds / end),
            task.seconds,
        )
        for task in placed
    ]
