"""Following an outbox through a real SSH connection: with the guest's own follower, and with hostile ones."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from pyti.errors import GuestMisbehaved, GuestUnreachable, TimeLimitExceeded
from pyti.guest.follower import Follower
from pyti.guest.outbox import Outbox, Outboxes
from pyti.guest.sockets import serve
from pyti.rawdata import GuestSession, JobFinished, RawRecord, TaskFinished, follow
from pyti.rawdata.contract import MAX_RECORD_BYTES
from pyti.rawdata.frames import MAX_FRAME_BYTES, MAX_HEADER_BYTES

from .conftest import Guest

OUTBOX = "/run/pyti/outbox.sock"
END = b'{"end":true}\n'
STREAM = "streams/import/modules.stdout"


def line(kind: str, seq: int, **fields: Any) -> bytes:
    return json.dumps({"type": kind, "seq": seq, "at": 1.0, "job": "job-1", "attempt": 1, **fields}).encode() + b"\n"


def frame(path: str, offset: int, content: bytes, **fields: Any) -> bytes:
    header = {"path": path, "offset": offset, "length": len(content), **fields}
    return json.dumps(header).encode() + b"\n" + content


def records(*lines: bytes, offset: int = 0) -> bytes:
    return frame("records.jsonl", offset, b"".join(lines))


STARTED = line("job.started", 1)
FINISHED = line("job.finished", 9)
DONE = line("task.finished", 2, task="import", outcome="passed")


@pytest.fixture
def outboxes(guest: Guest, tmp_path: Path) -> Iterator[Outboxes]:
    """The guest's own outboxes, served at its own socket."""
    (tmp_path / "outbox").mkdir()
    found = Outboxes(tmp_path / "outbox")
    listener = serve(guest.folder / "outbox.sock", Follower(found))
    guest.sockets[OUTBOX] = guest.folder / "outbox.sock"
    yield found
    listener.close()


def scripted(guest: Guest, *connections: bytes, held: asyncio.Event | None = None) -> list[dict[str, Any]]:
    """Answer one connection after the other with these bytes; returns what was asked, as it comes."""
    asked: list[dict[str, Any]] = []

    async def talk(reader: Any, writer: Any) -> None:
        asked.append(json.loads(await reader.readline()))
        if len(asked) <= len(connections):
            writer.write(connections[len(asked) - 1])
            await writer.drain()
        if held is not None:
            await held.wait()

    guest.sockets[OUTBOX] = talk
    return asked


async def every(stream: AsyncIterator[RawRecord]) -> list[RawRecord]:
    return [record async for record in stream]


def produce(outbox: Outbox, content: bytes) -> None:
    outbox.record("job.started", tools={})
    with outbox.stream(STREAM, len(content)) as stream:
        for start in range(0, len(content), 50_000):
            stream.write(content[start : start + 50_000])
    phase = {"phase": "modules", "stdout": stream.reference()}
    outbox.record("task.finished", task="import", outcome="passed", phases=[phase])
    outbox.finish()


async def test_what_the_agent_writes_arrives(outboxes: Outboxes, connected: GuestSession, tmp_path: Path):
    content = bytes(range(256)) * 2000
    following = asyncio.create_task(every(connected.follow("job-1", tmp_path / "spool", timeout_s=20)))
    await asyncio.to_thread(produce, outboxes.open("job-1", 1), content)
    found = await following
    assert [type(record).__name__ for record in found] == ["JobStarted", "TaskFinished", "JobFinished"]
    assert (tmp_path / "spool" / STREAM).read_bytes() == content
    assert (tmp_path / "spool/records.jsonl").read_bytes().count(b"\n") == 3


async def test_a_record_comes_only_after_the_bytes_it_refers_to(
    outboxes: Outboxes, connected: GuestSession, tmp_path: Path
):
    content = bytes(400_000)
    writing = threading.Thread(target=produce, args=(outboxes.open("job-1", 1), content))
    writing.start()
    async for record in connected.follow("job-1", tmp_path, timeout_s=20):
        if isinstance(record, TaskFinished):
            reference = record.phases[0].stdout
            assert reference is not None
            assert (tmp_path / reference.path).stat().st_size == reference.size == 400_000
    writing.join()


