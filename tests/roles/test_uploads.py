"""New files of watched projects become jobs, each exactly once, whoever watches and however often it is restarted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from pyti.config import Settings
from pyti.index import IndexClient
from pyti.roles.uploads import WatchList
from pyti.store import Store

Make = Callable[..., Any]


@pytest.fixture
def watching(settings: Settings) -> Settings:
    """The project ``demo`` is polled as often as can be."""
    master = msgspec.structs.replace(
        settings.master, watch=("Demo",), watch_interval_s=0.01, watch_profile="quick", lease_s=7.0
    )
    return msgspec.structs.replace(settings, master=master)


class Watch:
    def __init__(self) -> None:
        self.added = 0

    def __call__(self) -> None:
        self.added += 1


@asynccontextmanager
async def watch(settings: Settings, store: Store) -> AsyncIterator[Watch]:
    """Follow the watch list while the body runs."""
    told = Watch()
    async with IndexClient(settings.index, cache=settings.home / "cache", first_pause_s=0.001) as client:
        task = asyncio.create_task(WatchList(settings, client, store, told).follow())
        try:
            yield told
        finally:
            task.cancel()
            await asyncio.wait({task})
        assert task.cancelled()


@pytest.fixture
def polls(index: Any, wait_until: Make) -> Make:
    """Wait until the index was asked for ``demo`` so many times more, and the last answer was taken in."""

    async def call(times: int) -> None:
        wanted = index.seen["demo"] + times + 1
        await wait_until(lambda: index.seen["demo"] >= wanted)

    return call


async def files(store: Store) -> list[str]:
    return sorted(row.distribution.filename for row in await store.jobs(1000))


async def test_what_is_there_at_the_first_poll_is_known_not_new(
    watching: Settings, store: Store, index: Any, polls: Make
) -> None:
    index.wheel("demo", "1.0")

    async with watch(watching, store) as told:
        await polls(3)

    assert await files(store) == []
    assert told.added == 0
    assert await store.seen("watch-list", "demo") == {"demo-1.0-py3-none-any.whl"}


async def test_each_new_file_becomes_one_job_as_the_settings_say(
    watching: Settings, store: Store, index: Any, polls: Make
) -> None:
    index.wheel("demo", "1.0")
    async with watch(watching, store) as told:
        await polls(1)
        index.wheel("demo", "1.1")
        index.sdist("demo", "1.1")
        await polls(4)

    assert await files(store) == ["demo-1.1-py3-none-any.whl", "demo-1.1.tar.gz"]
    assert told.added >= 1
    run = (await store.pending())[0]
    assert (run.master, run.profile, run.lease_s, run.machine.image) == ("master", "quick", 7.0, "bookworm")
    assert run.distribution.sha256
    assert run.distribution.url


async def test_a_restart_neither_forgets_nor_repeats(watching: Settings, store: Store, index: Any, polls: Make) -> None:
    index.wheel("demo", "1.0")
    async with watch(watching, store):
        await polls(1)
        index.wheel("demo", "1.1")
        await polls(2)
    index.wheel("demo", "1.2")
    for _ in range(3):
        async with watch(watching, store):
            await polls(2)

    assert await files(store) == ["demo-1.1-py3-none-any.whl", "demo-1.2-py3-none-any.whl"]


async def test_two_masters_with_one_store_make_one_job_of_a_file(
    watching: Settings, store: Store, index: Any, polls: Make
) -> None:
    index.wheel("demo", "1.0")
    async with watch(watching, store):
        await polls(1)
    index.wheel("demo", "1.1")

    async with watch(watching, store), watch(watching, store):
        await polls(6)

    assert await files(store) == ["demo-1.1-py3-none-any.whl"]


async def test_a_poll_that_fails_comes_again(watching: Settings, store: Store, index: Any, polls: Make) -> None:
    index.wheel("demo", "1.0")
    async with watch(watching, store):
        await polls(1)
        index.fault("demo", "garbage", times=3)
        index.wheel("demo", "1.1")
        await polls(8)

    assert await files(store) == ["demo-1.1-py3-none-any.whl"]


async def test_a_yanked_upload_is_no_job(watching: Settings, store: Store, index: Any, polls: Make) -> None:
    index.wheel("demo", "1.0")
    async with watch(watching, store):
        await polls(1)
        index.wheel("demo", "1.1", said={"yanked": "broken"})
        await polls(3)

    assert await files(store) == []
