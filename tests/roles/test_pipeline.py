"""What a pipeline does before it needs a machine; the rest is for the system tests."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pyti.errors import ImageMissing
from pyti.machines import ImageStore
from pyti.messages import Step
from pyti.roles.pipeline import JobPipeline

Make = Callable[..., Any]


def rooms(home: Path) -> Any:
    """The two rooms that are entered before a machine is asked for: the spool, and the real image store."""
    return SimpleNamespace(spool=home / "spool", image=ImageStore(home).get)


def pipeline(run: Any, home: Path) -> JobPipeline:
    return JobPipeline(run, rooms(home), slave="slave-1", announce=lambda _step, _task, _machine: None)


async def test_a_job_whose_deadline_passed_on_its_way_is_not_started(make_job: Make, tmp_path: Path) -> None:
    result = await pipeline(make_job(deadline=time.time() - 1), tmp_path).execute()

    assert result.state == "failed"
    assert result.failure is not None
    assert result.failure.timeout
    assert not result.failure.retryable
    assert "deadline" in result.failure.message
    assert not (tmp_path / "spool").exists()


async def test_an_image_that_is_not_here_is_the_result_not_a_crash(make_job: Make, tmp_path: Path) -> None:
    run = make_job(deadline=time.time() + 3600)

    result = await pipeline(run, tmp_path).execute()

    assert (result.state, result.job, result.attempt) == ("failed", run.job, 1)
    assert result.failure is not None
    assert (result.failure.error, result.failure.step) == (ImageMissing.__name__, Step.ACCEPTED)
    assert list((tmp_path / "spool").iterdir()) == []


async def test_a_defect_becomes_a_failure_of_the_infrastructure(make_job: Make, tmp_path: Path) -> None:
    def broken(_name: str) -> None:
        raise ExceptionGroup("outer", [ZeroDivisionError("by zero")])

    broken_rooms = SimpleNamespace(spool=tmp_path / "spool", image=broken)
    made: Any = broken_rooms

    result = await JobPipeline(make_job(), made, slave="s", announce=lambda *_about: None).execute()

    assert result.failure is not None
    assert (result.failure.error, result.failure.cause) == ("ZeroDivisionError", "infrastructure")
    assert "defect" in result.failure.remedy
