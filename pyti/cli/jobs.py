"""``pyti submit``, ``jobs``, ``show``, ``cancel`` and ``slaves``: asking a master that runs elsewhere."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pyti.cli.options import AllFiles, Config, Json, MachineOptions, Sdist, Wheel, file_choice, settings_from
from pyti.cli.output import overall_status, print_reports
from pyti.cli.report import fetch_report
from pyti.cli.watching import ProgressDisplay
from pyti.config import Settings
from pyti.errors import ExitStatus, UsageError
from pyti.messages import (
    CancelJob,
    JobListing,
    JobState,
    JobSummary,
    ListJobs,
    ListSlaves,
    Message,
    Priority,
    ShowJob,
    SlaveListing,
    Submission,
    SubmitJobs,
)
from pyti.reports import Report, neutral_text
from pyti.roles import Client, check_tasks, open_client, stored_file
from pyti.store import Blobs

__all__ = ["cancel", "jobs", "show", "slaves", "submit"]

POLL_S = 0.5
PIPE_WIDTH = 240
ENDED = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


def submit(
    *requirements: str,
    file: Annotated[tuple[Path, ...], Parameter(name="--file", negative="", help="A local sdist or wheel.")] = (),
    sdist: Sdist = False,
    wheel: Wheel = False,
    all_files: AllFiles = False,
    profile: Annotated[str, Parameter(help="Which tasks to run: quick, default or full.")] = "default",
    task: Annotated[
        tuple[str, ...], Parameter(name="--task", negative="", help="Run this task instead of a profile.")
    ] = (),
    high: Annotated[bool, Parameter(negative="", help="Go before jobs of normal priority.")] = False,
    wait: Annotated[bool, Parameter(negative="", help="Wait for the reports and print them.")] = False,
    json: Json = False,
    quiet: Annotated[bool, Parameter(negative="", help="Show no progress.")] = False,
    machine: MachineOptions = MachineOptions(),  # noqa: B008 - frozen
    config: Config = None,
) -> int:
    """Hand requirements or files to a master, and with --wait print their reports.

    Parameters
    ----------
    requirements
        What to test, such as ``six`` or ``six==1.17.0``.

    """
    check_tasks(profile, task)
    choice = file_choice(sdist=sdist, wheel=wheel, all_files=all_files)
    settings = settings_from(config)
    request = machine.request(settings)
    plain = Submission(
        choice=choice,
        profile=profile,
        tasks=task,
        machine=request,
        priority=Priority.HIGH if high else Priority.NORMAL,
    )
    submissions = [msgspec.structs.replace(plain, requirement=text) for text in requirements]

    async def go() -> tuple[list[JobSummary], list[Report]]:
        async with open_client(settings) as client:
            if file:
                async with Blobs.open(settings.blobs_url) as blobs:
                    submissions.extend(
                        [msgspec.structs.replace(plain, file=await stored_file(path, blobs)) for path in file]
                    )
            rows = _listing(await client.ask(SubmitJobs(submissions=tuple(submissions))))
            return rows, await _wait(client, settings, rows, quiet=quiet) if wait else []

    rows, reports = asyncio.run(go())
    if wait:
        print_reports(reports, as_json=json)
        return overall_status(reports) if len(reports) == len(rows) else ExitStatus.INCONCLUSIVE
    if json:
        _print_json(rows)
    else:
        for row in rows:
            print(row.job, neutral_text(row.distribution.filename))  # noqa: T201 - this is the output
    return 0


def jobs(
    *,
    limit: Annotated[int, Parameter(help="How many at most.")] = 50,
    state: Annotated[JobState | None, Parameter(help="Only those in this state.")] = None,
    json: Json = False,
    config: Config = None,
) -> int:
    """List jobs, newest first."""
    if not 1 <= limit <= 1000:
        raise UsageError(f"--limit must be 1 to 1000, not {limit}")
    rows = _listing(_ask(settings_from(config), ListJobs(limit=limit, state=state)))
    if json:
        _print_json(rows)
        return 0
    table = _table("job", "state", "distribution", "at", "slave", "finding", "passed", "not", "age")
    for row in rows:
        at = f"{row.step} {row.task}".strip() if row.finished is None else ""
        table.add_row(
            row.job,
            row.state,
            neutral_text(row.distribution.filename),
            neutral_text(at),
            neutral_text(row.slave),
            neutral_text(row.level),
            str(row.passed),
            str(row.not_passed),
            _age(row.submitted),
        )
    _console().print(table if rows else Text("No jobs yet. Try: pyti test six"))
    return 0


def show(job: str, *, json: Json = False, config: Config = None) -> int:
    """Show how one job stands.

    Parameters
    ----------
    job
        The job's id, as `pyti jobs` lists it.

    """
    (row,) = _listing(_ask(settings_from(config), _about(ShowJob, job)))
    if json:
        _print_json(row)
        return 0
    table = Table.grid(padding=(0, 2))
    for name, value in msgspec.to_builtins(row).items():
        text = value.get("filename", "") if isinstance(value, dict) else value
        if text not in ("", None):
            table.add_row(Text(name, style="bold"), Text(neutral_text(str(text))))
    _console().print(table)
    return 0


def cancel(job: str, *, reason: str = "", json: Json = False, config: Config = None) -> int:
    """Cancel a job that waits or runs; its machine is destroyed.

    Parameters
    ----------
    job
        The job's id, as `pyti jobs` lists it.
    reason
        Kept with the job.

    """
    (row,) = _listing(_ask(settings_from(config), _about(CancelJob, job, reason=reason)))
    if json:
        _print_json(row)
    else:
        print(row.job, row.state if row.finished else "cancelling")  # noqa: T201 - this is the output
    return 0


def slaves(*, json: Json = False, config: Config = None) -> int:
    """List slaves: what they can run, and which machine is at which step for which job."""
    reply = _ask(settings_from(config), ListSlaves())
    rows = reply.slaves if isinstance(reply, SlaveListing) else ()
    if json:
        _print_json(rows)
        return 0
    table = _table("slave", "serves", "accel", "free", "state", "seen", "busy with")
    for row in rows:
        state = "left" if row.leaving else "draining" if row.draining else "ready"
        busy = [f"{a.distribution}: {a.step} {a.task} {a.machine}".strip() for a in row.activities]
        table.add_row(
            neutral_text(row.slave),
            neutral_text(" ".join(row.capabilities)),
            neutral_text(row.accel),
            f"{row.free}/{row.slots}",
            state,
            _age(row.at),
            neutral_text("; ".join(busy)),
        )
    _console().print(table if rows else Text("No slave was ever heard of. Start one: pyti slave --config F"))
    return 0


async def _wait(client: Client, settings: Settings, rows: list[JobSummary], *, quiet: bool) -> list[Report]:
    """The reports of all jobs that have one, in the order of the jobs."""
    reports: dict[str, Report | None] = {}
    with ProgressDisplay(rows, quiet=quiet) as display:
        while len(reports) < len(rows):
            for job in [row.job for row in rows if row.job not in reports]:
                (now,) = _listing(await client.ask(ShowJob(job=job)))
                if now.state in ENDED and not now.level:
                    # Ended before it started, or its report could not be stored: the others still have theirs.
                    reports[job] = None
                    display.ended(job, f"{now.state}: {now.detail or 'no report'}")
                elif now.state in ENDED:
                    reports[job] = await fetch_report(client, settings, job)
                    display.ended(job, f"done: {now.level}")
                elif now.step:
                    display.at(job, now.step, now.task, now.machine)
            await asyncio.sleep(POLL_S)
    return [report for row in rows if (report := reports[row.job]) is not None]


def _ask(settings: Settings, message: Message) -> Message:
    async def go() -> Message:
        async with open_client(settings) as client:
            return await client.ask(message)

    return asyncio.run(go())


def _about(kind: type[Message], job: str, **fields: str) -> Message:
    """A request about one job; raises ``UsageError`` for what cannot be a job's id."""
    try:
        return msgspec.convert({"type": kind.__struct_config__.tag, "job": job, **fields}, kind)
    except msgspec.ValidationError as error:
        raise UsageError(f"{job!r} is no job's id", remedy="`pyti jobs` lists them.") from error


def _listing(reply: Message) -> list[JobSummary]:
    return list(reply.jobs) if isinstance(reply, JobListing) else []


def _print_json(value: object) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def _console() -> Console:
    """Standard output; where nobody watches, lines are as long as they need to be."""
    # What a slave says of itself is text: never markup, never an emoji's code.
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    return console


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        # An id that is cut short cannot be used in the next command.
        table.add_column(name, no_wrap=name == "job", overflow="fold")
    return table


def _age(then: float) -> str:
    seconds = max(0, int(time.time() - then))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
