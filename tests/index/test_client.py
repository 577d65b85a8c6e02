import asyncio
import base64

import pytest

from pyti.errors import HashMismatch, IndexLied, IndexUnavailable, NoSuchDistribution, TooLarge, UsageError
from pyti.index import IndexClient, Validators
from pyti.index.transport import BadStatus, backoff


@pytest.mark.parametrize("form", ["application/vnd.pypi.simple.v1+json", "text/html"])
async def test_both_forms_of_a_page_are_read(index, client, form):
    index.format = form
    index.wheel("demo", "1.0", said={"requires-python": ">=3.8"})
    index.sdist("demo", "0.9", said={"yanked": "broken"})
    page = await client.project("Demo")
    assert {file.filename for file in page.files} == {"demo-1.0-py3-none-any.whl", "demo-0.9.tar.gz"}
    assert page.files[0].url.startswith("http://127.0.0.1:")
    assert page.files[0].sha256
    assert page.files[1].yanked_reason == "broken"


async def test_an_unknown_project_is_named(client):
    with pytest.raises(NoSuchDistribution, match="nosuch"):
        await client.project("nosuch")


@pytest.mark.parametrize("name", ["", "a/b", "-x", "x" * 300, "a b", "ä", "../etc"])
async def test_an_impossible_name_is_never_asked_for(index, client, name):
    with pytest.raises(UsageError):
        await client.project(name)
    assert not index.seen


@pytest.mark.parametrize("kind", ["500", "503", "429", "truncate"])
async def test_passing_trouble_is_tried_again(index, client, kind):
    index.wheel("demo", "1.0")
    index.fault("demo", kind, times=2)
    assert (await client.project("demo")).files
    assert index.seen["demo"] == 3


async def test_lasting_trouble_ends_after_the_attempts(index, client):
    index.fault("demo", "500")
    with pytest.raises(IndexUnavailable, match="500"):
        await client.project("demo")
    assert index.seen["demo"] == 3


async def test_a_refusal_is_not_tried_again(index, client):
    index.fault("demo", "403")
    with pytest.raises(BadStatus):
        await client.project("demo")
    assert index.seen["demo"] == 1


async def test_a_slow_index_is_given_up(index, connect):
    index.fault("demo", "hang")
    async with connect(timeout_s=0.05, attempts=1) as (client, _):
        with pytest.raises(IndexUnavailable, match="no answer within"):
            await client.project("demo")


async def test_an_index_that_is_down_is_told_so(connect):
    async with connect(url="http://127.0.0.1:9/simple/", attempts=2) as (client, _):
        with pytest.raises(IndexUnavailable):
            await client.project("demo")


async def test_an_endless_page_is_cut_off(index, connect):
    index.fault("demo", "endless")
    async with connect(max_page_bytes=1_000_000) as (client, _):
        with pytest.raises(TooLarge):
            await client.project("demo")


@pytest.mark.parametrize("kind", ["garbage", "content-type", "loop", "file-url"])
async def test_lies_are_told_at_once(index, client, kind):
    index.fault("demo", kind)
    with pytest.raises(IndexLied):
        await client.project("demo")


async def test_a_page_is_asked_for_conditionally(index, client):
    index.wheel("demo", "1.0")
    page, validators = await client.project_if_changed("demo", Validators())
    assert page is not None
    assert validators.etag
    assert await client.project_if_changed("demo", validators) == (None, validators)
    index.wheel("demo", "1.1")
    page, newer = await client.project_if_changed("demo", validators)
    assert page is not None
    assert newer != validators


async def test_the_cache_saves_unchanged_pages_across_clients(index, connect):
    index.wheel("demo", "1.0")
    for _ in range(2):
        async with connect() as (client, _downloads):
            assert len((await client.project("demo")).files) == 1
    assert "If-None-Match" in index.headers[-1]
    index.wheel("demo", "1.1")
    async with connect() as (client, _downloads):
        assert len((await client.project("demo")).files) == 2


async def test_a_damaged_cache_costs_a_request_only(index, connect, tmp_path):
    index.wheel("demo", "1.0")
    async with connect() as (client, _):
        await client.project("demo")
        (kept,) = (tmp_path / "cache/pages").glob("*/*.msgpack")
        kept.write_bytes(b"garbage")
        assert (await client.project("demo")).files


async def test_core_metadata_is_verified(index, client, metadata_bytes):
    text = metadata_bytes("demo", "1.0")
    entry = index.wheel("demo", "1.0", said={"metadata": text})
    file = (await client.project("demo")).files[0]
    assert await client.core_metadata(file) == text
    index.bodies[entry["filename"] + ".metadata"] = text + b"more"
    with pytest.raises(HashMismatch):
        await client.core_metadata(file)


async def test_credentials_are_sent_to_the_index_and_appear_in_no_message(index, connect):
    index.password = "Basic " + base64.b64encode(b"me:s3cret").decode()
    index.wheel("demo", "1.0")
    async with connect(url=index.url.replace("http://", "http://me:s3cret@")) as (client, _):
        assert (await client.project("demo")).files
        index.fault("demo", "500")
        with pytest.raises(IndexUnavailable) as caught:
            await client.project("demo")
    assert "s3cret" not in str(caught.value) + caught.value.remedy


async def test_many_pages_are_asked_for_at_once_within_the_limit(index, connect):
    for number in range(20):
        index.wheel(f"demo{number}", "1.0")
    async with connect(concurrency=4) as (client, _):
        pages = await asyncio.gather(*(client.project(f"demo{number}") for number in range(20)))
    assert all(page.files for page in pages)


async def test_a_client_outside_its_with_refuses_work(settings):
    with pytest.raises(RuntimeError):
        await IndexClient(settings).project("demo")


def test_pauses_grow_and_are_bounded():
    pauses = list(backoff(9, first_s=1, uniform=lambda: 1.0))
    assert pauses == [1, 2, 4, 8, 10, 10, 10, 10]
    assert list(backoff(3, first_s=1, uniform=lambda: 0.0)) == [0.5, 1]
