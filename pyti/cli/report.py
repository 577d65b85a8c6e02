"""``pyti report``: a job's report in any format."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated, Literal

import msgspec
from cyclopts import Parameter

from pyti.cli.options import Config, settings_from
from pyti.cli.output import rendered
from pyti.config import Settings
from pyti.errors import InvalidMessage, UsageError
from pyti.messages import GetReport, ReportReply
from pyti.reports import Report, decode_report
from pyti.roles import MAX_REPORT_BYTES, Client, open_client
from pyti.store import Blobs

__all__ = ["fetch_report", "report"]


def report(
    job: str,
    *,
    format: Annotated[Literal["text", "json", "html", "junit"], Parameter(help="How to print it.")] = "text",  # noqa: A002 - the option's name
    config: Config = None,
) -> int:
    """Print the report of a job that has ended; leaves with the report's own exit status.

    Parameters
    ----------
    job
        The job's id, as `pyti jobs` lists it.

    """
    settings = settings_from(config)
    found = asyncio.run(_fetch(settings, job))
    sys.stdout.write(rendered(found, format, terminal=format == "text" and sys.stdout.isatty()))
    return found.exit_status


async def _fetch(settings: Settings, job: str) -> Report:
    async with open_client(settings) as client:
        return await fetch_report(client, settings, job)


async def fetch_report(client: Client, settings: Settings, job: str) -> Report:
    """Ask for a report; one that is too large for a message comes from the blob store."""
    try:
        request = msgspec.convert({"type": "master.report.v1", "job": job}, GetReport)
    except msgspec.ValidationError as error:
        raise UsageError(f"{job!r} is no job's id", remedy="`pyti jobs` lists them.") from error
    reply = await client.ask(request)
    if not isinstance(reply, ReportReply):
        raise InvalidMessage(f"a master answered a request for a report with {type(reply).__name__}")
    if reply.report is not None:
        return decode_report(reply.report.encode())
    if reply.blob is None:
        raise InvalidMessage("a master sent a report without content")
    async with Blobs.open(settings.blobs_url) as blobs:
        return decode_report(await blobs.get_bytes(reply.blob, limit=MAX_REPORT_BYTES))
