"""What clients may ask of a master, answered from the store: over the bus, or directly in one process."""

from __future__ import annotations

from pyti.errors import PytiError, UsageError
from pyti.messages import (
    INLINE_LIMIT,
    CancelJob,
    GetReport,
    JobListing,
    ListJobs,
    ListSlaves,
    Message,
    Refusal,
    ReportReply,
    ShowJob,
    SlaveListing,
)
from pyti.store import Blobs, Store

__all__ = ["answer", "refusal"]


async def answer(message: Message, store: Store, blobs: Blobs) -> Message:
    """Answer one request that needs nothing but the store; errors become a ``Refusal``."""
    try:
        match message:
            case ListJobs(limit=limit, state=state):
                return JobListing(jobs=tuple(await store.jobs(limit, state)))
            case ShowJob(job=job):
                return JobListing(jobs=((await store.job(job)).summary,))
            case GetReport(job=job):
                reference = await store.report_reference(job)
                if reference is None:
                    raise UsageError(f"job {job} has no report", remedy=f"See how it stands with `pyti show {job}`.")
                if reference.size <= INLINE_LIMIT:
                    data = await blobs.get_bytes(reference, limit=INLINE_LIMIT)
                    return ReportReply(job=job, report=data.decode(), blob=reference)
                return ReportReply(job=job, blob=reference)
            case CancelJob(job=job, reason=reason):
                await store.request_cancel(job, reason)
                return JobListing(jobs=((await store.job(job)).summary,))
            case ListSlaves():
                return SlaveListing(slaves=tuple(await store.slaves()))
            case _:
                return Refusal(error="UnknownMessage", message=f"a master does not answer {type(message).__name__}")
    except PytiError as error:
        return refusal(error)


def refusal(error: PytiError) -> Refusal:
    """An error as the answer to a request."""
    return Refusal(
        error=type(error).__name__,
        message=error.message[:60_000],
        remedy=error.remedy[:4000],
        exit_status=error.exit_status,
    )
