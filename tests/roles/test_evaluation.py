"""A result becomes a report, however much of its raw data is missing, cut or lies."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pyti.errors import GuestMisbehaved, StoreError, TooLarge
from pyti.messages import BlobReference, JobResult, JobRun, RawDataSet
from pyti.rawdata.contract import JobFinished, JobStarted, Phase, StreamReference, TaskFinished, TaskStarted
from pyti.reports import decode_report
from pyti.roles.evaluation import MAX_LOCK_BYTES, Evaluated, evaluate_result
from pyti.store import Blobs

Make = Callable[..., Any]
STREAM = "streams/install/install.stderr"


@pytest.fixture(autouse=True)
def no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Whatever happens, no temporary file is left."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert list(folder.iterdir()) == []


def records(run: JobRun, outcome: str = "passed") -> list[bytes]:
    """The lines of a guest that behaves."""
    own: dict[str, Any] = {"job": run.job, "attempt": run.attempt, "at": 1700000000.0}
    stderr = StreamReference(path=STREAM, size=5)
    phase = Phase(phase="install", argv=("pip", "install"), exit_status=int(outcome != "passed"), stderr=stderr)
    found = (
        JobStarted(seq=1, tools={"python": "3.11.2"}, **own),
        TaskStarted(seq=2, task="install", **own),
        TaskFinished(seq=3, task="install", outcome=outcome, wall_s=1.0, phases=(phase,), **own),
        JobFinished(seq=4, **own),
    )
    return [msgspec.json.encode(record) + b"\n" for record in found]


@pytest.fixture
def evaluate(blobs: Blobs) -> Make:
    async def call(run: JobRun, **fields: Any) -> Evaluated:
        values = {
            "job": run.job,
            "attempt": run.attempt,
            "slave": "slave-1",
            "state": "done",
            "distribution": run.distribution,
            "finished": 1700000100.0,
        } | fields
        return await evaluate_result(run, JobResult(**values), blobs)

    return call


async def test_inline_records_become_a_report_that_is_kept(evaluate: Make, blobs: Blobs, make_job: Make) -> None:
    run = make_job(tasks=("install",))

    found = await evaluate(run, raw=RawDataSet(records=b"".join(records(run)).decode()))

    (task,) = [task for task in found.report.tasks if task.name == "install"]
    assert task.outcome == "passed"
    assert found.report.tools["python"] == "3.11.2"
    assert found.reference.media_type == "application/json"
    assert decode_report(await blobs.get_bytes(found.reference, limit=1 << 20)) == found.report


async def test_records_streams_and_lock_come_from_the_blob_store(evaluate: Make, blobs: Blobs, make_job: Make) -> None:
    run = make_job(tasks=("install",))
    complaint = b"x" * 100_000 + b"\nERROR: No matching distribution found for nothing-such\n"
    files = {
        "records.jsonl": await blobs.put_bytes(b"".join(records(run, "failed"))),
        STREAM: await blobs.put_bytes(complaint),
        "artefacts/install/pip.json": await blobs.put_bytes(b"{}"),
    }

    found = await evaluate(run, raw=RawDataSet(files=files), lock=await blobs.put_bytes(b'lock-version = "1.0"\n\xff'))

    assert [(task.name, task.outcome) for task in found.report.tasks] == [("install", "failed")]
    assert found.report.lock == 'lock-version = "1.0"\n�'
    assert found.report.exit_status == 1


async def test_what_follows_the_first_bad_record_is_not_believed(evaluate: Make, make_job: Make) -> None:
    run = make_job(tasks=("install",))
    started, begun, finished, ended = records(run)

    for bad in (b"{]\n", b"[" * 100 + b"]" * 100 + b"\n", begun, started.replace(run.job.encode(), b"another-job")):
        found = await evaluate(run, raw=RawDataSet(records=b"".join((started, begun, bad, finished, ended)).decode()))

        assert found.report.tools["python"] == "3.11.2"
        assert found.report.malice.level == "inconclusive"
        assert [task.outcome for task in found.report.tasks] != ["passed"]
        assert found.report.exit_status == 3


async def test_records_that_break_off_leave_the_job_inconclusive(evaluate: Make, make_job: Make) -> None:
    run = make_job(tasks=("install",))
    text = b"".join(records(run)).decode()

    for length in (0, 1, len(text) // 2, len(text) - 1):
        report = (await evaluate(run, raw=RawDataSet(records=text[:length]))).report

        assert report.exit_status == 3
        assert report.notes


async def test_no_raw_data_at_all_is_inconclusive(evaluate: Make, make_job: Make) -> None:
    assert (await evaluate(make_job())).report.malice.level == "inconclusive"


async def test_raw_data_that_is_not_in_the_blob_store_is_an_error_of_the_store(evaluate: Make, make_job: Make) -> None:
    gone = BlobReference(uri="blob:gone", sha256="ab" * 32, size=3)

    with pytest.raises(StoreError, match="ab" * 32):
        await evaluate(make_job(), raw=RawDataSet(files={"records.jsonl": gone}))


async def test_more_raw_data_than_a_guest_may_send_is_refused_before_it_is_fetched(
    evaluate: Make, make_job: Make
) -> None:
    huge = BlobReference(uri="blob:huge", sha256="ab" * 32, size=200 * 1024 * 1024)

    with pytest.raises(GuestMisbehaved, match="larger than"):
        await evaluate(make_job(), raw=RawDataSet(files={"artefacts/a/b": huge, "artefacts/a/c": huge}))


async def test_a_lock_that_is_too_large_is_refused(evaluate: Make, make_job: Make) -> None:
    lock = BlobReference(uri="blob:lock", sha256="ab" * 32, size=MAX_LOCK_BYTES + 1)

    with pytest.raises(TooLarge):
        await evaluate(make_job(), lock=lock)
