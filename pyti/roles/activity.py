"""Which machine is at which step for which job: what a slave knows of itself at any moment."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from pyti.messages import JobRun, SlotActivity, Step

__all__ = ["ActivityBoard"]


class ActivityBoard:
    """One row for each running job, replaced whole at every change, so that a reader sees no half-written row."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._rows: dict[str, SlotActivity] = {}

    def begin(self, run: JobRun) -> SlotActivity:
        """Add a row for a job that was accepted."""
        row = SlotActivity(
            job=run.job,
            attempt=run.attempt,
            distribution=run.distribution.filename,
            step=Step.ACCEPTED,
            since=self._clock(),
        )
        self._rows[run.job] = row
        return row

    def move(self, job: str, step: Step, *, task: str = "", machine: str | None = None) -> SlotActivity:
        """Note that a job is at another step, task or machine; raises ``KeyError`` for a job that is not running."""
        row = self._rows[job]
        row = msgspec.structs.replace(
            row,
            step=step,
            task=task,
            machine=row.machine if machine is None else machine,
            since=row.since if step == row.step and task == row.task else self._clock(),
        )
        self._rows[job] = row
        return row

    def end(self, job: str) -> None:
        """Remove a job's row; a job without one is no error."""
        self._rows.pop(job, None)

    def rows(self) -> tuple[SlotActivity, ...]:
        """All rows, in the order of acceptance."""
        return tuple(self._rows.values())

    def __contains__(self, job: str) -> bool:
        return job in self._rows

    def __getitem__(self, job: str) -> SlotActivity:
        return self._rows[job]

    def __len__(self) -> int:
        return len(self._rows)
