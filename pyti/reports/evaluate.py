"""From raw data to a report: one pure function; it reads what it is handed and nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from pyti._version import __version__
from pyti.errors import Cause
from pyti.messages import JobResult, JobRun
from pyti.rawdata.contract import TASKS, Phase, RawRecord, StreamReference, TaskFinished
from pyti.reports.cause import TAIL_BYTES, judge
from pyti.reports.levels import DECISIVE, decide, exit_status
from pyti.reports.model import Coverage, Finding, PhaseCoverage, PhaseReport, Report, TaskReport
from pyti.reports.neutral import neutral_line
from pyti.reports.pth_startup import is_harmful, pth_findings
from pyti.reports.quality import quality
from pyti.reports.rawtasks import RawTasks, gather
from pyti.reports.rules import RANK, RULES, Layout, PhaseContext, PhaseWatch, stage_of
from pyti.reports.strace import Source
from pyti.reports.trace import TraceReader

__all__ = ["RUNS_CODE", "evaluate"]

RUNS_CODE = ("metadata", "build", "install", "startup", "import", "entry-points", "tests")
"""Tasks that may run the distribution's code; linters and the uninstaller read it, and are looked at where traced."""


def evaluate(
    run: JobRun,
    result: JobResult,
    records: Iterable[RawRecord],
    traces: Mapping[str, Source],
    streams: Mapping[str, bytes],
    lock: str | None,
    *,
    now: float,
    layout: Layout | None = None,
) -> Report:
    """Judge one job.

    ``traces`` holds strace's output by its path in the outbox (``streams/<task>/<phase>.strace``): bytes, chunks, or
    something that opens a binary stream; it is read once, line by line. ``streams`` holds the ends of stdout and stderr
    by path. ``now`` is Unix time. Nothing that a guest can send makes this raise.
    """
    raw = gather(run, records)
    own = _own_names(raw, result)
    tasks = _tasks(raw, result, streams, own)
    findings, coverage = _behaviour(raw, tasks, traces, own, layout or Layout())
    complete = result.state == "done" and result.failure is None and raw.complete
    report = Report(
        pyti_version=__version__, job=run.job, attempt=run.attempt, profile=run.profile, slave=result.slave,
        distribution=result.distribution, machine=msgspec.structs.replace(result.machine, tools={}),
        # The image's manifest is our own word; the guest's is asked only where there is none.
        tools=result.machine.tools or raw.tools, state=result.state, tasks=tasks,
        findings=findings, quality=quality({name: record.data for name, record in raw.finished.items()}),
        malice=decide(findings, coverage, tasks, complete=complete), lock=lock, timings=result.timings,
        failure=result.failure, notes=(*raw.notes, *_gaps(raw, result)), submitted=run.submitted,
        finished=result.finished, evaluated=now,
    )  # fmt: skip
    return msgspec.structs.replace(report, exit_status=exit_status(report))


def _gaps(raw: RawTasks, result: JobResult) -> list[str]:
    notes = []
    if not raw.complete and result.state == "done":
        notes.append("the guest never said that it was done")
    if result.raw.truncated:
        notes.append("the guest sent more than it may; the rest was left out")
    return notes


def _own_names(raw: RawTasks, result: JobResult) -> frozenset[str]:
    names = {result.distribution.name.lower().replace("-", "_").replace(".", "_")}
    install = raw.finished.get("install")
    listed = install.data.get("top_level") if install else None
    if isinstance(listed, list):
        names.update(name.lower() for name in listed[:200] if isinstance(name, str) and name)
    return frozenset(names)


def _tasks(
    raw: RawTasks, result: JobResult, streams: Mapping[str, bytes], own: frozenset[str]
) -> tuple[TaskReport, ...]:
    reports: dict[str, TaskReport] = {}
    for name, record in raw.finished.items():
        judged = judge(record, _tails(record, streams), own)
        for note in judged.notes:
            raw.note(note)
        reports[name] = _task(record, raw, judged.outcome, judged.cause, judged.detail)
    for name in raw.unfinished:
        failure = result.failure
        if failure is not None and failure.timeout:
            outcome: Any = "timeout"
            cause, detail = Cause.RESOURCE, "the job's time limit ended it"
        else:
            outcome, cause = "error", Cause.INFRASTRUCTURE
            detail = "its raw data ends early" + (f": {failure.message}" if failure else "")
        reports[name] = TaskReport(
            name=name,
            outcome=outcome,
            cause=cause,
            detail=neutral_line(detail, 600),
            started_after=raw.started_after.get(name),
        )
    order = {name: index for index, name in enumerate(TASKS)}
    return tuple(sorted(reports.values(), key=lambda task: order[task.name]))


