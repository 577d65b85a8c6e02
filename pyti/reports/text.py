"""The report for a terminal: the verdict first, the advice last, and nothing told by colour alone."""

from __future__ import annotations

import io

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pyti.reports.model import Report
from pyti.reports.neutral import neutral_line
from pyti.reports.rules import RANK
from pyti.reports.view import (
    LEVELS,
    OUTCOMES,
    SEVERITIES,
    Row,
    advice,
    facts,
    figures,
    groups,
    seconds_text,
    size_text,
    timings,
    verdict,
)

__all__ = ["render_text"]

_OUTCOME_STYLE = {
    "passed": "green",
    "failed": "bold red",
    "error": "bold magenta",
    "timeout": "bold yellow",
    "skipped": "dim",
    "not_applicable": "dim",
}
_SEVERITY_STYLE = {
    "critical": "bold white on red",
    "high": "bold red",
    "medium": "bold yellow",
    "low": "cyan",
    "info": "dim",
}
_TONE = {"good": "bold green", "warn": "bold yellow", "bad": "bold red"}
_EVIDENCE_SHOWN = 4


def render_text(report: Report, *, color: bool = False, width: int = 80) -> str:
    """Give the report as text of at most ``width`` columns (40 at least), with ANSI colours where ``color``."""
    stream = io.StringIO()
    console = Console(
        file=stream, width=max(40, min(width, 400)), force_terminal=color, no_color=not color,
        color_system="standard" if color else None,
        highlight=False, markup=False, emoji=False, legacy_windows=False, _environ={},
    )  # fmt: skip
    line, tone = verdict(report)
    console.print(Text(line, style=_TONE[tone]))
    _rows(console, facts(report))
    if report.failure is not None:
        failure = report.failure
        _heading(console, "Why the job ended early")
        console.print(Padding(Text(neutral_line(f"{failure.step}: {failure.message}", 2000)), (0, 0, 0, 2)))
    if report.tasks:
        _heading(console, "Tasks")
        console.print(_tasks(report))
    _heading(console, "Behaviour")
    _behaviour(console, report)
    if sentences := figures(report):
        _heading(console, "Quality")
        for sentence in sentences:
            console.print(_item("-", sentence))
    _heading(console, "Time")
    console.print(Padding(Text(", ".join(f"{row.name} {row.text}" for row in timings(report))), (0, 0, 0, 2)))
    if report.notes:
        _heading(console, "Doubts about the raw data")
        for note in report.notes:
            console.print(_item("-", neutral_line(note)))
    _heading(console, "What to do")
    for sentence in advice(report):
        console.print(_item("→", neutral_line(sentence, 600)))
    return "\n".join(line.rstrip() if not color else line for line in stream.getvalue().splitlines()) + "\n"


def _heading(console: Console, title: str) -> None:
    console.print()
    console.print(Text(title, style="bold"))


def _rows(console: Console, rows: list[Row]) -> None:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(Text("  " + row.name), Text(row.text))
    console.print(table)


def _item(sign: str, text: str, style: str = "") -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=3, justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(Text(sign, style=style), Text(text, style=style))
    return table


def _tasks(report: Report) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", expand=False
    )
    table.add_column("  task", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("memory", justify="right", no_wrap=True)
    table.add_column("cause and detail", overflow="fold")
    for task in report.tasks:
        sign, words = OUTCOMES[task.outcome]
        quiet = task.outcome in ("skipped", "not_applicable")
        why = ": ".join(part for part in (task.cause or "", neutral_line(task.detail, 300)) if part)
        table.add_row(
            Text("  " + neutral_line(task.name, 32)),
            Text(f"{sign} {words}", style=_OUTCOME_STYLE[task.outcome]),
            Text("" if quiet and not task.seconds else seconds_text(task.seconds)),
            Text(size_text(task.max_rss)),
            Text(why, style="dim" if quiet else ""),
        )
    return table


def _behaviour(console: Console, report: Report) -> None:
    malice = report.malice
    sign, words = LEVELS[malice.level]
    style = _TONE["good" if malice.level == "none_found" else "bad" if malice.level == "malicious" else "warn"]
    console.print(_item(sign, words, style))
    if malice.level in ("none_found", "inconclusive"):
        for reason in malice.reasons:
            console.print(_item("", neutral_line(reason, 400)))
    for group in groups(report.findings):
        places = f" (in {', '.join(group.places)}" + (f"; {group.times} times)" if group.times > 1 else ")")
        head = f"{group.severity} {group.id} {group.title}{places}"
        console.print(_item(SEVERITIES[group.severity], head, _SEVERITY_STYLE[group.severity]))
        shown = _EVIDENCE_SHOWN if RANK[group.severity] >= RANK["medium"] else 2
        for line in group.evidence[:shown]:
            console.print(Padding(Text(neutral_line(line), overflow="fold"), (0, 0, 0, 8)))
        if len(group.evidence) > shown:
            console.print(
                Padding(Text(f"… {len(group.evidence) - shown} more in the JSON report", style="dim"), (0, 0, 0, 8))
            )
    coverage = malice.coverage
    told = [f"seen to the end: {', '.join(coverage.observed) or 'none'}"]
    if coverage.partial:
        told.append(f"in part: {', '.join(coverage.partial)}")
    if coverage.unobserved:
        told.append(f"not seen: {', '.join(coverage.unobserved)}")
    told.append(f"{coverage.lines} trace lines, {coverage.events} events, {len(coverage.rules)} rules")
    if unreadable := sum(phase.unreadable for phase in coverage.phases):
        told.append(f"{unreadable} unreadable lines")
    console.print(_item("", "Covered: " + "; ".join(told), "dim"))
