"""Profiles choose tasks; every task has limits that fit the machine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyti.errors import UsageError
from pyti.messages import Distribution, DistributionKind, JobRun, MachineRequest
from pyti.rawdata.contract import TASKS
from pyti.roles.profiles import PROFILES, check_tasks, limits_of, task_limits, tasks_of

DISTRIBUTION = Distribution(name="a", version="1", filename="a-1.tar.gz", kind=DistributionKind.SDIST)


def test_every_profile_names_known_tasks_in_their_order() -> None:
    for tasks in PROFILES.values():
        assert list(tasks) == [task for task in TASKS if task in tasks]


def test_the_full_profile_runs_every_task() -> None:
    assert PROFILES["full"] == TASKS


def test_tasks_that_a_job_names_replace_its_profile() -> None:
    run = JobRun(job="job-1", distribution=DISTRIBUTION, profile="quick", tasks=("tests", "metadata"))

    assert tasks_of(run) == ("metadata", "tests")


def test_an_unknown_profile_is_named_with_those_that_exist() -> None:
    with pytest.raises(UsageError, match="fast") as raised:
        check_tasks("fast", ())
    assert "quick, default, full" in raised.value.remedy


def test_an_unknown_task_is_named_with_those_that_exist() -> None:
    with pytest.raises(UsageError, match="lint") as raised:
        check_tasks("quick", ("build", "lint"))
    assert "pylint" in raised.value.remedy


@given(memory=st.integers(256, 262144), limit=st.floats(1, 86400))
def test_no_task_may_use_more_than_the_machine_has(memory: int, limit: float) -> None:
    machine = MachineRequest(memory_mib=memory, time_limit_s=limit)

    for each in (limits_of(machine), *task_limits(machine, TASKS).values()):
        assert 0 < each.memory_bytes < memory * 1024 * 1024
    assert all(each.wall_s <= limit for each in task_limits(machine, TASKS).values())
