from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyti.guest.graph import ORDER, plan, prerequisites, reason_to_skip
from pyti.rawdata.contract import TASKS

tasks = st.lists(st.sampled_from(ORDER))
outcome = st.sampled_from(["passed", "failed", "error", "timeout", "skipped", "not_applicable"])


def test_the_tasks_are_those_of_the_contract():
    assert ORDER == TASKS


@given(tasks)
def test_a_plan_has_every_selected_task_and_its_prerequisites_once_and_in_order(selected: list[str]):
    planned = plan(selected)
    assert set(selected) <= set(planned)
    assert len(planned) == len(set(planned))
    for position, task in enumerate(planned):
        assert set(prerequisites(task)) <= set(planned[:position])


@given(tasks)
def test_a_plan_has_nothing_that_nobody_needs(selected: list[str]):
    planned = plan(selected)
    needed = set(selected).union(*(prerequisites(task) for task in planned))
    assert set(planned) <= needed


@given(st.sampled_from(ORDER), st.dictionaries(st.sampled_from(ORDER), outcome))
def test_a_task_runs_exactly_when_its_prerequisites_are_good(task: str, outcomes: dict[str, str]):
    good = all(outcomes.get(needed) in ("passed", "not_applicable") for needed in prerequisites(task))
    assert (reason_to_skip(task, outcomes) is None) == good


def test_the_reason_names_the_task_that_is_to_blame():
    assert reason_to_skip("import", {"install": "failed"}) == "needs install, which failed"
    assert reason_to_skip("install", {"build": "timeout"}) == "needs build, which hit its time limit"
    assert reason_to_skip("install", {"build": "not_applicable"}) is None


def test_an_unknown_task_is_refused():
    with pytest.raises(ValueError, match="unknown task"):
        plan(["dance"])
