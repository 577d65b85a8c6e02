"""What the store's tests share: jobs to store, a clock that is set by hand, an open store."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from pyti.messages import Distribution, DistributionKind, JobRun
from pyti.store import Blobs, Store


class HandClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Jobs:
    """Makes jobs with ids of their own."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def __call__(self, filename: str = "six-1.17.0-py2.py3-none-any.whl", *, job: str = "", master: str = "master"):
        return JobRun(
            job=job or f"job-{next(self._numbers):04}",
            master=master,
            distribution=Distribution(name="six", version="1.17.0", filename=filename, kind=DistributionKind.WHEEL),
            submitted=1000.0,
        )


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def make_job() -> Jobs:
    return Jobs()


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path / 'home' / 'pyti.sqlite'}"


@pytest.fixture
async def store(database_url: str, clock: HandClock):
    async with Store.open(database_url, clock=clock) as opened:
        yield opened


@pytest.fixture
async def blobs(tmp_path: Path):
    async with Blobs.open(str(tmp_path / "blobs")) as opened:
        yield opened
