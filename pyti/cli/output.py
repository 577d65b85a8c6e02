"""Writing reports for people and for programs: to standard output, and into a folder."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from pyti.errors import ExitStatus, OutOfSpace, UsageError
from pyti.reports import Report, render_html, render_json, render_junit, render_text

__all__ = ["Format", "check_folder", "overall_status", "print_reports", "rendered", "write_report"]

FORMATS = ("text", "json", "html", "junit")
Format = str

_SEVERITY = (ExitStatus.PASSED, ExitStatus.FOUND, ExitStatus.INCONCLUSIVE)
"""From best to worst."""


def rendered(report: Report, form: Format, *, terminal: bool = False) -> str:
    """A report in one of ``FORMATS``; raises ``UsageError`` for another."""
    match form:
        case "text":
            width = min(shutil.get_terminal_size((100, 24)).columns, 120) if terminal else 100
            return render_text(report, color=terminal and "NO_COLOR" not in os.environ, width=width)
        case "json":
            return render_json(report).decode() + "\n"
        case "html":
            return render_html(report)
        case "junit":
            return render_junit(report)
        case _:
            raise UsageError(f"there is no format {form!r}", remedy=f"Choose one of: {', '.join(FORMATS)}.")


def print_reports(reports: Sequence[Report], *, as_json: bool) -> None:
    """Print reports on standard output: as text, or as JSON (one object, or a list when there are several)."""
    if as_json:
        texts = [render_json(report).decode() for report in reports]
        print(texts[0] if len(texts) == 1 else "[" + ",\n".join(texts) + "]")  # noqa: T201 - this is the output
        return
    for report in reports:
        print(rendered(report, "text", terminal=sys.stdout.isatty()))  # noqa: T201 - this is the output


def overall_status(reports: Sequence[Report]) -> int:
    """The exit status of several reports: that of the worst, where inconclusive is worse than found."""
    return max((report.exit_status for report in reports), key=_SEVERITY.index, default=ExitStatus.PASSED)


def check_folder(folder: Path) -> None:
    """Make the output folder before any work is done; raises ``UsageError`` when that is impossible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot write reports to {folder}: {error.strerror}", remedy="Choose another folder for --output."
        ) from error


def write_report(report: Report, folder: Path) -> Path:
    """Write one report below ``folder`` in every format, with the lock; returns the folder of this job.

    Raises ``OutOfSpace`` when the disk is full.
    """
    place = folder / report.job
    try:
        place.mkdir(parents=True, exist_ok=True)
        for form, name in (
            ("json", "report.json"),
            ("html", "report.html"),
            ("junit", "report.junit.xml"),
            ("text", "report.txt"),
        ):
            (place / name).write_text(rendered(report, form), encoding="utf-8")
        if report.lock:
            (place / "pylock.toml").write_text(report.lock, encoding="utf-8")
    except OSError as error:
        raise OutOfSpace(
            f"cannot write the report to {place}: {error.strerror}",
            remedy=f"The report is kept: `pyti report {report.job}`.",
        ) from error
    return place
