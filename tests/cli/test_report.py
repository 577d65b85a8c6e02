"""A report is printed in any format and leaves with its own exit status."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from pyti.cli.report import fetch_report
from pyti.config import Settings
from pyti.errors import InvalidMessage
from pyti.messages import INLINE_LIMIT, JobListing, Message, ReportReply
from pyti.reports import decode_report, render_json
from pyti.store import Blobs

Run = Callable[..., Any]


@pytest.mark.parametrize(("job", "status"), [("job-good", 0), ("job-bad", 1)])
@pytest.mark.parametrize("form", ["text", "json", "html", "junit"])
def test_every_format_leaves_with_the_report_s_status(
    pyti: Run, filled: Settings, job: str, status: int, form: str
) -> None:
    outcome = pyti("report", job, "--format", form)

    assert outcome.status == status
    assert outcome.err == ""
    assert job in outcome.out
    assert "some_dist" in outcome.out


def test_formats_are_what_they_say(pyti: Run, filled: Settings) -> None:
    assert decode_report(pyti("report", "job-bad", "--format", "json").out.encode()).job == "job-bad"
    assert "<script" not in pyti("report", "job-bad", "--format", "html").out
    junit = ET.fromstring(pyti("report", "job-bad", "--format", "junit").out)  # noqa: S314 - ours
    assert junit.findall(".//failure")


def test_a_job_that_has_not_ended_has_no_report_yet(pyti: Run, filled: Settings) -> None:
    outcome = pyti("report", "job-queued")

    assert outcome.status == 2
    assert "job-queued has no report" in outcome.said
    assert "pyti show job-queued" in outcome.said


class Answers:
    """A client whose master gives one answer."""

    def __init__(self, reply: Message) -> None:
        self.reply = reply

    async def ask(self, message: Message) -> Message:
        assert message
        return self.reply


def test_a_report_that_is_too_large_for_a_message_comes_from_the_blob_store(
    settings: Settings, make_report: Run
) -> None:
    async def fetch() -> None:
        _, report = make_report("job-large")
        data = render_json(report) + b" " * INLINE_LIMIT
        async with Blobs.open(settings.blobs_url) as blobs:
            reference = await blobs.put_bytes(data, "application/json")
        reply = ReportReply(job="job-large", blob=reference)

        assert await fetch_report(Answers(reply), settings, "job-large") == report

    asyncio.run(fetch())


@pytest.mark.parametrize("reply", [ReportReply(job="job-empty"), JobListing(jobs=())])
def test_an_answer_without_a_report_is_refused(settings: Settings, reply: Message) -> None:
    with pytest.raises(InvalidMessage):
        asyncio.run(fetch_report(Answers(reply), settings, "job-empty"))
