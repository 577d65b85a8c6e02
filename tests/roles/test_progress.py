"""Watchers in the same process see every event, and waiters are woken once a job ends."""

import asyncio

from pyti.messages import JobProgress, Step
from pyti.roles.progress import BACKLOG, ProgressFeed


def event(job: str = "job-1", detail: str = "") -> JobProgress:
    return JobProgress(job=job, attempt=1, slave="s", step=Step.RUN, detail=detail)


async def test_every_watcher_sees_every_event() -> None:
    feed = ProgressFeed()
    with feed.watch() as first, feed.watch() as second:
        feed.put(event(detail="x"))

        assert (await anext(first)).detail == "x"
        assert (await anext(second)).detail == "x"


async def test_a_watcher_that_has_left_costs_nothing() -> None:
    feed = ProgressFeed()
    with feed.watch():
        pass

    feed.put(event())

    assert not feed._watchers


async def test_a_slow_watcher_loses_the_oldest_events_only() -> None:
    feed = ProgressFeed()
    with feed.watch() as events:
        for number in range(BACKLOG + 1):
            feed.put(event(detail=str(number)))

        assert (await anext(events)).detail == "1"


async def test_waiters_are_woken_when_their_job_ends() -> None:
    feed = ProgressFeed()
    ending, other = feed.ending("job-1"), feed.ending("job-2")

    feed.end("job-1")
    feed.end("job-1")

    async with asyncio.timeout(1):
        await ending.wait()
    assert not other.is_set()
