from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyti.guest import outbox as outbox_module
from pyti.guest.outbox import Outbox, Outboxes
from pyti.rawdata.contract import MAX_OUTBOX_BYTES, StreamReference
from pyti.rawdata.records import RecordDecoder


@pytest.fixture
def outboxes(tmp_path: Path) -> Iterator[Outboxes]:
    found = Outboxes(tmp_path)
    yield found
    for outbox in found._jobs.values():
        outbox._records.close()


def records_of(outbox: Outbox) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (outbox.folder / "records.jsonl").read_text().splitlines()]


def test_records_are_numbered_and_identified(outboxes: Outboxes):
    outbox = outboxes.open("job-1", 3)
    outbox.record("job.started", tools={"python": "3.11"})
    outbox.finish()
    first, last = records_of(outbox)
    assert (first["seq"], first["job"], first["attempt"], first["tools"]) == (1, "job-1", 3, {"python": "3.11"})
    assert (last["seq"], last["type"]) == (2, "job.finished")


@given(st.text(), st.dictionaries(st.text(), st.text()))
def test_whatever_a_record_says_the_contract_can_read_it(
    tmp_path_factory: pytest.TempPathFactory, detail: str, data: dict[str, str]
):
    outbox = Outboxes(tmp_path_factory.mktemp("outbox")).open("job-1", 1)
    outbox.record("task.finished", task="import", outcome="passed", detail=detail, data=data)
    outbox.finish()
    decoder = RecordDecoder("job-1", 1)
    assert len(list(decoder.feed((outbox.folder / "records.jsonl").read_bytes()))) == 2
    assert decoder.finished


def test_names_that_are_no_text_leave_as_question_marks(outboxes: Outboxes):
    outbox = outboxes.open("job-1", 1)
    outbox.record("task.finished", data={"left": ["\udcff.py"]})
    assert records_of(outbox)[0]["data"] == {"left": ["?.py"]}


def test_data_that_is_too_large_is_replaced(outboxes: Outboxes):
    outbox = outboxes.open("job-1", 1)
    outbox.record("task.finished", detail="d" * 9999, data={"x": "y" * 800_000})
    (record,) = records_of(outbox)
    assert record["data"] == {"too_large": True}
    assert len(record["detail"]) == outbox_module.MAX_DETAIL


def test_a_stream_keeps_what_fits_and_counts_the_rest(outboxes: Outboxes):
    outbox = outboxes.open("job-1", 1)
    with outbox.stream("streams/a/b.stdout", 5) as stream:
        stream.write(b"abc")
        stream.write(b"defg")
        stream.write(b"h")
    reference = StreamReference(**stream.reference())
    assert (reference.size, reference.total, reference.truncated) == (5, 8, True)
    assert reference.sha256 == hashlib.sha256(b"abcde").hexdigest()
    assert (outbox.folder / reference.path).read_bytes() == b"abcde"


def test_all_streams_together_stay_below_the_contracts_bound(outboxes: Outboxes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(outbox_module, "MAX_OUTBOX_BYTES", outbox_module.RECORDS_RESERVE + 10)
    outbox = outboxes.open("job-1", 1)
    with outbox.stream("streams/a/b.stdout", 100) as one, outbox.stream("streams/a/b.stderr", 100) as two:
        one.write(b"1234567")
        two.write(b"1234567")
    assert (one.size, two.size, two.total) == (7, 3, 7)
    assert outbox_module.MAX_DATA_BYTES < outbox_module.RECORDS_RESERVE < MAX_OUTBOX_BYTES


def test_files_are_bounded_in_number(outboxes: Outboxes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(outbox_module, "MAX_FILES", 2)
    outbox = outboxes.open("job-1", 1)
    outbox.artefact("a", "one", b"1")
    reference = outbox.artefact("a", "two", b"22")
    assert (reference["size"], reference["total"], reference["truncated"]) == (0, 2, True)
    assert not (outbox.folder / "artefacts/a/two").exists()


def test_a_job_has_one_outbox_only(outboxes: Outboxes):
    outboxes.open("job-1", 1)
    with pytest.raises(FileExistsError):
        outboxes.open("job-1", 2)


def test_an_outbox_is_waited_for(outboxes: Outboxes):
    assert outboxes.find("job-1", 0.0) is None
    threading.Timer(0.05, outboxes.open, ("job-1", 1)).start()
    found = outboxes.find("job-1", 30.0)
    assert found is not None
    assert found.job == "job-1"


def test_records_come_last_in_a_snapshot(outboxes: Outboxes):
    outbox = outboxes.open("job-1", 1)
    outbox.artefact("a", "one", b"1")
    outbox.finish()
    sizes, finished = outbox.snapshot()
    assert list(sizes)[-1] == "records.jsonl"
    assert sizes["artefacts/a/one"] == 1
    assert finished


def test_a_wait_ends_with_what_came_or_with_its_time(outboxes: Outboxes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(outbox_module, "GATHER_S", 30.0)
    outbox = outboxes.open("job-1", 1)
    sizes, _ = outbox.snapshot()
    outbox.wait_beyond(sizes, 0.01)
    outbox.artefact("a", "one", b"1")
    threading.Timer(0.05, outbox.record, ("task.started",)).start()
    outbox.wait_beyond(sizes, 30.0)  # the record ends the gathering, too
    assert outbox.snapshot()[0]["records.jsonl"] > 0
