"""The report as one web page that needs nothing else: no script, no font, no picture from anywhere.

The page's own policy forbids everything but its inline style (by hash, so injected styles are refused too).
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from pyti.reports.model import Report
from pyti.reports.neutral import neutral_line, neutral_text
from pyti.reports.view import (
    LEVELS,
    OUTCOMES,
    SEVERITIES,
    advice,
    bars,
    facts,
    figures,
    groups,
    seconds_text,
    size_text,
    tally,
    timings,
    verdict,
)

__all__ = ["render_html"]

_LEFT, _RIGHT, _ROW = 135, 85, 26
"""The timeline's columns for names and times, and the height of a row, in the picture's own units."""
_WIDTH = 600
_LOCK_SHOWN = 64 * 1024


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pyti.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(line=neutral_line, text=neutral_text, seconds=seconds_text, size=size_text)
    environment.globals.update(OUTCOMES=OUTCOMES, SEVERITIES=SEVERITIES, LEVELS=LEVELS)
    return environment


@cache
def _style() -> tuple[str, str]:
    """Give the style sheet and its hash for the policy."""
    source = _source("report.css")
    digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
    return source, f"'sha256-{digest}'"


def _source(name: str) -> str:
    loader = _environment().loader
    if loader is None:  # the environment above always has one
        raise LookupError(name)
    return loader.get_source(_environment(), name)[0]


@cache
def _template() -> Template:
    return _environment().get_template("report.html.j2")


def render_html(report: Report) -> str:
    """Give the report as one self-contained page in UTF-8."""
    style, digest = _style()
    line, tone = verdict(report)
    room = _WIDTH - _LEFT - _RIGHT
    rows = [
        {
            "name": bar.name, "outcome": bar.outcome, "words": OUTCOMES[bar.outcome][1],
            "time": seconds_text(bar.seconds),
            "x": round(_LEFT + bar.start * room, 1), "y": index * _ROW,
            "width": round(max(2.0, min(bar.width, 1 - bar.start) * room), 1),
        }
        for index, bar in enumerate(bars(report.tasks))
    ]  # fmt: skip
    return _template().render(
        report=report, style=style,
        policy=f"default-src 'none'; style-src {digest}; base-uri 'none'; form-action 'none'",
        verdict=line, tone=tone, facts=facts(report), figures=figures(report), timings=timings(report),
        advice=advice(report),
        groups=groups(report.findings), tally=tally(report.tasks), rows=rows, height=len(rows) * _ROW + 4, row=_ROW,
        left=_LEFT, width=_WIDTH,
        lock=neutral_text(report.lock, _LOCK_SHOWN, 2000) if report.lock else "",
    )  # fmt: skip
