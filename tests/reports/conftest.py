"""A whole job's raw data, as a guest that behaves would send it; tests change what they are about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pyti.messages import Distribution, DistributionKind, JobResult, JobRun, MachineUsed, Timings
from pyti.rawdata.contract import JobFinished, JobStarted, Phase, RawRecord, StreamReference, TaskFinished, TaskStarted
from pyti.reports import Report, evaluate

DATA = Path(__file__).parent / "data"
ARGV = ("python3", "-I", "/home/tester/work/canary.py")
QUIET = (
    b'7 1700000000.000001 execve("/usr/bin/setpriv", ["setpriv"], 0x1 /* 3 vars */) = 0\n'
    b'7 1700000000.000002 openat(AT_FDCWD</home/tester/work>, "/etc/shadow", O_RDONLY) = 3</etc/shadow>\n'
    b'7 1700000000.000003 execve("/usr/bin/python3", ["python3", "-I", "/home/tester/work/canary.py"], 0x1) = 0\n'
    b'7 1700000000.000004 openat(AT_FDCWD</home/tester/work>, "x.py", O_RDONLY) = 3</home/tester/work/x.py>\n'
    b"7 1700000000.000005 +++ exited with 0 +++\n"
)


class RawJob:
    """Builds the raw data of a job, record by record."""

    def __init__(self, tasks: tuple[str, ...] = ()) -> None:
        self.distribution = Distribution(
            name="some-dist", version="1.2", filename="some_dist-1.2-py3-none-any.whl", kind=DistributionKind.WHEEL,
            sha256="ab" * 32, size=64928,
        )  # fmt: skip
        self.run = JobRun(job="job-0001", distribution=self.distribution, submitted=1699999990.0, tasks=tasks)
        self.result: dict[str, Any] = {}
        self.traces: dict[str, Any] = {}
        self.streams: dict[str, bytes] = {}
        self.clock = 1700000000.0
        self.records: list[RawRecord] = [JobStarted(at=self.clock, tools={"python": "3.11.2"}, **self._next())]
        self._done = False

    def _next(self) -> dict[str, Any]:
        seq = len(self.records) if hasattr(self, "records") else 0
        return {"seq": seq, "job": self.run.job, "attempt": 1}

    def phase(self, task: str, *, trace: bytes | None = QUIET, **fields: Any) -> Phase:
        path = f"streams/{task}/{task}.strace"
        if trace is not None:
            self.traces[path] = trace
        fields.setdefault("exit_status", 0)
        reference = StreamReference(path=path, size=1, truncated=fields.pop("truncated", False))
        return Phase(phase=task, argv=ARGV, wall_s=1.0, max_rss_bytes=50_000_000, trace=reference, **fields)

    def start(self, task: str) -> None:
        self.records.append(TaskStarted(at=self.clock, task=task, **self._next()))

    def add(
        self, task: str, outcome: str = "passed", *, phases: tuple[Phase, ...] | None = None, **fields: Any
    ) -> None:
        self.start(task)
        self.clock += 2.0
        phases = (self.phase(task),) if phases is None else phases
        fields.setdefault("wall_s", 2.0)
        self.records.append(
            TaskFinished(at=self.clock, task=task, outcome=outcome, phases=phases, **fields, **self._next())
        )

    def good(self, *, without: tuple[str, ...] = ()) -> RawJob:
        for task in ("metadata", "build", "install", "startup", "import"):
            if task == "build":
                self.add("build", "not_applicable", phases=(), detail="a wheel needs no build")
            elif task not in without:
                self.add(task)
        return self

    def finish(self) -> RawJob:
        self.records.append(JobFinished(at=self.clock, **self._next()))
        return self

    def report(self, lock: str | None = None) -> Report:
        result = JobResult(
            job=self.run.job, attempt=1, slave="slave-1", distribution=self.distribution, finished=1700000100.0,
            machine=MachineUsed(image="bookworm", accel="tcg", machine="m1", cpus=1, memory_mib=1024),
            timings=Timings(resolve=0.5, download=1, clone=0.9, deliver=0.2, run=20, collect=0.1, destroy=0.2, total=23),  # noqa: E501 - one line of data
            **({"state": "done"} | self.result),
        )  # fmt: skip
        return evaluate(self.run, result, self.records, self.traces, self.streams, lock, now=1700000101.0)


@pytest.fixture
def raw_job() -> type[RawJob]:
    """The builder itself, for tests that need a fresh job for each example."""
    return RawJob


@pytest.fixture
def job() -> RawJob:
    return RawJob()


@pytest.fixture
def canary() -> bytes:
    """A real trace of a script that does what malware does, taken with no network at all."""
    return (DATA / "canary.strace").read_bytes()


@pytest.fixture
def bad(job: RawJob, canary: bytes) -> Report:
    job.good(without=("import",))
    job.add("import", phases=(job.phase("import", trace=canary),))
    job.add(
        "tests",
        "failed",
        detail="1 failed\x1b[2J <script>alert(1)</script>",
        phases=(job.phase("tests", exit_status=1),),
    )
    return job.finish().report(lock='lock-version = "1.0"\n')


@pytest.fixture
def good(job: RawJob) -> Report:
    return job.good().finish().report()
