"""What the command line's tests share: a home of their own, a store that is filled, and two ways to run ``pyti``."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog

from pyti.cli.main import main
from pyti.config import Settings
from pyti.messages import JobRun, JobState, SlavePresence, SlotActivity, Step
from pyti.reports import Report, render_json
from pyti.store import Blobs, Store

RUN_LIMIT_S = 60.0
HOSTILE = "\x1b]0;owned\x07[/nope][red]:bomb:\u202e"
"""A title escape, markup that would not parse, an emoji's code and a reversal."""


def _raw_job() -> Any:
    """The reports room's builder of raw data, by its file: test folders are no packages."""
    path = Path(__file__).parent.parent / "reports" / "conftest.py"
    spec = importlib.util.spec_from_file_location("pyti_tests_raw_job", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.RawJob


RawJob = _raw_job()


@dataclass(frozen=True)
class Outcome:
    """How one run of the command ended."""

    status: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """What it said on standard error, as running text: the console wraps lines."""
        return " ".join(self.err.split())


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty home, no settings, a wide console, and logs as they were afterwards."""
    for name in [name for name in os.environ if name.startswith("PYTI_") or name in ("NO_COLOR", "FORCE_COLOR")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "home"
    monkeypatch.setenv("PYTI_HOME", str(folder))
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.chdir(tmp_path)
    yield folder
    structlog.reset_defaults()


@pytest.fixture
def pyti(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run the command in this process."""

    def run(*arguments: str) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main(arguments)
        captured = capsys.readouterr()
        assert isinstance(left.value.code, int)
        return Outcome(left.value.code, captured.out, captured.err)

    return run


@pytest.fixture
def pyti_process() -> Callable[..., Outcome]:
    """Run the command in a process of its own, as a shell does."""

    def run(*arguments: str, command: Sequence[str] = ("-m", "pyti"), **environment: str) -> Outcome:
        done = subprocess.run(
            [sys.executable, *command, *arguments],
            capture_output=True,
            text=True,
            timeout=RUN_LIMIT_S,
            env=os.environ | environment,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings(home=home)


def report_of(job: str, *, bad: bool = False) -> tuple[JobRun, Report]:
    """A job and the report of its raw data: nothing found, or its own tests failed."""
    raw = RawJob()
    raw.good()
    if bad:
        raw.add("tests", "failed", detail=f"1 failed {HOSTILE}", phases=(raw.phase("tests", exit_status=1),))
    report = raw.finish().report(lock='lock-version = "1.0"\n')
    return msgspec.structs.replace(raw.run, job=job), msgspec.structs.replace(report, job=job)


@pytest.fixture
def make_report() -> Callable[..., tuple[JobRun, Report]]:
    return report_of


@pytest.fixture
def hostile() -> str:
    return HOSTILE


async def _fill(settings: Settings) -> None:
    async with Store.open(settings.database_url) as store, Blobs.open(settings.blobs_url) as blobs:
        for job, bad in (("job-good", False), ("job-bad", True)):
            run, report = report_of(job, bad=bad)
            await store.add_jobs([run])
            await store.finish(
                job,
                1,
                JobState.DONE,
                report=await blobs.put_bytes(render_json(report), "application/json"),
                level=report.malice.level,
                exit_status=report.exit_status,
                passed=5,
                not_passed=int(bad),
            )
        template, _ = report_of("job-any")
        for job in ("job-running", "job-queued", "job-cancelled"):
            await store.add_jobs([msgspec.structs.replace(template, job=job, submitted=time.time())])
        await store.progress(
            "job-running", 1, f"slave-{HOSTILE}", Step.RUN, f"import{HOSTILE}", "m-1", time.time() + 3600
        )
        await store.request_cancel("job-cancelled", "no longer wanted")
        await store.slave_seen(
            SlavePresence(
                slave=f"slave-{HOSTILE}",
                version="1",
                capabilities=("x86_64.bookworm",),
                accel="tcg",
                slots=2,
                free=1,
                activities=(
                    SlotActivity(
                        job="job-running",
                        attempt=1,
                        distribution=f"six{HOSTILE}",
                        step=Step.RUN,
                        task="import",
                        machine="m-1",
                    ),
                ),
                at=time.time(),
            )
        )
        await store.slave_seen(SlavePresence(slave="slave-2", version="1", capabilities=(), leaving=True, at=1.0))
        await store.slave_seen(
            SlavePresence(slave="slave-3", version="1", capabilities=(), draining=True, at=time.time())
        )


@pytest.fixture
def filled(settings: Settings) -> Settings:
    """A store with a good and a bad report, jobs that run, wait and were cancelled, and three slaves."""
    asyncio.run(_fill(settings))
    return settings
