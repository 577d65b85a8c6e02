"""Reports: what a job's raw data means, and how people and programs are told.

``evaluate`` turns the guest's records, streams and syscall traces into a ``Report``: it judges each task's outcome and
cause by itself, recognises behaviour by rules (``RULES``), gathers figures about quality, and decides on a level of
malice. ``render_text``, ``render_json``, ``render_html`` and ``render_junit`` show a report; ``exit_status`` is what
``pyti test`` ends with. All of it is pure: no files, no network, no clock. All that a guest sends is taken for hostile.
"""

from __future__ import annotations

from pyti.reports.evaluate import evaluate
from pyti.reports.html import render_html
from pyti.reports.junit import render_junit
from pyti.reports.levels import exit_status
from pyti.reports.model import Finding, Malice, Quality, Report, TaskReport
from pyti.reports.neutral import neutral_line, neutral_text
from pyti.reports.rules import RULES, Layout
from pyti.reports.schema import decode_report, render_json, report_schema
from pyti.reports.text import render_text

__all__ = [
    "RULES",
    "Finding",
    "Layout",
    "Malice",
    "Quality",
    "Report",
    "TaskReport",
    "decode_report",
    "evaluate",
    "exit_status",
    "neutral_line",
    "neutral_text",
    "render_html",
    "render_json",
    "render_junit",
    "render_text",
    "report_schema",
]
