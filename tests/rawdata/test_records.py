from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyti.errors import GuestMisbehaved
from pyti.rawdata.contract import MAX_RECORD_BYTES, MAX_RECORDS, JobFinished, JobStarted, TaskFinished
from pyti.rawdata.records import MAX_DEPTH, RecordDecoder


def line(kind: str, seq: int, **fields: Any) -> bytes:
    return json.dumps({"type": kind, "seq": seq, "at": 1.0, "job": "job-1", "attempt": 1, **fields}).encode() + b"\n"


def finished(seq: int, task: str = "import", **fields: Any) -> bytes:
    return line("task.finished", seq, task=task, outcome="passed", **fields)


def decoder() -> RecordDecoder:
    return RecordDecoder("job-1", 1)


def test_a_job_from_start_to_end():
    decode = decoder()
    stream = line("job.started", 1) + line("task.started", 2, task="import") + finished(3) + line("job.finished", 4)
    records = list(decode.feed(stream))
    assert isinstance(records[0], JobStarted)
    assert isinstance(records[2], TaskFinished)
    assert isinstance(records[3], JobFinished)
    assert decode.finished
    assert not decode.incomplete


@given(st.lists(st.integers(1, 40), min_size=1))
def test_how_the_bytes_are_cut_makes_no_difference(cuts: list[int]):
    stream = line("job.started", 1) + finished(2, data={"a": [1, {"b": "}]"}]}) + line("job.finished", 3)
    decode = decoder()
    found = []
    position = number = 0
    while position < len(stream):
        step = cuts[number % len(cuts)]
        found += decode.feed(stream[position : position + step])
        position += step
        number += 1
    assert found == list(decoder().feed(stream))


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_refused_or_wait_for_more(data: bytes):
    with contextlib.suppress(GuestMisbehaved):
        list(decoder().feed(data))


@given(st.recursive(st.none() | st.booleans() | st.integers(0, 9) | st.text(), lambda kids: st.lists(kids, max_size=3)))
def test_any_data_of_a_task_survives(value: Any):
    (record,) = decoder().feed(finished(1, data={"value": value}))
    expected = json.loads(json.dumps(value).replace("\\u0000", "\\ufffd"))
    assert isinstance(record, TaskFinished)
    if "\\\\u0000" not in json.dumps(value):
        assert record.data == {"value": expected}


def test_an_unknown_type_is_left_out_and_still_counts_in_the_order():
    decode = decoder()
    assert list(decode.feed(line("task.sang", 5, song="x"))) == []
    with pytest.raises(GuestMisbehaved, match="after record 5"):
        list(decode.feed(line("job.started", 5)))


@pytest.mark.parametrize("fields", [{"job": "job-2"}, {"attempt": 2}])
def test_a_record_of_another_job_or_attempt_is_refused(fields: dict[str, Any]):
    with pytest.raises(GuestMisbehaved, match="in this job's outbox"):
        list(decoder().feed(line("job.started", 1, **fields)))


def test_a_task_finishes_once():
    with pytest.raises(GuestMisbehaved, match="finished twice"):
        list(decoder().feed(finished(1) + finished(2)))


def test_nothing_follows_the_last_record():
    with pytest.raises(GuestMisbehaved, match="follows"):
        list(decoder().feed(line("job.finished", 1) + line("job.started", 2)))


def test_a_line_is_bounded_before_its_end_is_seen():
    with pytest.raises(GuestMisbehaved, match="longer"):
        list(decoder().feed(b"x" * (MAX_RECORD_BYTES + 1)))
    with pytest.raises(GuestMisbehaved, match="longer"):
        list(decoder().feed(b"x" * (MAX_RECORD_BYTES + 1) + b"\n"))


def test_the_number_of_records_is_bounded():
    decode = decoder()
    for seq in range(1, MAX_RECORDS + 1):
        list(decode.feed(line("unknown", seq)))
    with pytest.raises(GuestMisbehaved, match="more than"):
        list(decode.feed(line("unknown", MAX_RECORDS + 1)))


def test_depth_is_bounded_but_brackets_in_texts_do_not_count():
    (record,) = decoder().feed(finished(1, data={"a": "[" * 1000 + '"' + "{" * 1000}))
    assert isinstance(record, TaskFinished)
    deep = finished(1).replace(b'"outcome"', b'"data": {"a": ' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b'}, "outcome"')
    with pytest.raises(GuestMisbehaved, match="deep"):
        list(decoder().feed(deep))


@pytest.mark.parametrize(
    "wrong",
    [
        {"outcome": "splendid"},
        {"wall_s": -1},
        {"phases": [{"phase": "UPPER"}]},
        {"artefacts": [{"path": "../../etc/passwd", "size": 1}]},
        {"detail": "x" * 9000},
        {"phases": [{"phase": "a"}] * 17},
    ],
)
def test_fields_are_bounded(wrong: dict[str, Any]):
    record = {"type": "task.finished", "seq": 1, "at": 1, "job": "job-1", "attempt": 1, "task": "import"}
    with pytest.raises(GuestMisbehaved, match="malformed"):
        list(decoder().feed(json.dumps(record | {"outcome": "passed"} | wrong).encode() + b"\n"))


def test_nul_and_bytes_that_are_no_text_are_replaced():
    (record,) = decoder().feed(finished(1, detail="a\0b~").replace(b"~", b"\xff"))
    assert isinstance(record, TaskFinished)
    assert record.detail == "a\ufffdb\ufffd"
