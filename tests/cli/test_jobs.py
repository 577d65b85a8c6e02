"""Jobs and slaves as people and programs see them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pyti.cli.jobs import _age, _wait
from pyti.config import Settings
from pyti.messages import JobListing, ListJobs
from pyti.reports import Report
from pyti.roles import open_client

Run = Callable[..., Any]


def test_jobs_are_listed_newest_first(pyti: Run, filled: Settings) -> None:
    outcome = pyti("jobs")

    lines = outcome.out.splitlines()
    assert outcome.status == 0
    assert [line.split()[0] for line in lines[1:]] == [
        "job-cancelled",
        "job-queued",
        "job-running",
        "job-bad",
        "job-good",
    ]
    assert lines[3].split()[:2] == ["job-running", "running"]
    assert "run import" in lines[3]
    assert "none_found" in lines[5]


def test_a_stranger_s_words_in_a_listing_are_harmless(pyti: Run, filled: Settings) -> None:
    for command in (["jobs"], ["slaves"], ["show", "job-running"], ["report", "job-bad"]):
        outcome = pyti(*command)

        assert outcome.status in (0, 1)
        assert "[/nope][red]:bomb:" in outcome.out, command
        assert not {"\x1b", "\x07", "\u202e"} & set(outcome.out), command


def test_jobs_as_json(pyti: Run, filled: Settings) -> None:
    rows = json.loads(pyti("jobs", "--json").out)

    assert {row["job"]: row["state"] for row in rows} == {
        "job-cancelled": "cancelled",
        "job-queued": "queued",
        "job-running": "running",
        "job-bad": "done",
        "job-good": "done",
    }


def test_a_listing_can_be_narrowed(pyti: Run, filled: Settings) -> None:
    assert [row["job"] for row in json.loads(pyti("jobs", "--state", "done", "--json").out)] == ["job-bad", "job-good"]
    assert [row["job"] for row in json.loads(pyti("jobs", "--limit", "1", "--json").out)] == ["job-cancelled"]


@pytest.mark.parametrize("limit", ["0", "-3", "1001"])
def test_a_limit_out_of_range_is_named(pyti: Run, limit: str) -> None:
    outcome = pyti("jobs", "--limit", limit)

    assert outcome.status == 2
    assert "--limit must be 1 to 1000" in outcome.said


def test_an_empty_home_says_what_to_try(pyti: Run) -> None:
    assert "pyti test six" in pyti("jobs").out
    assert "pyti slave" in pyti("slaves").out
    assert json.loads(pyti("jobs", "--json").out) == []
    assert json.loads(pyti("slaves", "--json").out) == []


def test_one_job_is_shown(pyti: Run, filled: Settings) -> None:
    text = pyti("show", "job-good")
    row = json.loads(pyti("show", "job-good", "--json").out)

    assert text.status == 0
    assert "some_dist-1.2-py3-none-any.whl" in text.out
    assert (row["job"], row["state"], row["level"]) == ("job-good", "done", "none_found")


@pytest.mark.parametrize("command", ["show", "cancel", "report"])
@pytest.mark.parametrize("job", ["job-of-nobody", "NOT/AN\x1bID", "x"])
def test_a_job_that_is_not_there_is_named(pyti: Run, filled: Settings, command: str, job: str) -> None:
    outcome = pyti(command, job)

    assert outcome.status == 2
    assert job.partition("/")[0] in outcome.err
    assert "pyti jobs" in outcome.said
    assert "\x1b" not in outcome.err


def test_a_job_that_waits_is_cancelled_at_once_and_one_that_runs_in_time(pyti: Run, filled: Settings) -> None:
    assert pyti("cancel", "job-queued", "--reason", "enough").out == "job-queued cancelled\n"
    assert pyti("cancel", "job-running").out == "job-running cancelling\n"
    assert pyti("cancel", "job-good").out == "job-good done\n"

    row = json.loads(pyti("cancel", "job-queued", "--json").out)

    assert (row["state"], row["detail"]) == ("cancelled", "enough")


def test_slaves_are_listed_with_what_they_do(pyti: Run, filled: Settings) -> None:
    lines = pyti("slaves").out.splitlines()
    rows = json.loads(pyti("slaves", "--json").out)

    assert len(lines) == 4
    assert "run import m-1" in next(line for line in lines if "x86_64.bookworm" in line)
    assert "left" in next(line for line in lines if line.startswith("slave-2"))
    assert "draining" in next(line for line in lines if line.startswith("slave-3"))
    assert {row["slots"] for row in rows} == {1, 2}  # a default is shown like any other value


@pytest.mark.parametrize(
    ("arguments", "named", "remedy"),
    [
        (["six"], "no bus to submit to", "pyti test"),
        (["six", "--profile", "thorough"], "thorough", "quick, default, full"),
        (["six", "--task", "fly"], "fly", "import"),
        (["six", "--sdist", "--wheel"], "exclude one another", "only one"),
        (["six", "--memory", "1"], "memory_mib", "pyti test --help"),
        (["--file", "nothing-1.0.tar.gz"], "nothing-1.0.tar.gz", "--file"),
    ],
)
def test_a_submission_that_cannot_be_made_is_refused(pyti: Run, arguments: list[str], named: str, remedy: str) -> None:
    outcome = pyti("submit", *arguments)

    assert outcome.status == 2
    assert named in outcome.said
    assert remedy in outcome.said


def test_waiting_ends_with_the_reports_in_the_order_of_the_jobs(filled: Settings) -> None:
    async def wait() -> list[Report]:
        async with open_client(filled) as client:
            listing = await client.ask(ListJobs())
            assert isinstance(listing, JobListing)
            rows = {row.job: row for row in listing.jobs}
            return await _wait(client, filled, [rows["job-good"], rows["job-bad"]], quiet=True)

    assert [report.job for report in asyncio.run(wait())] == ["job-good", "job-bad"]


def test_ages_are_told_in_one_unit() -> None:
    now = time.time()

    assert [_age(now - seconds) for seconds in (-5, 0, 59, 61, 3700, 90000)] == [
        "0 s",
        "0 s",
        "59 s",
        "1 min",
        "1 h",
        "1 d",
    ]


def test_a_damaged_database_is_no_traceback(pyti: Run, home: Path) -> None:
    home.mkdir()
    (home / "pyti.sqlite").write_bytes(b"not a database" * 1000)

    outcome = pyti("jobs")

    assert outcome.status == 3
    assert "pyti.sqlite" in outcome.said


def test_json_is_one_document_of_known_shape(pyti: Run, filled: Settings) -> None:
    listing = msgspec.json.decode(
        b'{"jobs":' + pyti("jobs", "--json").out.encode() + b"}", type=JobListing, strict=True
    )

    assert len(listing.jobs) == 5