async def test_records_are_told_while_the_job_still_runs(outboxes: Outboxes, connected: GuestSession, tmp_path: Path):
    outbox = outboxes.open("job-1", 1)
    stream = connected.follow("job-1", tmp_path, timeout_s=20)
    outbox.record("job.started", tools={})
    assert type(await anext(stream)).__name__ == "JobStarted"
    outbox.record("task.started", task="import")
    assert type(await anext(stream)).__name__ == "TaskStarted"
    outbox.finish()
    assert isinstance(await anext(stream), JobFinished)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_a_connection_that_breaks_is_made_anew_and_nothing_is_lost_or_doubled(
    guest: Guest, outboxes: Outboxes, connected: GuestSession, tmp_path: Path
):
    outbox = outboxes.open("job-1", 1)
    found = []
    outbox.record("job.started", tools={})
    with outbox.stream(STREAM, 10**6) as stream:
        async for record in connected.follow("job-1", tmp_path, timeout_s=20):
            found.append(record)
            if len(found) < 4:
                stream.write(b"%d" % len(found) * 100_000)
                guest.break_connections()
                outbox.record("task.started", task="import")
            elif len(found) == 4:
                outbox.finish()
    assert [record.seq for record in found] == [1, 2, 3, 4, 5]
    assert (tmp_path / STREAM).read_bytes() == b"1" * 100_000 + b"2" * 100_000 + b"3" * 100_000


async def test_a_new_connection_asks_for_what_is_missing(guest: Guest, connected: GuestSession, tmp_path: Path):
    first = records(STARTED) + frame(STREAM, 0, b"abc") + frame(STREAM, 3, b"lost")[:-2]
    second = frame(STREAM, 3, b"lost") + records(FINISHED, offset=len(STARTED)) + END
    asked = scripted(guest, first, second)
    assert len(await every(connected.follow("job-1", tmp_path, timeout_s=20))) == 2
    assert asked == [
        {"job": "job-1", "offsets": {}},
        {"job": "job-1", "offsets": {"records.jsonl": len(STARTED), STREAM: 3}},
    ]
    assert (tmp_path / STREAM).read_bytes() == b"abclost"


