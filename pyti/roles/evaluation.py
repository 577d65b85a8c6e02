"""A result becomes a report: the raw data is fetched from the blob store, checked and evaluated off the event loop."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pyti.errors import GuestMisbehaved
from pyti.messages import BlobReference, JobResult, JobRun
from pyti.rawdata import RecordDecoder
from pyti.rawdata.contract import MAX_OUTBOX_BYTES, RawRecord
from pyti.reports import Report, evaluate, render_json
from pyti.roles.collection import RECORDS
from pyti.store import Blobs

__all__ = ["Evaluated", "evaluate_result"]

TAIL_BYTES = 64 * 1024
"""Of each stdout and stderr, what is read to judge the cause of a failure."""

MAX_LOCK_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Evaluated:
    """A report, and where its JSON is kept."""

    report: Report
    reference: BlobReference


async def evaluate_result(run: JobRun, result: JobResult, blobs: Blobs) -> Evaluated:
    """Evaluate one job's result and store the report.

    Raises ``StoreError`` when the raw data is not in the blob store as the result says.
    """
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="pyti-evaluate-"))
    try:
        paths: dict[str, Path] = {}
        total = 0
        for place, (name, reference) in enumerate(result.raw.files.items()):
            total += reference.size
            if total > MAX_OUTBOX_BYTES:
                raise GuestMisbehaved(f"the raw data of {run.job} is larger than {MAX_OUTBOX_BYTES} bytes")
            if name == RECORDS or name.startswith("streams/"):
                paths[name] = folder / str(place)
                await blobs.get_file(reference, paths[name])
        lock = None
        if result.lock is not None:
            lock = (await blobs.get_bytes(result.lock, limit=MAX_LOCK_BYTES)).decode("utf-8", "replace")
        report = await asyncio.to_thread(_evaluate, run, result, paths, lock)
        reference = await blobs.put_bytes(await asyncio.to_thread(render_json, report), "application/json")
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    return Evaluated(report, reference)


def _evaluate(run: JobRun, result: JobResult, paths: Mapping[str, Path], lock: str | None) -> Report:
    if result.raw.records is not None:
        text = result.raw.records.encode()
    else:
        text = paths[RECORDS].read_bytes() if RECORDS in paths else b""
    traces = {name: _opener(path) for name, path in paths.items() if name.endswith(".strace")}
    streams = {name: _tail(path) for name, path in paths.items() if name.endswith((".stdout", ".stderr"))}
    return evaluate(run, result, _records(run, text), traces, streams, lock, now=time.time())


def _records(run: JobRun, text: bytes) -> Iterable[RawRecord]:
    """As many records as are good; what follows the first bad one is not believed."""
    decoder = RecordDecoder(job=run.job, attempt=run.attempt)
    records: list[RawRecord] = []
    with suppress(GuestMisbehaved):
        records.extend(decoder.feed(text))
    return records


def _opener(path: Path) -> Callable[[], BinaryIO]:
    return lambda: path.open("rb")


def _tail(path: Path) -> bytes:
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return stream.read(TAIL_BYTES)
