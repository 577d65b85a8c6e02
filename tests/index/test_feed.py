import asyncio

import msgspec
import pytest

from pyti.index import Batch, Cursor, ExplicitFeed, WatchListFeed, WatchListSource
from pyti.messages import Distribution, DistributionKind


def names(batch):
    return [distribution.filename for distribution in batch.distributions]


async def test_what_was_there_at_first_sight_is_not_new(index, client):
    index.wheel("demo", "1.0")
    source = WatchListSource(client)
    first = await source.advance("Demo", None)
    assert first.source == "watch:demo"
    assert names(first) == []
    assert first.cursor is not None
    assert first.cursor.known == {"demo-1.0-py3-none-any.whl"}


async def test_new_files_come_once_the_oldest_first(index, client):
    source = WatchListSource(client)
    index.wheel("demo", "1.0")
    cursor = (await source.advance("demo", None)).cursor
    index.wheel("demo", "3.0", said={"upload-time": "2024-03-01T00:00:00Z"})
    index.wheel("demo", "2.0", said={"upload-time": "2024-02-01T00:00:00Z"})
    index.wheel("demo", "4.0", said={"yanked": True})
    batch = await source.advance("demo", cursor)
    assert names(batch) == ["demo-2.0-py3-none-any.whl", "demo-3.0-py3-none-any.whl"]
    again = await source.advance("demo", batch.cursor)
    assert names(again) == []
    assert again.cursor == batch.cursor


@pytest.mark.parametrize("etags", [True, False])
async def test_a_batch_whose_cursor_was_not_committed_comes_again(index, client, etags):
    index.etags = etags
    index.wheel("demo", "1.0")
    source = WatchListSource(client)
    cursor = (await source.advance("demo", None)).cursor
    index.wheel("demo", "2.0")
    assert names(await source.advance("demo", cursor)) == names(await source.advance("demo", cursor))


async def test_an_unchanged_page_is_not_sent_again(index, client):
    index.wheel("demo", "1.0")
    source = WatchListSource(client)
    cursor = (await source.advance("demo", None)).cursor
    await source.advance("demo", cursor)
    assert "If-None-Match" in index.headers[-1]


async def test_a_cursor_survives_the_store():
    cursor = Cursor(known=frozenset({"a", "b"}))
    assert msgspec.json.decode(msgspec.json.encode(cursor), type=Cursor) == cursor


async def test_the_feed_yields_news_remembers_and_outlives_failures(index, client):
    index.wheel("good", "1.0")
    index.fault("bad", "500")
    cursors, failures, rounds = {}, [], []

    async def load(project):
        return cursors.get(project)

    async def sleep(seconds):
        rounds.append(seconds)
        if len(rounds) == 1:
            index.wheel("good", "2.0")
        if len(rounds) == 3:
            raise asyncio.CancelledError

    feed = WatchListFeed(
        WatchListSource(client), ["bad", "Good", "missing", "good"], 7.0,
        load=load, failed=lambda project, error: failures.append((project, type(error).__name__)), sleep=sleep,
    )  # fmt: skip
    seen = []

    async def consume():
        async for batch in feed:
            cursors["good"] = batch.cursor
            seen.append(names(batch))

    with pytest.raises(asyncio.CancelledError):
        await consume()
    assert seen == [[], ["good-2.0-py3-none-any.whl"]]
    assert rounds == [7.0] * 3
    assert failures == [("bad", "BadStatus"), ("missing", "NoSuchDistribution")] * 3


async def test_an_empty_watch_list_ends_at_once(client):
    async def load(_):
        raise AssertionError("nothing to load")

    feed = WatchListFeed(WatchListSource(client), [], 1.0, load=load, failed=lambda *_: None)
    assert [batch async for batch in feed] == []


async def test_submissions_come_in_order_and_end_when_closed():
    feed = ExplicitFeed()
    one = Distribution(name="a", version="1", filename="a-1.tar.gz", kind=DistributionKind.SDIST)
    await feed.submit([one])
    await feed.close()
    assert [batch async for batch in feed] == [Batch("explicit", (one,))]
