"""The verdict: a level from findings and coverage, and an exit status from the whole report. Two small decision tables.

The level (first row that applies)::

    a COMBO finding of severity critical                                  malicious
    any finding of severity medium or more                                suspicious
    install or import were to run and were not seen to their end,
      for another reason than the distribution's own plain fault          inconclusive
    otherwise                                                             none_found

A single behaviour, however strange, never makes ``malicious``: indexes refuse even 0.1 % of false accusations.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyti.errors import Cause, ExitStatus
from pyti.reports.model import Coverage, Finding, Malice, Report, TaskReport
from pyti.reports.rules import RANK

__all__ = ["DECISIVE", "decide", "exit_status"]

DECISIVE = ("install", "startup", "import")
"""Tasks that must be seen to their end before "nothing found" means something."""


def decide(findings: Sequence[Finding], coverage: Coverage, tasks: Sequence[TaskReport], *, complete: bool) -> Malice:
    """Decide the level; ``complete`` says that the job ran to its end, with all its raw data."""
    critical = [finding for finding in findings if finding.severity == "critical" and finding.id.startswith("COMBO-")]
    if critical:
        return Malice(level="malicious", reasons=_reasons(critical), coverage=coverage)
    strong = [finding for finding in findings if RANK[finding.severity] >= RANK["medium"]]
    if strong:
        return Malice(level="suspicious", reasons=_reasons(strong), coverage=coverage)
    gaps = _gaps(coverage, tasks)
    if not complete:
        gaps.insert(0, "the job did not run to its end")
    if gaps:
        return Malice(level="inconclusive", reasons=tuple(gaps), coverage=coverage)
    if coverage.observed:
        reasons = [f"no rule of medium or higher severity matched in: {', '.join(coverage.observed)}"]
    else:
        reasons = ["no code of the distribution was seen running, so there was nothing to find"]
    blamed = [task.name for task in tasks if task.name in (*DECISIVE, "build") and task.outcome == "failed"]
    if blamed:
        reasons.append(f"not looked at further, since {' and '.join(blamed)} failed by the distribution's own fault")
    weak = len(findings)
    if weak:
        noun = (
            "sign, as many harmless distributions have," if weak == 1 else "signs, as many harmless distributions have,"
        )
        reasons.append(f"{weak} weak {noun} listed as info or low")
    return Malice(level="none_found", reasons=tuple(reasons), coverage=coverage)


def _reasons(findings: Sequence[Finding]) -> tuple[str, ...]:
    """Say each rule once, the gravest first, with the tasks in which it matched."""
    tasks: dict[tuple[str, str, str], list[str]] = {}
    for finding in findings:
        places = tasks.setdefault((finding.id, finding.severity, finding.title), [])
        if finding.task not in places:
            places.append(finding.task)
    return tuple(
        f"{rule} ({severity}): {title} (in {', '.join(places)})" for (rule, severity, title), places in tasks.items()
    )


def _gaps(coverage: Coverage, tasks: Sequence[TaskReport]) -> list[str]:
    """Say why the decisive tasks were not seen, leaving out what the distribution itself is plainly to blame for."""
    by_name = {task.name: task for task in tasks}
    gaps = []
    own_fault = any(
        task.outcome == "failed" and task.cause is Cause.PACKAGE
        for task in tasks
        if task.name in ("metadata", "build", *DECISIVE)
    )
    for name in DECISIVE:
        task = by_name.get(name)
        if task is None or task.outcome == "not_applicable" or name in coverage.observed:
            if task is not None and task.outcome == "timeout":
                gaps.append(f"{name} was stopped by its time limit")
            continue
        if task.outcome == "skipped" and own_fault:
            continue
        if task.outcome == "failed" and task.cause is Cause.PACKAGE and not task.phases:
            continue
        if name in coverage.partial:
            gaps.append(f"the trace of {name} is not complete")
        elif task.outcome == "timeout":
            gaps.append(f"{name} was stopped by its time limit")
        elif task.outcome in ("skipped", "error"):
            gaps.append(f"{name} did not run ({task.cause or task.detail or task.outcome})")
        else:
            gaps.append(f"{name} ran without a usable trace")
    return gaps


def exit_status(report: Report) -> int:
    """Give the exit status of ``pyti test``: 0 all passed and nothing found, 1 failed or found, 3 inconclusive.

    A finding outweighs everything; then an infrastructure failure; then what failed; then a verdict that is missing.
    """
    if report.malice.level in ("suspicious", "malicious"):
        return ExitStatus.FOUND
    if report.failure is not None:
        return (
            ExitStatus.FOUND if report.failure.cause in (Cause.PACKAGE, Cause.ENVIRONMENT) else ExitStatus.INCONCLUSIVE
        )
    if report.state != "done":
        return ExitStatus.INCONCLUSIVE
    bad = [task for task in report.tasks if task.outcome in ("failed", "error", "timeout")]
    if any(task.cause is Cause.INFRASTRUCTURE for task in bad):
        return ExitStatus.INCONCLUSIVE
    if any(task.outcome == "failed" for task in bad):
        return ExitStatus.FOUND
    if report.malice.level == "inconclusive":
        return ExitStatus.INCONCLUSIVE
    return ExitStatus.FOUND if bad else ExitStatus.PASSED
