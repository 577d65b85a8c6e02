from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyti.errors import GuestMisbehaved
from pyti.rawdata.contract import MAX_FILES, MAX_OUTBOX_BYTES
from pyti.rawdata.frames import MAX_FRAME_BYTES, MAX_HEADER_BYTES, Frame, FrameDecoder

END = b'{"end": true}\n'


def frame(path: str, offset: int, content: bytes) -> bytes:
    header = {"path": path, "offset": offset, "length": len(content)}
    return json.dumps(header).encode() + b"\n" + content


def test_frames_come_out_as_they_went_in():
    decoder = FrameDecoder()
    data = frame("records.jsonl", 0, b"one\n") + frame("records.jsonl", 4, b"two\n") + END
    assert list(decoder.feed(data)) == [Frame("records.jsonl", 0, b"one\n"), Frame("records.jsonl", 4, b"two\n")]
    assert decoder.ended
    assert decoder.received == {"records.jsonl": 8}


@given(
    st.lists(st.tuples(st.sampled_from(["records.jsonl", "streams/a/b.stdout"]), st.binary(min_size=1, max_size=99))),
    st.lists(st.integers(1, 50), min_size=1),
)
def test_how_the_bytes_are_cut_makes_no_difference(pieces: list[tuple[str, bytes]], cuts: list[int]):
    sizes: dict[str, int] = {}
    stream = b""
    for path, content in pieces:
        stream += frame(path, sizes.get(path, 0), content)
        sizes[path] = sizes.get(path, 0) + len(content)
    stream += END
    decoder = FrameDecoder()
    found: list[Frame] = []
    position = number = 0
    while position < len(stream):
        step = cuts[number % len(cuts)]
        found += decoder.feed(stream[position : position + step])
        position += step
        number += 1
    assert [(one.path, one.content) for one in found] == pieces
    assert decoder.received == sizes
    assert decoder.ended


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused_or_wait_for_more(data: bytes):
    decoder = FrameDecoder()
    with contextlib.suppress(GuestMisbehaved):
        list(decoder.feed(data))


def test_a_later_connection_goes_on_where_the_earlier_one_stopped():
    decoder = FrameDecoder({"records.jsonl": 10})
    assert list(decoder.feed(frame("records.jsonl", 10, b"x"))) == [Frame("records.jsonl", 10, b"x")]
    with pytest.raises(GuestMisbehaved, match="instead of 11"):
        list(decoder.feed(frame("records.jsonl", 0, b"x")))


@pytest.mark.parametrize(
    "path",
    [
        "../records.jsonl",
        "/etc/passwd",
        "streams/a/../b.stdout",
        "records.jsonl\n",
        "streams/a/b.sh",
        "",
        "artefacts/a/.x",
    ],
)
def test_no_other_path_passes(path: str):
    with pytest.raises(GuestMisbehaved, match="no outbox may hold"):
        list(FrameDecoder().feed(frame(path, 0, b"x")))


@pytest.mark.parametrize("length", [-1, 0, MAX_FRAME_BYTES + 1, 2**70])
def test_lengths_are_bounded(length: int):
    header = json.dumps({"path": "records.jsonl", "offset": 0, "length": length}).encode() + b"\n"
    with pytest.raises(GuestMisbehaved):
        list(FrameDecoder().feed(header))


def test_an_endless_header_is_refused():
    with pytest.raises(GuestMisbehaved, match="header is longer"):
        list(FrameDecoder().feed(b"x" * (MAX_HEADER_BYTES + 1)))


@pytest.mark.parametrize("line", [b"[]", b"{", b'{"path": 1}', b"[" * 900, b"\xff\xfe", b"null"])
def test_a_malformed_header_is_refused(line: bytes):
    with pytest.raises(GuestMisbehaved):
        list(FrameDecoder().feed(line + b"\n"))


def test_the_number_of_files_is_bounded():
    decoder = FrameDecoder({f"artefacts/a/{number}": 1 for number in range(MAX_FILES)})
    list(decoder.feed(frame("artefacts/a/0", 1, b"x")))
    with pytest.raises(GuestMisbehaved, match="more than 500 files"):
        list(decoder.feed(frame("artefacts/a/more", 0, b"x")))


def test_the_total_is_bounded_over_all_connections():
    decoder = FrameDecoder({"streams/a/b.stdout": MAX_OUTBOX_BYTES - 1})
    list(decoder.feed(frame("records.jsonl", 0, b"x")))
    with pytest.raises(GuestMisbehaved, match="bytes"):
        list(decoder.feed(frame("records.jsonl", 1, b"x")))


@pytest.mark.parametrize("more", [b"x", END])
def test_nothing_may_follow_the_end(more: bytes):
    with pytest.raises(GuestMisbehaved, match="went on"):
        list(FrameDecoder().feed(END + more))
    decoder = FrameDecoder()
    list(decoder.feed(END))
    with pytest.raises(GuestMisbehaved, match="went on"):
        list(decoder.feed(more))
