from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyti.guest.follower import CHUNK, Follower
from pyti.guest.outbox import Outboxes
from pyti.guest.sockets import serve
from pyti.rawdata.frames import MAX_FRAME_BYTES, FrameDecoder

STREAM = "streams/a/b.stdout"


@pytest.fixture
def outboxes(tmp_path: Path) -> Outboxes:
    (tmp_path / "outbox").mkdir()
    return Outboxes(tmp_path / "outbox")


@pytest.fixture
def path(outboxes: Outboxes, tmp_path: Path) -> Iterator[Path]:
    listener = serve(tmp_path / "s", Follower(outboxes))
    yield tmp_path / "s"
    listener.close()


def answer(path: Path, request: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(path))
        connection.sendall(request)
        with connection.makefile("rb") as stream:
            return stream.read()


def followed(path: Path, **request: Any) -> dict[str, bytes]:
    decoder = FrameDecoder(request.get("offsets"))
    found: dict[str, bytes] = {}
    for frame in decoder.feed(answer(path, json.dumps(request).encode() + b"\n")):
        found[frame.path] = found.get(frame.path, b"") + frame.content
    assert decoder.ended
    return found


def test_a_finished_job_is_sent_in_frames_of_the_contracts_size(outboxes: Outboxes, path: Path):
    outbox = outboxes.open("job-1", 1)
    content = bytes(range(256)) * 1000
    with outbox.stream(STREAM, 10**6) as stream:
        stream.write(content)
    outbox.finish()
    found = followed(path, job="job-1")
    assert found[STREAM] == content
    assert found["records.jsonl"].endswith(b"\n")
    assert CHUNK == MAX_FRAME_BYTES


def test_only_what_is_missing_is_sent(outboxes: Outboxes, path: Path):
    outbox = outboxes.open("job-1", 1)
    outbox.artefact("a", "x", b"0123456789")
    outbox.finish()
    size = (outbox.folder / "records.jsonl").stat().st_size
    assert followed(path, job="job-1", offsets={"artefacts/a/x": 7, "records.jsonl": size}) == {"artefacts/a/x": b"789"}


def test_a_follower_may_come_before_its_job(outboxes: Outboxes, path: Path):
    threading.Timer(0.05, lambda: outboxes.open("job-1", 1).finish()).start()
    assert b"job.finished" in followed(path, job="job-1")["records.jsonl"]


@pytest.mark.parametrize(
    "request_", [b"{}\n", b"[]\n", b"no json\n", b'{"job": 7}\n', b'{"job": "job-1", "offsets": 7}\n', b"\xff\n"]
)
def test_a_request_that_is_none_is_dropped_and_the_next_one_served(outboxes: Outboxes, path: Path, request_: bytes):
    assert answer(path, request_) == b""
    outboxes.open("job-1", 1).finish()
    assert "records.jsonl" in followed(path, job="job-1")


def test_the_socket_is_its_owners_alone(path: Path):
    assert path.stat().st_mode & 0o777 == 0o600
