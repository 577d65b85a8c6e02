"""Progress of jobs on standard error: a live table on a terminal, a line for each change elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from pyti.messages import JobSummary
from pyti.reports import neutral_text

__all__ = ["ProgressDisplay"]


class ProgressDisplay:
    """Shows where each job is; told of changes, it decides what is worth a line.

    ``quiet`` shows nothing. Use it as a context manager, so that the terminal is restored.
    """

    def __init__(self, jobs: Sequence[JobSummary], *, quiet: bool = False, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._quiet = quiet
        self._names = {job.job: job.distribution.filename for job in jobs}
        self._where: dict[str, str] = {job.job: "queued" for job in jobs}
        self._since = dict.fromkeys(self._names, time.monotonic())
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if not self._quiet and self._console.is_terminal:
            self._live = Live(get_renderable=self._table, console=self._console, refresh_per_second=8, transient=True)
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)

    def at(self, job: str, step: str, task: str = "", machine: str = "") -> None:
        """A job is at this step, and within ``run`` at this task."""
        if job not in self._names or self._quiet:
            return
        where = f"{step} {task}".strip()
        if self._where[job] == where:
            return
        self._where[job] = where
        self._since[job] = time.monotonic()
        if self._live is None:
            note = f" on {machine}" if machine else ""
            self._console.print(neutral_text(f"pyti: {self._names[job]}: {where}{note}"), markup=False, soft_wrap=True)

    def ended(self, job: str, verdict: str) -> None:
        """A job has ended."""
        self.at(job, verdict)
        self._since.pop(job, None)

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        now = time.monotonic()
        for job, name in self._names.items():
            since = self._since.get(job)
            mark: Spinner | Text = Spinner("dots", style="cyan") if since is not None else Text("✓", style="green")
            seconds = "" if since is None else f"{now - since:.0f} s"
            table.add_row(mark, Text(neutral_text(name)), Text(neutral_text(self._where[job]), style="cyan"), seconds)
        return table
