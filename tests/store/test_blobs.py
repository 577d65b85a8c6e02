"""Blobs are what their hash says or an error that names them, on a folder and on other storage alike."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyti.errors import ConfigError, OutOfSpace, StoreError, TooLarge
from pyti.messages import BlobReference
from pyti.store import Blobs
from pyti.store.blobs import CHUNK

BIG = bytes(range(256)) * 4096 * 7 + b"tail"
"""More than one upload part of 5 MiB."""


def lies_at(folder: Path, reference: BlobReference) -> Path:
    return folder / "sha256" / reference.sha256[:2] / reference.sha256


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture(params=["folder", "file-url", "memory"])
async def any_blobs(request, tmp_path: Path):
    url = {"folder": str(tmp_path / "b"), "file-url": f"file://{tmp_path}/b", "memory": "memory:///"}[request.param]
    async with Blobs.open(url) as opened:
        yield opened


@pytest.mark.parametrize("data", [b"", b"x", BIG], ids=["empty", "small", "big"])
async def test_bytes_and_files_come_back_whole(any_blobs: Blobs, tmp_path: Path, data: bytes) -> None:
    source = tmp_path / "source"
    source.write_bytes(data)
    reference = await any_blobs.put_bytes(data, "text/plain")
    assert await any_blobs.put_file(source, "text/plain") == reference
    assert (reference.sha256, reference.size) == (hashlib.sha256(data).hexdigest(), len(data))
    assert reference.media_type == "text/plain"
    assert await any_blobs.get_bytes(reference, limit=len(data)) == data
    assert b"".join([chunk async for chunk in any_blobs.stream(reference)]) == data
    await any_blobs.get_file(reference, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == data


async def test_a_big_file_is_streamed_in_parts(blobs: Blobs, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(BIG)
    reference = await blobs.put_file(tmp_path / "big")
    chunks = [chunk async for chunk in blobs.stream(reference)]
    assert b"".join(chunks) == BIG
    assert len(chunks) > 1
    assert max(map(len, chunks)) <= 6 * CHUNK


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=4096))
async def test_equal_bytes_have_equal_references_and_lie_once(tmp_path: Path, data: bytes) -> None:
    folder = tmp_path / hashlib.sha256(data).hexdigest()
    async with Blobs.open(str(folder)) as blobs:
        assert await blobs.put_bytes(data) == await blobs.put_bytes(data)
    assert [path.read_bytes() for path in files_below(folder)] == [data]


async def test_a_blob_that_is_kept_already_is_not_written_again(blobs: Blobs, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"same")
    reference = await blobs.put_bytes(b"same")
    path = lies_at(tmp_path / "blobs", reference)
    before = path.stat()
    await blobs.put_file(tmp_path / "file")
    await blobs.put_bytes(b"same")
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


async def test_many_writers_of_one_blob_do_not_collide(blobs: Blobs, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(BIG)
    references = await asyncio.gather(*(blobs.put_file(tmp_path / "big") for _ in range(6)))
    assert len(set(references)) == 1
    assert files_below(tmp_path / "blobs") == [lies_at(tmp_path / "blobs", references[0])]
    assert await blobs.get_bytes(references[0], limit=len(BIG)) == BIG


async def test_existence_and_removal(any_blobs: Blobs) -> None:
    reference = await any_blobs.put_bytes(b"here")
    assert await any_blobs.exists(reference)
    assert not await any_blobs.exists(msgspec.structs.replace(reference, size=5))
    await any_blobs.delete(reference.sha256)
    await any_blobs.delete(reference.sha256)
    assert not await any_blobs.exists(reference)
    with pytest.raises(StoreError, match=f"{reference.sha256} is not in") as caught:
        await any_blobs.get_bytes(reference, limit=10)
    assert "same [store] blobs" in caught.value.remedy


@pytest.mark.parametrize(
    ("damage", "says"), [(b"hers", "its hash is"), (b"her", "3 bytes instead of 4"), (b"here!", "5 bytes instead of 4")]
)
async def test_a_damaged_blob_is_named_and_never_handed_over(
    blobs: Blobs, tmp_path: Path, damage: bytes, says: str
) -> None:
    reference = await blobs.put_bytes(b"here")
    lies_at(tmp_path / "blobs", reference).write_bytes(damage)
    for read in (blobs.get_bytes(reference, limit=100), blobs.get_file(reference, tmp_path / "copy")):
        with pytest.raises(StoreError, match=f"blob {reference.sha256} .* damaged: .*{says}"):
            await read
    assert [path.name for path in tmp_path.iterdir()] == ["blobs"]


async def test_a_damaged_blob_of_the_wrong_size_is_mended_by_storing_it_again(blobs: Blobs, tmp_path: Path) -> None:
    reference = await blobs.put_bytes(b"here")
    lies_at(tmp_path / "blobs", reference).write_bytes(b"")
    await blobs.put_bytes(b"here")
    assert await blobs.get_bytes(reference, limit=4) == b"here"


async def test_a_limit_is_kept_before_anything_is_read(blobs: Blobs) -> None:
    reference = await blobs.put_bytes(b"four")
    with pytest.raises(TooLarge, match="4 bytes, and 3 are the limit"):
        await blobs.get_bytes(reference, limit=3)


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n", "sha256/" + "a" * 57])
async def test_a_hostile_digest_finds_nothing(blobs: Blobs, tmp_path: Path, digest: str) -> None:
    reference = BlobReference(uri="file:///etc/passwd", sha256=digest, size=1)
    for attempt in (blobs.get_bytes(reference, limit=10), blobs.exists(reference), blobs.delete(digest)):
        with pytest.raises(StoreError, match="is no SHA-256"):
            await attempt


async def test_what_a_uri_says_is_not_used(blobs: Blobs) -> None:
    reference = await blobs.put_bytes(b"mine")
    lying = msgspec.structs.replace(reference, uri="file:///etc/passwd")
    assert await blobs.get_bytes(lying, limit=10) == b"mine"


async def test_a_file_that_changes_while_it_is_stored_leaves_nothing_behind(
    blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "growing"
    source.write_bytes(b"before")
    has = blobs._has

    async def changes_between_the_readings(digest: str, size: int) -> bool:
        source.write_bytes(b"after!")
        return await has(digest, size)

    monkeypatch.setattr(blobs, "_has", changes_between_the_readings)
    with pytest.raises(StoreError, match="growing changed while it was stored"):
        await blobs.put_file(source)
    assert files_below(tmp_path / "blobs") == []


async def test_a_file_that_cannot_be_read_is_named(blobs: Blobs, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot read .*absent: No such file"):
        await blobs.put_file(tmp_path / "absent")
    with pytest.raises(StoreError, match=r"cannot read .*blobs: Is a directory"):
        await blobs.put_file(tmp_path / "blobs")


async def test_a_cancelled_upload_leaves_no_blob(blobs: Blobs, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(BIG)
    for turns in (1, 5, 20, 60):
        task = asyncio.create_task(blobs.put_file(tmp_path / "big"))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    reference = await blobs.put_file(tmp_path / "big")
    assert await blobs.get_bytes(reference, limit=len(BIG)) == BIG


@pytest.mark.parametrize("url", ["nonsense://x", "s3://"])
async def test_a_url_that_no_storage_has_is_a_setting_to_mend(url: str) -> None:
    with pytest.raises(ConfigError, match="cannot be used") as caught:
        async with Blobs.open(url):
            pass
    assert "[store] blobs" in caught.value.remedy


@pytest.fixture
def tiny_disk(tmp_path: Path):
    """A disk of 1 MiB; mounting one needs root, as the machine tests do anyway."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a tiny disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


async def test_a_full_disk_is_told_as_such_and_leaves_nothing(tiny_disk: Path, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(BIG)
    async with Blobs.open(str(tiny_disk / "blobs")) as blobs:
        small = await blobs.put_bytes(b"fits")
        with pytest.raises(OutOfSpace, match="no space left") as caught:
            await blobs.put_file(tmp_path / "big")
        assert "Free space" in caught.value.remedy
        with pytest.raises(OutOfSpace):
            await blobs.put_bytes(BIG)
        assert await blobs.get_bytes(small, limit=10) == b"fits"
        assert files_below(tiny_disk) == [lies_at(tiny_disk / "blobs", small)]


async def test_a_copy_that_does_not_fit_is_told_and_removed(tiny_disk: Path, blobs: Blobs) -> None:
    reference = await blobs.put_bytes(BIG)
    with pytest.raises(OutOfSpace, match="no space left"):
        await blobs.get_file(reference, tiny_disk / "copy")
    assert files_below(tiny_disk) == []
