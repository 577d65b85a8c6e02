"""Turn records into the state of each task; contradictions and gaps become notes, never exceptions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pyti.messages import JobRun
from pyti.rawdata.contract import TASKS, JobFinished, JobStarted, RawRecord, TaskFinished, TaskStarted
from pyti.reports.neutral import neutral_line

__all__ = ["RawTasks", "gather"]

_MAX_NOTES = 50


@dataclass(slots=True)
class RawTasks:
    """What the guest's records say, put in order."""

    finished: dict[str, TaskFinished] = field(default_factory=dict)
    unfinished: list[str] = field(default_factory=list)
    """Tasks that began, or were asked for, and have no end."""
    started_after: dict[str, float] = field(default_factory=dict)
    tools: dict[str, str] = field(default_factory=dict)
    complete: bool = False
    """The guest said that it is done."""
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Remember a contradiction, neutralised and bounded in number."""
        if len(self.notes) < _MAX_NOTES:
            self.notes.append(neutral_line(text))


def gather(run: JobRun, records: Iterable[RawRecord]) -> RawTasks:
    """Put records in order: those of other jobs or attempts, repeated and unknown ones are noted and left out."""
    raw = RawTasks()
    began: float | None = None
    running: dict[str, float] = {}
    last = None
    for record in records:
        if record.job != run.job or record.attempt != run.attempt:
            raw.note(f"a record of job {record.job}, attempt {record.attempt}, was left out")
            continue
        if last is not None and record.seq <= last:
            raw.note(f"record {record.seq} follows record {last}")
        last = record.seq
        if raw.complete:
            raw.note("records follow the end of the job")
        if isinstance(record, JobStarted):
            began = record.at
            raw.tools = {
                neutral_line(key, 60): neutral_line(text, 120) for key, text in list(record.tools.items())[:40]
            }
        elif isinstance(record, JobFinished):
            raw.complete = True
        elif record.task not in TASKS:
            raw.note(f"the guest tells of a task {record.task}, which is unknown")
        elif isinstance(record, TaskStarted):
            running.setdefault(record.task, record.at)
        elif isinstance(record, TaskFinished):
            if record.task in raw.finished:
                raw.note(f"{record.task} ended twice; its first end counts")
                continue
            raw.finished[record.task] = record
            start = running.get(record.task, record.at - record.wall_s)
            if began is not None:
                raw.started_after[record.task] = min(max(0.0, start - began), 86400.0)
    expected = [*running, *(run.tasks if not raw.complete else ())]
    raw.unfinished = [name for name in TASKS if name in expected and name not in raw.finished]
    if raw.complete:
        for name in run.tasks:
            if name in TASKS and name not in raw.finished and name not in raw.unfinished:
                raw.note(f"{name} was asked for, and the guest never mentions it")
                raw.unfinished.append(name)
    return raw
