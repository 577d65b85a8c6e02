"""What blocks the event loop is found and named."""

import asyncio
import time

from pyti.roles.loop_probe import Blocked, loop_probe


def block_the_loop(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.001)


async def test_a_call_that_blocks_the_loop_is_named() -> None:
    found: list[Blocked] = []
    async with loop_probe(found.append):
        await asyncio.sleep(0.02)
        block_the_loop(0.2)
        await asyncio.sleep(0.05)

    assert found
    assert found[0].seconds > 0.05
    assert "block_the_loop" in str(found[0])


async def test_a_loop_that_only_waits_is_not_blamed() -> None:
    found: list[Blocked] = []
    async with loop_probe(found.append):
        for _ in range(10):
            await asyncio.sleep(0.01)

    assert found == []


async def test_work_in_a_thread_does_not_count() -> None:
    found: list[Blocked] = []
    async with loop_probe(found.append):
        await asyncio.to_thread(time.sleep, 0.2)

    assert found == []
