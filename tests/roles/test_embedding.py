"""Master and slave in one process: names of their own, and nothing left of processes that were killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pyti.config import Settings
from pyti.errors import ImageMissing
from pyti.messages import JobState
from pyti.roles import embedded, embedded_settings
from pyti.roles.embedding import PREFIX, _end_orphans
from pyti.store import Store

Make = Callable[..., Any]


@pytest.fixture
def dead() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(timeout=30)
    return process.pid


@pytest.fixture
def living() -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process.pid
    process.communicate(b"\n", timeout=30)


async def states(store: Store) -> dict[str, JobState]:
    return {row.job: row.state for row in await store.jobs()}


def test_every_process_has_a_bus_and_names_of_its_own_and_shares_the_rest(settings: Settings) -> None:
    own = embedded_settings(settings)

    assert own.master.name == own.slave.name == f"{PREFIX}{os.getpid()}"
    assert own.bus.url == f"inprocess:{PREFIX}{os.getpid()}"
    assert (own.home, own.index, own.machines, own.store) == (
        settings.home,
        settings.index,
        settings.machines,
        settings.store,
    )
    assert own.master.max_attempts == settings.master.max_attempts


async def test_whatever_a_killed_process_left_is_ended_as_failed(store: Store, make_job: Make, dead: int) -> None:
    stored, dispatched, running = (make_job(master=f"{PREFIX}{dead}") for _ in range(3))
    await store.add_jobs([stored, dispatched, running])
    await store.mark_dispatched(dispatched.job, 1)
    await store.accepted(running.job, 1, f"{PREFIX}{dead}", time.time() - 1)

    await _end_orphans(store)

    assert set((await states(store)).values()) == {JobState.FAILED}
    for row in await store.jobs():
        assert row.exit_status == 3
        assert "killed" in row.detail


async def test_jobs_of_living_processes_and_of_services_are_left_alone(
    store: Store, make_job: Make, living: int
) -> None:
    names = (f"{PREFIX}{living}", f"{PREFIX}{os.getpid()}", "master", "local-area-master", PREFIX, f"{PREFIX}-1")
    runs = [make_job(master=name) for name in names]
    await store.add_jobs(runs)

    await _end_orphans(store)

    assert set((await states(store)).values()) == {JobState.QUEUED}


async def test_a_job_whose_lease_still_holds_is_left_alone(store: Store, make_job: Make, dead: int) -> None:
    run = make_job(master=f"{PREFIX}{dead}")
    await store.add_jobs([run])
    await store.accepted(run.job, 1, "slave-1", time.time() + 3600)

    await _end_orphans(store)

    assert await states(store) == {run.job: JobState.RUNNING}


async def test_without_an_image_nothing_is_started_and_orphans_are_ended_all_the_same(
    settings: Settings, store: Store, make_job: Make, dead: int
) -> None:
    run = make_job(master=f"{PREFIX}{dead}")
    await store.add_jobs([run])

    with pytest.raises(ImageMissing) as caught:
        async with embedded(settings):
            pytest.fail("there is no image")

    assert "pyti image build" in caught.value.remedy
    assert await states(store) == {run.job: JobState.FAILED}
    assert not list(settings.home.glob("slaves/*.sqlite*"))
