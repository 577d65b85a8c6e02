"""Background tasks are supervised: a failure reaches the body, and leaving ends them."""

import asyncio

import pytest

from pyti.errors import ConfigError, StoreError
from pyti.roles.supervision import every, supervised


async def test_leaving_the_body_cancels_what_still_runs() -> None:
    cancelled = asyncio.Event()

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with supervised() as spawn:
        spawn(forever(), "forever")
        await asyncio.sleep(0)

    assert cancelled.is_set()


async def test_a_task_that_fails_ends_the_body_with_its_own_error() -> None:
    async def fail() -> None:
        raise ConfigError("broken")

    async def body() -> None:
        async with supervised() as spawn:
            spawn(fail(), "fail")
            await asyncio.Event().wait()

    with pytest.raises(ConfigError, match="broken"):
        await body()


async def test_a_cancelled_body_stays_cancelled() -> None:
    entered = asyncio.Event()

    async def body() -> None:
        async with supervised() as spawn:
            spawn(asyncio.sleep(3600), "sleep")  # type: ignore[arg-type]
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(body())
    await entered.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_turn_that_fails_for_a_passing_reason_is_tried_again() -> None:
    turns: list[int] = []

    async def turn() -> None:
        turns.append(len(turns))
        if len(turns) == 1:
            raise StoreError("locked")
        if len(turns) == 3:
            raise ConfigError("enough")

    with pytest.raises(ConfigError):
        await every(0.0, turn)

    assert turns == [0, 1, 2]


async def test_a_wake_up_ends_the_pause_early() -> None:
    wake = asyncio.Event()
    turns = asyncio.Queue[int]()

    async def turn() -> None:
        turns.put_nowait(1)

    async with supervised() as spawn:
        spawn(every(3600.0, turn, wake=wake), "turns")
        await turns.get()
        wake.set()
        async with asyncio.timeout(1):
            await turns.get()
