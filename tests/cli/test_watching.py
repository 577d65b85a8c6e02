"""Progress is a line for each change, or a live table on a terminal, or silence."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from pyti.cli.watching import ProgressDisplay
from pyti.messages import JobState, JobSummary

Make = Callable[..., Any]


@pytest.fixture
def rows(make_report: Make) -> list[JobSummary]:
    run, _ = make_report("job-0001")
    return [
        JobSummary(
            job=job, state=JobState.QUEUED, distribution=run.distribution, profile="default", attempt=1, submitted=0.0
        )
        for job in ("job-0001", "job-0002")
    ]


def console(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=100, highlight=False, _environ={"TERM": "xterm"})


def shown(target: Console) -> str:
    assert isinstance(target.file, io.StringIO)
    return target.file.getvalue()


def test_elsewhere_each_change_is_one_line(rows: list[JobSummary]) -> None:
    target = console(terminal=False)

    with ProgressDisplay(rows, console=target) as display:
        display.at("job-0001", "clone")
        display.at("job-0001", "run", "install", "m-1")
        display.at("job-0001", "run", "install", "m-1")
        display.at("job-of-others", "run", "install")
        display.ended("job-0001", "done: none_found")
        display.ended("job-0001", "done: none_found")

    assert shown(target).splitlines() == [
        "pyti: some_dist-1.2-py3-none-any.whl: clone",
        "pyti: some_dist-1.2-py3-none-any.whl: run install on m-1",
        "pyti: some_dist-1.2-py3-none-any.whl: done: none_found",
    ]


def test_a_terminal_gets_a_table_that_is_gone_afterwards(rows: list[JobSummary]) -> None:
    target = console(terminal=True)

    with ProgressDisplay(rows, console=target) as display:
        display.at("job-0001", "run", "install", "m-1")
        display.ended("job-0002", "done: malicious")
        assert display._live is not None
        display._live.refresh()
        during = shown(target)

    assert "run install" in during
    assert "done: malicious" in during
    assert "✓" in during
    assert "pyti: some_dist" not in during
    assert shown(target).endswith("\x1b[2K") or "\x1b[?25h" in shown(target)


def test_the_terminal_is_restored_after_an_error(rows: list[JobSummary]) -> None:
    target = console(terminal=True)

    with pytest.raises(ZeroDivisionError), ProgressDisplay(rows, console=target):
        raise ZeroDivisionError

    assert shown(target).rindex("\x1b[?25h") > shown(target).rindex("\x1b[?25l")


def test_quiet_is_quiet(rows: list[JobSummary]) -> None:
    for terminal in (True, False):
        target = console(terminal=terminal)

        with ProgressDisplay(rows, quiet=True, console=target) as display:
            display.at("job-0001", "run", "install")
            display.ended("job-0001", "done")

        assert shown(target) == ""


def test_a_stranger_s_words_are_harmless(rows: list[JobSummary], hostile: str) -> None:
    lines, table = console(terminal=False), console(terminal=True)

    for target in (lines, table):
        with ProgressDisplay(rows, console=target) as display:
            display.at("job-0001", "run", hostile, hostile)
            if display._live is not None:
                display._live.refresh()

        assert "[/nope][red]" in shown(target)
        assert not {"\x07", "\u202e"} & set(shown(target))
        assert "\x1b]0;" not in shown(target)
