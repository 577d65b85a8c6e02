import asyncio
import errno
import hashlib
import json
import subprocess
import sys
import textwrap

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import pyti.index.downloads as module
from pyti.errors import (
    HashMismatch,
    IndexLied,
    IndexUnavailable,
    NoSuchDistribution,
    OutOfSpace,
    TimeLimitExceeded,
    TooLarge,
    TruncatedDownload,
)
from pyti.index import digest_of

NAME = "demo-1.0.tar.gz"
BODY = bytes(range(256)) * 2000
SIZE = len(BODY)
DIGEST = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def url(index):
    index.add(NAME, BODY)
    return index.url.replace("/simple/", f"/files/{NAME}")


@pytest.fixture
async def downloads(connect):
    async with connect() as (_, downloads):
        yield downloads


def get(downloads, url, sha256=DIGEST, size=SIZE, **more):
    return downloads.fetch(url, sha256, size, NAME, **more)


async def test_a_file_is_fetched_once_and_found_again(index, downloads, url):
    told = []
    path = await get(downloads, url, progress=lambda *what: told.append(what))
    assert path.read_bytes() == BODY
    assert digest_of(path) == DIGEST
    assert told[-1] == (NAME, len(BODY), len(BODY))
    assert await get(downloads, url) == path
    assert index.seen[NAME] == 1
    assert not list((downloads.cache.root / "partial").iterdir())


async def test_many_wants_of_one_file_are_one_download(index, downloads, url):
    paths = await asyncio.gather(*(get(downloads, url) for _ in range(8)))
    assert len(set(paths)) == 1
    assert index.seen[NAME] == 1


async def test_two_processes_download_a_file_once(index, downloads, url, tmp_path, connect):
    program = textwrap.dedent("""
        import asyncio, sys
        from pathlib import Path
        from pyti.config import IndexSettings
        from pyti.index import Downloads, IndexClient
        async def main(index, cache, url, sha256, size, name):
            settings = IndexSettings(url=index)
            async with IndexClient(settings) as client:
                print(await Downloads(client, Path(cache), settings).fetch(url, sha256, int(size), name))
        asyncio.run(main(*sys.argv[1:]))
    """)
    arguments = [index.url, str(tmp_path / "shared"), url, DIGEST, str(len(BODY)), NAME]
    both = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", program, *arguments, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    answers = [await asyncio.wait_for(process.communicate(), 60) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert answers[0] == answers[1]
    assert index.seen[NAME] == 1


async def test_a_broken_download_is_resumed(index, downloads, url):
    index.fault(NAME, "truncate", times=1)
    path = await get(downloads, url)
    assert path.read_bytes() == BODY
    assert "Range" in index.headers[-1]
    assert "If-Range" in index.headers[-1]
    assert downloads.bytes_received < len(BODY) * 1.1


async def test_a_lasting_break_keeps_the_part_for_the_next_time(index, downloads, url):
    index.fault(NAME, "truncate")
    with pytest.raises(TruncatedDownload):
        await get(downloads, url)
    partial = downloads.cache.partial(DIGEST)
    assert 0 < partial.stat().st_size < len(BODY)
    index.faults.clear()
    assert (await get(downloads, url)).read_bytes() == BODY


@pytest.mark.parametrize("left", [b"", b"x", b"wrong" * 1000, BODY[:777], BODY, BODY + b"more"])
async def test_whatever_an_earlier_attempt_left_the_result_is_right(downloads, url, left):
    partial = downloads.cache.partial(DIGEST)
    partial.parent.mkdir(parents=True)
    partial.write_bytes(left)
    assert (await get(downloads, url)).read_bytes() == BODY


@given(cut=st.integers(0, len(BODY) + 10), flip=st.booleans())
@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_resuming_from_any_point_sound_or_damaged_gives_the_right_bytes(downloads, url, cut, flip):
    part = bytearray((BODY + b"0123456789")[:cut])
    if flip and part:
        part[-1] ^= 1
    downloads.cache.path(DIGEST, NAME).unlink(missing_ok=True)
    partial = downloads.cache.partial(DIGEST)
    partial.parent.mkdir(parents=True, exist_ok=True)
    partial.write_bytes(part)
    assert (await get(downloads, url)).read_bytes() == BODY


