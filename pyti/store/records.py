"""What goes into the store and what comes out of it: plain records, and their coding as rows."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from sqlalchemy import Row

from pyti.errors import StoreError
from pyti.messages import BlobReference, JobResult, JobRun, JobState, JobSummary
from pyti.store.job_state import Standing

__all__ = [
    "CancelRequest",
    "CursorUpdate",
    "JobRecord",
    "Upload",
    "decode",
    "encode",
    "record_of",
    "run_of",
    "standing_columns",
    "standing_of",
    "summary_of",
]

Coded = TypeVar("Coded", bound=msgspec.Struct)


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a feed has met on the index, whether or not it becomes a job."""

    project: str
    filename: str


class CursorUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """How far a feed has read one project; ``value`` is the feed's own text (an ETag, a serial number)."""

    project: str
    value: str


class CancelRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A running job whose end somebody asked for, and the slave that must be told."""

    job: str
    attempt: int
    slave: str
    reason: str


class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    """All that the store knows of one job; ``run`` carries the current attempt."""

    run: JobRun
    summary: JobSummary
    standing: Standing
    feed: str = ""
    cancel_reason: str = ""
    report: BlobReference | None = None
    result: JobResult | None = None


def encode(value: msgspec.Struct) -> str:
    """Return the JSON text of a message or of a part of one."""
    return msgspec.json.encode(value).decode()


def decode(kind: type[Coded], text: str | bytes, where: str) -> Coded:
    """Return the inverse of ``encode``; ``StoreError`` naming ``where`` when the text is not what was stored."""
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreError(
            f"{where} holds no readable {kind.__name__}: {error}",
            remedy="The database was changed by another program; put a backup in its place.",
        ) from error


def standing_of(row: Row[Any]) -> Standing:
    """Return the job's standing as its row says."""
    return Standing(
        state=JobState(row.state),
        attempt=row.attempt,
        dispatched=row.dispatched,
        slave=row.slave,
        lease_until=row.lease_until,
        cancelling=row.cancelling,
    )


def standing_columns(standing: Standing) -> dict[str, Any]:
    """Return the columns that ``standing_of`` reads."""
    return {**msgspec.structs.asdict(standing), "state": standing.state.value}


def run_of(row: Row[Any]) -> JobRun:
    """Return the job as it goes onto the bus, with its current attempt."""
    return msgspec.structs.replace(decode(JobRun, row.run, f"job {row.job}"), attempt=row.attempt)


def summary_of(row: Row[Any]) -> JobSummary:
    """Return the job as listings show it."""
    run = run_of(row)
    return JobSummary(
        job=row.job,
        state=JobState(row.state),
        distribution=run.distribution,
        profile=run.profile,
        attempt=row.attempt,
        submitted=run.submitted,
        slave=row.slave,
        step=row.step,
        task=row.task,
        machine=row.machine,
        finished=row.finished,
        level=row.level,
        passed=row.passed,
        not_passed=row.not_passed,
        exit_status=row.exit_status,
        detail=row.detail,
    )


def record_of(row: Row[Any]) -> JobRecord:
    """Everything in the job's row."""
    return JobRecord(
        run=run_of(row),
        summary=summary_of(row),
        standing=standing_of(row),
        feed=row.feed,
        cancel_reason=row.cancel_reason,
        report=decode(BlobReference, row.report, f"job {row.job}") if row.report else None,
        result=decode(JobResult, row.result, f"job {row.job}") if row.result else None,
    )
