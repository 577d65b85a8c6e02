"""``pyti test``: test distributions here and now, with master and slave in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from pyti.cli.options import AllFiles, Config, Json, MachineOptions, Sdist, Wheel, file_choice, settings_from
from pyti.cli.output import check_folder, overall_status, print_reports, write_report
from pyti.cli.watching import ProgressDisplay
from pyti.config import Settings
from pyti.errors import UsageError
from pyti.index import parse_requirement
from pyti.messages import FileChoice, JobProgress, MachineRequest, Submission
from pyti.reports import Report
from pyti.roles import Master, check_tasks, embedded, keep_collections_short, stored_file

__all__ = ["run_test"]


def run_test(
    *requirements: str,
    file: Annotated[
        tuple[Path, ...], Parameter(name="--file", negative="", help="A local sdist or wheel to test.")
    ] = (),
    sdist: Sdist = False,
    wheel: Wheel = False,
    all_files: AllFiles = False,
    profile: Annotated[str, Parameter(help="Which tasks to run: quick, default or full.")] = "default",
    task: Annotated[
        tuple[str, ...],
        Parameter(name="--task", negative="", help="Run this task, and what it needs, instead of a profile."),
    ] = (),
    json: Json = False,
    output: Annotated[
        Path | None, Parameter(help="Also write the reports, in every format, below this folder.")
    ] = None,
    slots: Annotated[int | None, Parameter(help="Machines to use at once.")] = None,
    quiet: Annotated[bool, Parameter(negative="", help="Show no progress.")] = False,
    machine: MachineOptions = MachineOptions(),  # noqa: B008 - frozen
    config: Config = None,
) -> int:
    """Test distributions of the package index, or local files, in fresh virtual machines, and print the reports.

    Parameters
    ----------
    requirements
        What to test, such as ``six``, ``six==1.17.0`` or ``requests[socks]>=2``.

    """
    if not requirements and not file:
        raise UsageError("nothing to test", remedy="Name a requirement, as in `pyti test six`, or a --file.")
    check_tasks(profile, task)
    for text in requirements:
        parse_requirement(text)
    for path in file:
        if not path.is_file():
            raise UsageError(f"there is no file {path}", remedy="Check the path given to --file.")
    choice = file_choice(sdist=sdist, wheel=wheel, all_files=all_files)
    settings = settings_from(config)
    if slots is not None:
        if slots < 1:
            raise UsageError(f"--slots must be at least 1, not {slots}")
        settings = msgspec.structs.replace(settings, slave=msgspec.structs.replace(settings.slave, slots=slots))
    if output is not None:
        check_folder(output)
    request = machine.request(settings)
    reports = asyncio.run(
        _run(settings, requirements, file, choice, profile, task, request, quiet=quiet, output=output)
    )
    print_reports(reports, as_json=json)
    return overall_status(reports)


async def _run(
    settings: Settings,
    requirements: tuple[str, ...],
    files: tuple[Path, ...],
    choice: FileChoice,
    profile: str,
    tasks: tuple[str, ...],
    machine: MachineRequest,
    *,
    quiet: bool,
    output: Path | None,
) -> list[Report]:
    async with embedded(settings) as master:
        keep_collections_short()
        submissions = [
            Submission(requirement=text, choice=choice, profile=profile, tasks=tasks, machine=machine)
            for text in requirements
        ]
        for path in files:
            stored = await stored_file(path, master.blobs)
            submissions.append(Submission(file=stored, profile=profile, tasks=tasks, machine=machine))
        with master.watch() as events:
            jobs = await master.submit(submissions)
            with ProgressDisplay(jobs, quiet=quiet) as display:
                shower = asyncio.create_task(_show(events, display), name="progress")
                try:
                    return await _collect(master, [job.job for job in jobs], display, output)
                finally:
                    shower.cancel()


async def _collect(master: Master, jobs: list[str], display: ProgressDisplay, output: Path | None) -> list[Report]:
    async def one(job: str) -> Report:
        report = await master.report(job)
        display.ended(job, f"done: {report.malice.level}")
        if output is not None:
            await asyncio.to_thread(write_report, report, output)
        return report

    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(one(job)) for job in jobs]
    return [task.result() for task in waiting]


async def _show(events: AsyncIterator[JobProgress], display: ProgressDisplay) -> None:
    async for event in events:
        display.at(event.job, event.step, event.task, event.machine)
