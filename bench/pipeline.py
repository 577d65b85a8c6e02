"""Times whole jobs: PyTI's own overhead, one warm run from the shell, and two slots against one.

    python -m bench.pipeline --json

Prints medians and ratios as JSON. The caches are warmed first, with one unmeasured pass over all packages that reads
their metadata only. All figures are seconds by the wall clock; ``overhead_s`` of a job is its total minus its downloads
minus the time inside tasks.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from pyti import MachineRequest, Report, Settings, Submission, __version__, embedded, load
from pyti.cli.logs import configure_logs

PACKAGES = (
    "six",
    "idna",
    "certifi",
    "iniconfig",
    "packaging",
    "click",
    "attrs",
    "urllib3",
    "typing-extensions",
    "pluggy",
)
"""Ten pure wheels that many others depend on."""


async def run_all(
    settings: Settings, packages: Sequence[str], profile: str, slots: int, tasks: tuple[str, ...] = ()
) -> tuple[float, list[Report]]:
    """Test all packages with so many slots; returns the seconds from the first submission to the last report."""
    settings = msgspec.structs.replace(settings, slave=msgspec.structs.replace(settings.slave, slots=slots))
    async with embedded(settings) as master:
        machine = MachineRequest(image=settings.machines.image)
        started = time.monotonic()
        jobs = await master.submit(
            [Submission(requirement=package, profile=profile, tasks=tasks, machine=machine) for package in packages]
        )
        reports = [await master.report(job.job) for job in jobs]
        return time.monotonic() - started, reports


def overhead(report: Report) -> float:
    """What PyTI itself took for a job."""
    timings = report.timings
    return timings.total - timings.download - timings.tasks


def shell_seconds(requirement: str) -> tuple[float, int]:
    """Run ``pyti test`` as a person does; returns its seconds and exit status."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pyti", "test", requirement, "--json", "--quiet"],
        stdout=subprocess.DEVNULL,
        timeout=600,
        check=False,
    )
    return time.monotonic() - started, done.returncode


def measure(packages: Sequence[str], profile: str, runs: int) -> dict[str, object]:
    """Everything, in one run."""
    settings = load()
    asyncio.run(run_all(settings, packages, profile, 2, ("metadata",)))
    one_slot, reports = asyncio.run(run_all(settings, packages, profile, 1))
    two_slots, _ = asyncio.run(run_all(settings, packages, profile, 2))
    shell = [shell_seconds("six") for _ in range(runs)]
    overheads = [overhead(report) for report in reports]
    return {
        "profile": profile,
        "packages": {
            report.distribution.filename: {
                "total_s": report.timings.total,
                "tasks_s": report.timings.tasks,
                "overhead_s": round(overhead(report), 3),
                "exit_status": report.exit_status,
            }
            for report in reports
        },
        "overhead_median_s": round(statistics.median(overheads), 3),
        "overhead_max_s": round(max(overheads), 3),
        "test_six_median_s": round(statistics.median(seconds for seconds, _ in shell), 2),
        "test_six_exit_status": sorted({status for _, status in shell}),
        "one_slot_s": round(one_slot, 2),
        "two_slots_s": round(two_slots, 2),
        "two_slots_ratio": round(one_slot / two_slots, 3),
        "accel": reports[0].machine.accel,
        "versions": {"pyti": __version__, "python": platform.python_version(), "kernel": platform.release()},
        "machine": {"cpus": os.cpu_count(), "arch": platform.machine()},
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON (the only format)")
    parser.add_argument("--profile", default="default")
    parser.add_argument("--runs", type=int, default=3, help="how often `pyti test six` is run")
    parser.add_argument("--packages", nargs="+", default=PACKAGES)
    arguments = parser.parse_args()
    configure_logs()
    print(json.dumps(measure(arguments.packages, arguments.profile, arguments.runs), indent=2))


if __name__ == "__main__":
    main()
