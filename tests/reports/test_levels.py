from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pyti.errors import Cause
from pyti.reports import Finding, Malice, TaskReport, exit_status
from pyti.reports.levels import decide
from pyti.reports.model import Coverage

SEEN = Coverage(observed=("install", "startup", "import"))


def finding(rule: str, severity: Any) -> Finding:
    return Finding(id=rule, severity=severity, title="did something", task="import", phase="import")


def passed(*names: str) -> list[TaskReport]:
    return [TaskReport(name=name, outcome="passed") for name in names]


@pytest.mark.parametrize(
    ("findings", "level"),
    [
        ([], "none_found"),
        ([("NET-001", "info")], "none_found"),
        ([("PROC-001", "low")], "none_found"),
        ([("NET-002", "medium")], "suspicious"),
        ([("NET-001", "high"), ("SECRET-001", "high"), ("FILE-002", "high")], "suspicious"),
        ([("COMBO-001", "medium")], "suspicious"),
        ([("COMBO-001", "critical")], "malicious"),
    ],
)
def test_only_a_critical_combination_is_malicious(findings: list[tuple[str, str]], level: str) -> None:
    tasks = passed("install", "startup", "import")
    assert decide([finding(*row) for row in findings], SEEN, tasks, complete=True).level == level


def test_found_malice_outweighs_an_incomplete_job() -> None:
    assert decide([finding("COMBO-001", "critical")], Coverage(), [], complete=False).level == "malicious"
    assert decide([], Coverage(), [], complete=False).level == "inconclusive"


def test_a_task_selection_without_code_found_nothing_and_says_so() -> None:
    malice = decide([], Coverage(), passed("metadata"), complete=True)
    assert malice.level == "none_found"
    assert "no code of the distribution was seen running" in malice.reasons[0]


@pytest.mark.parametrize(
    ("level", "task", "status"),
    [
        ("none_found", TaskReport(name="import", outcome="passed"), 0),
        ("none_found", TaskReport(name="tests", outcome="not_applicable"), 0),
        ("none_found", TaskReport(name="tests", outcome="failed", cause=Cause.PACKAGE), 1),
        ("none_found", TaskReport(name="tests", outcome="timeout", cause=Cause.RESOURCE), 1),
        ("inconclusive", TaskReport(name="import", outcome="timeout", cause=Cause.RESOURCE), 3),
        ("inconclusive", TaskReport(name="build", outcome="failed", cause=Cause.ENVIRONMENT), 1),
        ("inconclusive", TaskReport(name="import", outcome="error", cause=Cause.INFRASTRUCTURE), 3),
        ("suspicious", TaskReport(name="import", outcome="error", cause=Cause.INFRASTRUCTURE), 1),
        ("malicious", TaskReport(name="import", outcome="passed"), 1),
    ],
)
def test_exit_statuses(good: Any, level: Any, task: TaskReport, status: int) -> None:
    report = msgspec.structs.replace(good, malice=Malice(level=level), tasks=(task,))
    assert exit_status(report) == status


def test_a_cancelled_job_is_inconclusive(good: Any) -> None:
    assert exit_status(msgspec.structs.replace(good, state="cancelled")) == 3