def _task(record: TaskFinished, raw: RawTasks, outcome: Any, cause: Cause | None, detail: str) -> TaskReport:
    peaks = [phase.max_rss_bytes for phase in record.phases if phase.max_rss_bytes is not None]
    last = record.phases[-1] if record.phases else None
    status = None if last is None else last.exit_status if last.signal is None else -last.signal
    return TaskReport(
        name=record.task, outcome=outcome, cause=cause, detail=detail, seconds=_seconds(record.wall_s),
        max_rss=max(peaks, default=None), exit_status=status, started_after=raw.started_after.get(record.task),
        phases=tuple(
            PhaseReport(
                name=phase.phase, exit_status=phase.exit_status, signal=phase.signal, seconds=_seconds(phase.wall_s),
                cpu_seconds=_seconds(phase.cpu_user_s + phase.cpu_system_s), max_rss=phase.max_rss_bytes,
                limit=phase.limit,
                processes_killed=phase.processes_killed,
            )
            for phase in record.phases
        ),
    )  # fmt: skip


def _seconds(value: float) -> float:
    return round(min(value, 1e7), 4) if math.isfinite(value) else 0.0


def _tails(record: TaskFinished, streams: Mapping[str, bytes]) -> list[str]:
    tails = []
    for phase in record.phases:
        for name in ("stdout", "stderr"):
            data = streams.get(f"streams/{record.task}/{phase.phase}.{name}")
            if data:
                tails.append(data[-TAIL_BYTES:].decode("utf-8", "replace"))
    return tails


def _behaviour(
    raw: RawTasks, tasks: tuple[TaskReport, ...], traces: Mapping[str, Source], own: frozenset[str], layout: Layout
) -> tuple[tuple[Finding, ...], Coverage]:
    findings: list[Finding] = []
    phases: list[PhaseCoverage] = []
    observed: list[str] = []
    partial: list[str] = []
    unobserved: list[str] = []
    install = raw.finished.get("install")
    harmful = is_harmful(install.data) if install else False
    for task in tasks:
        record = raw.finished.get(task.name)
        if task.name == "install" and record is not None:
            findings += pth_findings(record.data)
        if task.outcome == "not_applicable":
            continue
        looks = []
        for phase in record.phases if record else ():
            if phase.trace is None and f"streams/{task.name}/{phase.phase}.strace" not in traces:
                continue  # the agent ran one of its own tools, or was told not to trace
            context = PhaseContext(task.name, phase.phase, stage_of(task.name, phase.phase), layout, own)
            look, found = _look(context, phase, traces, harmful=harmful)
            looks.append(look)
            findings += found
        for path in _strays(task.name, record, traces):
            # the machine was lost, or the record conceals a phase: its trace is evidence all the same
            name = path.rsplit("/", 1)[1].removesuffix(".strace")
            context = PhaseContext(task.name, name, stage_of(task.name, name), layout, own)
            look, found = _look(
                context,
                Phase(phase=name, trace=StreamReference(path=path, size=0, truncated=True)),
                traces,
                harmful=harmful,
            )
            looks.append(look)
            findings += found
        phases += looks
        untraced = record is not None and any(phase.exit_status is not None for phase in record.phases)
        if not looks and (task.name not in RUNS_CODE or (not untraced and task.name not in DECISIVE)):
            continue  # no code of the distribution ran
        if not looks and task.outcome == "skipped":
            continue
        seen = bool(looks) and all(look.traced for look in looks)
        whole = seen and not any(look.truncated for look in looks) and task.outcome != "timeout"
        (observed if whole else partial if any(look.traced for look in looks) else unobserved).append(task.name)
    coverage = Coverage(
        observed=tuple(observed), partial=tuple(partial), unobserved=tuple(unobserved), phases=tuple(phases),
        lines=sum(look.lines for look in phases), events=sum(look.events for look in phases), rules=tuple(RULES),
    )  # fmt: skip
    return tuple(sorted(findings, key=lambda finding: (-RANK[finding.severity], finding.id, finding.task))), coverage


def _strays(task: str, record: TaskFinished | None, traces: Mapping[str, Source]) -> list[str]:
    known = {f"streams/{task}/{phase.phase}.strace" for phase in record.phases} if record else set()
    return sorted(
        path
        for path in traces
        if path.startswith(f"streams/{task}/") and path.endswith(".strace") and path not in known
    )[:16]


def _look(
    context: PhaseContext, phase: Phase, traces: Mapping[str, Source], *, harmful: bool
) -> tuple[PhaseCoverage, list[Finding]]:
    source = traces.get(f"streams/{context.task}/{phase.phase}.strace")
    if source is None:
        return PhaseCoverage(task=context.task, phase=phase.phase), []
    reader = TraceReader(source, phase.argv)
    watch = PhaseWatch(context, harmful_pth=harmful)
    events = watch.see_all(reader.events())
    cut = bool(phase.trace and phase.trace.truncated)
    coverage = PhaseCoverage(
        task=context.task, phase=phase.phase, traced=reader.started, truncated=cut or not reader.ended,
        marker_found=reader.marker_found, lines=reader.lines, events=events, unreadable=reader.unreadable,
        processes=reader.processes,
    )  # fmt: skip
    return coverage, watch.findings()