HOSTILE = {
    "a path that climbs": (frame("../../etc/passwd", 0, b"x"), "no outbox may hold"),
    "an absolute path": (frame("/etc/passwd", 0, b"x"), "no outbox may hold"),
    "a path with a NUL": (frame("streams/a/b.stdout\0", 0, b"x"), "no outbox may hold"),
    "a stream of an unknown kind": (frame("streams/a/b.html", 0, b"x"), "no outbox may hold"),
    "a gap": (frame(STREAM, 0, b"abc") + frame(STREAM, 4, b"x"), "goes on at byte 4 instead of 3"),
    "an overlap": (frame(STREAM, 0, b"abc") + frame(STREAM, 2, b"x"), "goes on at byte 2 instead of 3"),
    "a frame that is too large": (frame(STREAM, 0, b"", length=MAX_FRAME_BYTES + 1), "a frame of 65537 bytes"),
    "a frame of nothing": (frame(STREAM, 0, b""), "a frame of 0 bytes"),
    "a negative length": (frame(STREAM, 0, b"", length=-5), "a frame of -5 bytes"),
    "a length that is none": (frame(STREAM, 0, b"", length="9"), "malformed"),
    "a header that never ends": (b"{" * (MAX_HEADER_BYTES + 1), "longer than 1024 bytes"),
    "a header that is no JSON": (b"\xff\xfe\n", "malformed"),
    "bytes after the end": (records(STARTED, FINISHED) + END + b"x", "went on after"),
    "an end without the last record": (records(STARTED) + END, "its last record is missing"),
    "an end inside a record": (records(STARTED, FINISHED + b"{") + END, "missing|follows"),
    "a record of another job": (records(line("job.started", 1, job="job-2")), "a record of 'job-2'"),
    "a record of another attempt": (records(line("job.started", 1, attempt=2)), "attempt 2"),
    "two ends of a task": (records(DONE, DONE.replace(b'"seq": 2', b'"seq": 3')), "finished twice"),
    "two ends of the job": (records(FINISHED, FINISHED), "follows the job's last"),
    "a record that is too long": (
        b"".join(frame("records.jsonl", n * 65536, b"x" * 65536) for n in range(MAX_RECORD_BYTES // 65536 + 1)),
        "longer than 1048576 bytes",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
async def test_a_hostile_outbox_ends_the_job_at_once(guest: Guest, connected: GuestSession, tmp_path: Path, kind: str):
    data, said = HOSTILE[kind]
    held = asyncio.Event()
    asked = scripted(guest, data, held=held)
    with pytest.raises(GuestMisbehaved, match=said):
        await every(connected.follow("job-1", tmp_path / "spool", timeout_s=20))
    held.set()
    assert len(asked) == 1
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} <= {"records.jsonl", "modules.stdout"}


async def test_an_outbox_without_end_is_cut_at_its_bound(
    guest: Guest, connected: GuestSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("pyti.rawdata.frames.MAX_OUTBOX_BYTES", 1_000_000)

    async def endless(reader: Any, writer: Any) -> None:
        await reader.readline()
        offset = 0
        while True:
            writer.write(frame(STREAM, offset, bytes(MAX_FRAME_BYTES)))
            await writer.drain()
            offset += MAX_FRAME_BYTES

    guest.sockets[OUTBOX] = endless
    with pytest.raises(GuestMisbehaved, match="more than 1000000 bytes"):
        await every(connected.follow("job-1", tmp_path, timeout_s=20))
    assert (tmp_path / STREAM).stat().st_size <= 1_000_000


async def test_a_guest_that_stalls_in_the_middle_is_given_up_in_time(
    guest: Guest, connected: GuestSession, tmp_path: Path
):
    held = asyncio.Event()
    scripted(guest, records(STARTED) + frame(STREAM, 0, b"abc")[:-1], held=held)
    stream = connected.follow("job-1", tmp_path, timeout_s=0.3)
    assert type(await anext(stream)).__name__ == "JobStarted"
    with pytest.raises(TimeLimitExceeded, match="did not finish in time"):
        await anext(stream)
    held.set()


async def test_a_guest_that_breaks_off_again_and_again_is_given_up(
    guest: Guest, connected: GuestSession, tmp_path: Path
):
    asked = scripted(guest, records(STARTED))
    with pytest.raises(GuestUnreachable, match="without sending anything"):
        await every(connected.follow("job-1", tmp_path, timeout_s=20))
    assert len(asked) == 1 + 1 + follow.RECONNECTS


async def test_an_agent_that_is_not_there_is_given_up(connected: GuestSession, tmp_path: Path):
    with pytest.raises(GuestUnreachable, match="cannot be reached"):
        await every(connected.follow("job-1", tmp_path, timeout_s=20))


async def test_a_machine_that_is_gone_for_good_is_given_up(
    guest: Guest, connected: GuestSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(follow, "OPEN_S", 0.1)
    held = asyncio.Event()
    scripted(guest, records(STARTED), held=held)
    stream = connected.follow("job-1", tmp_path, timeout_s=20)
    await anext(stream)
    held.set()
    await guest.stop()
    with pytest.raises(GuestUnreachable, match="did not answer"):
        await anext(stream)


async def test_a_follower_that_stops_early_leaves_the_session_usable(
    guest: Guest, outboxes: Outboxes, connected: GuestSession, tmp_path: Path
):
    outbox = outboxes.open("job-1", 1)
    outbox.record("job.started", tools={})
    stream = connected.follow("job-1", tmp_path, timeout_s=20)
    await anext(stream)
    await stream.aclose()
    assert (await connected.run(["echo", "on"])).stdout == b"on\n"
    outbox.finish()
