"""Raw data goes from the spool folder to the blob store: complete, bounded, and by its path in the outbox."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyti.messages import INLINE_LIMIT
from pyti.rawdata.contract import MAX_FILES
from pyti.roles.collection import store_raw_data
from pyti.store import Blobs


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    folder = tmp_path / "spool"
    folder.mkdir()
    return folder


def put(spool: Path, name: str, data: bytes) -> None:
    path = spool / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


async def test_streams_and_artefacts_are_kept_under_their_paths(spool: Path, blobs: Blobs) -> None:
    contents = {
        "streams/install/install.stdout": b"out",
        "streams/install/install.strace": b"trace\xff",
        "artefacts/build/x-1.0-py3-none-any.whl": bytes(range(256)) * 1000,
    }
    for name, data in contents.items():
        put(spool, name, data)

    raw = await store_raw_data(spool, blobs)

    assert raw.records is None
    assert not raw.truncated
    assert {name: await blobs.get_bytes(found, limit=1 << 20) for name, found in raw.files.items()} == contents
    assert raw.files["streams/install/install.stdout"].media_type == "text/plain"
    assert raw.files["artefacts/build/x-1.0-py3-none-any.whl"].media_type == "application/octet-stream"


async def test_records_ride_inline_up_to_the_limit(spool: Path, blobs: Blobs) -> None:
    put(spool, "records.jsonl", b"r" * INLINE_LIMIT)

    raw = await store_raw_data(spool, blobs)

    assert raw.records == "r" * INLINE_LIMIT
    assert raw.files == {}


@pytest.mark.parametrize("data", [b"r" * (INLINE_LIMIT + 1), b"\xff\xfe"], ids=["too long", "not UTF-8"])
async def test_other_records_go_to_the_blob_store(spool: Path, blobs: Blobs, data: bytes) -> None:
    put(spool, "records.jsonl", data)

    raw = await store_raw_data(spool, blobs)

    assert raw.records is None
    assert await blobs.get_bytes(raw.files["records.jsonl"], limit=1 << 20) == data


async def test_links_are_never_followed(spool: Path, blobs: Blobs, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    put(spool, "streams/install/install.stdout", b"out")
    (spool / "streams/install/install.stderr").symlink_to(tmp_path / "secret")

    assert set((await store_raw_data(spool, blobs)).files) == {"streams/install/install.stdout"}


async def test_too_many_files_are_cut_and_it_is_said(spool: Path, blobs: Blobs) -> None:
    for number in range(MAX_FILES + 1):
        put(spool, f"artefacts/build/{number:04}", b"same")

    raw = await store_raw_data(spool, blobs)

    assert raw.truncated
    assert len(raw.files) == MAX_FILES


async def test_no_spool_gives_an_empty_set(tmp_path: Path, blobs: Blobs) -> None:
    raw = await store_raw_data(tmp_path / "never", blobs)

    assert (raw.records, raw.files, raw.truncated) == (None, {}, False)