async def test_a_file_that_changed_since_the_part_is_fetched_anew(index, downloads, url):
    partial = downloads.cache.partial(DIGEST)
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"old" * 100)
    partial.with_suffix(".json").write_text(json.dumps({"validator": '"old"'}))
    assert (await get(downloads, url)).read_bytes() == BODY
    assert index.seen[NAME] == 1


async def test_wrong_bytes_are_never_put_in_place(index, downloads, url):
    index.fault(NAME, "wrong-bytes")
    with pytest.raises(HashMismatch, match="sha256"):
        await get(downloads, url)
    assert index.seen[NAME] == 1
    assert not list(downloads.cache.root.glob("files/*/*/*"))
    assert not list(downloads.cache.root.glob("partial/*"))


@pytest.mark.parametrize(("size", "kind"), [(len(BODY) - 1, None), (len(BODY) + 1, None), (len(BODY), "other-size")])
async def test_a_size_that_is_not_the_announced_one_is_a_lie(index, downloads, url, size, kind):
    if kind:
        index.fault(NAME, kind)
    with pytest.raises(IndexLied):
        await get(downloads, url, size=size)


async def test_too_large_files_are_not_begun(index, connect, url):
    async with connect(max_file_bytes=1000) as (_, downloads):
        with pytest.raises(TooLarge):
            await get(downloads, url)
        assert not index.seen[NAME]
        with pytest.raises(TooLarge):
            await get(downloads, url, size=None)


async def test_an_endless_body_is_cut_off(index, connect, url):
    index.fault(NAME, "endless")
    async with connect(max_file_bytes=1_000_000) as (_, downloads):
        with pytest.raises(TooLarge):
            await get(downloads, url, size=None)
        with pytest.raises(IndexLied, match="goes on"):
            await get(downloads, url)


async def test_a_file_without_an_announced_hash_is_kept_under_its_own(downloads, url):
    path = await get(downloads, url, sha256=None, size=None)
    assert digest_of(path) == DIGEST


@pytest.mark.parametrize(
    ("kind", "error"), [("404", NoSuchDistribution), ("500", IndexUnavailable), ("loop", IndexLied)]
)
async def test_trouble_is_named(index, downloads, url, kind, error):
    index.fault(NAME, kind)
    with pytest.raises(error):
        await get(downloads, url)


async def test_a_full_disk_is_told_and_leaves_nothing(downloads, url, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "_write", full)
    with pytest.raises(OutOfSpace, match=NAME):
        await get(downloads, url)
    assert not list(downloads.cache.root.glob("partial/*"))


async def test_a_file_that_cannot_fit_is_not_begun(index, connect, url):
    async with connect(max_file_bytes=1 << 62) as (_, downloads):
        with pytest.raises(OutOfSpace):
            await get(downloads, url, size=1 << 61)
    assert not index.seen[NAME]


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "x" * 300])
async def test_unsafe_file_names_are_refused(downloads, url, name):
    with pytest.raises(IndexLied):
        await downloads.fetch(url, DIGEST, None, name)


async def test_damage_in_the_cache_is_found_on_request_and_by_size(index, downloads, url):
    path = await get(downloads, url)
    assert await downloads.verify(path)
    path.chmod(0o644)
    path.write_bytes(BODY[:-1])
    assert await get(downloads, url) == path
    assert path.read_bytes() == BODY
    path.chmod(0o644)
    path.write_bytes(bytes(len(BODY)))
    assert not await downloads.verify(path)
    assert not path.exists()


async def test_pruning_removes_what_was_unused_for_longest(downloads, url):
    path = await get(downloads, url)
    used = path.stat().st_mtime
    assert await downloads.prune(0) == 0, "what was just used stays"
    assert downloads.cache.prune(10**9, now=used + 7200) == 0
    assert downloads.cache.prune(0, now=used + 7200) == len(BODY)
    assert not path.exists()


async def test_a_lock_held_elsewhere_is_waited_for_but_not_for_ever(downloads):
    async with downloads.cache.lock("key", limit_s=1):
        with pytest.raises(TimeLimitExceeded):
            async with downloads.cache.lock("key", limit_s=0.1):
                pytest.fail("the lock was given twice")
    async with downloads.cache.lock("key", limit_s=1):
        pass


async def test_a_cancelled_download_can_be_taken_up_again(index, downloads, url):
    index.fault(NAME, "hang", times=1)
    task = asyncio.create_task(get(downloads, url))
    await asyncio.wait_for(index.hanging.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await get(downloads, url)).read_bytes() == BODY
