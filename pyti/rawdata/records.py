"""``records.jsonl``, decoded without I/O: bytes in, checked records out."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from pyti.errors import GuestMisbehaved
from pyti.rawdata.contract import MAX_RECORD_BYTES, MAX_RECORDS, JobFinished, RawRecord, TaskFinished

__all__ = ["MAX_DEPTH", "RecordDecoder"]

MAX_DEPTH = 32
"""Of arrays and objects inside one another; no task's data comes near it."""

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
_BRACKET = re.compile(rb"[\[\]{}]")
_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")
_KNOWN = frozenset({"job.started", "task.started", "task.finished", "job.finished"})


class _Envelope(msgspec.Struct):
    type: str
    seq: int
    job: str
    attempt: int


class RecordDecoder:
    """Decodes the records of one attempt of one job.

    Lines and their number, depth and order are bounded; sequence numbers rise, identities match, a task finishes once.
    Records of unknown type are checked likewise and left out. Bytes that are no UTF-8, and NULs, become U+FFFD.
    """

    def __init__(self, job: str, attempt: int) -> None:
        self._job = job
        self._attempt = attempt
        self._buffer = bytearray()
        self._sequence = 0
        self._count = 0
        self._finished_tasks: set[str] = set()
        self._finished = False
        self._envelope = msgspec.json.Decoder(_Envelope)
        self._record: msgspec.json.Decoder[RawRecord] = msgspec.json.Decoder(RawRecord)

    @property
    def finished(self) -> bool:
        """Whether ``job.finished`` has come."""
        return self._finished

    @property
    def incomplete(self) -> bool:
        """Whether a line has begun and not ended."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> Iterator[RawRecord]:
        """Take in bytes and give out the records that they complete. Raises ``GuestMisbehaved``."""
        self._buffer += data
        while (end := self._buffer.find(b"\n")) >= 0:
            if end > MAX_RECORD_BYTES:
                break
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            if (record := self._line(line)) is not None:
                yield record
        if len(self._buffer) > MAX_RECORD_BYTES:
            raise GuestMisbehaved(f"a record is longer than {MAX_RECORD_BYTES} bytes")

    def _line(self, line: bytes) -> RawRecord | None:
        self._count += 1
        if self._finished:
            raise GuestMisbehaved("a record follows the job's last")
        if self._count > MAX_RECORDS:
            raise GuestMisbehaved(f"more than {MAX_RECORDS} records")
        line = _NUL.sub(rb"\1\\ufffd", line.decode("utf-8", "replace").encode("utf-8"))
        if _depth(line) > MAX_DEPTH:
            raise GuestMisbehaved(f"record {self._count} is nested more than {MAX_DEPTH} deep")
        try:
            envelope = self._envelope.decode(line)
            self._check(envelope)
            if envelope.type not in _KNOWN:
                return None
            record = self._record.decode(line)
        except (msgspec.DecodeError, RecursionError) as error:
            raise GuestMisbehaved(f"record {self._count} is malformed: {error}") from error
        if isinstance(record, TaskFinished):
            if record.task in self._finished_tasks:
                raise GuestMisbehaved(f"the task {record.task} finished twice")
            self._finished_tasks.add(record.task)
        self._finished = isinstance(record, JobFinished)
        return record

    def _check(self, envelope: _Envelope) -> None:
        if envelope.seq <= self._sequence:
            raise GuestMisbehaved(f"record {envelope.seq} comes after record {self._sequence}")
        self._sequence = envelope.seq
        if (envelope.job, envelope.attempt) != (self._job, self._attempt):
            raise GuestMisbehaved(
                f"a record of {envelope.job[:80]!r}, attempt {envelope.attempt}, in this job's outbox"
            )


def _depth(line: bytes) -> int:
    depth = deepest = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", line)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest
