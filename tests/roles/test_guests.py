"""A job's machines are cloned ahead, lent one at a time and always given back.

The pool here keeps ``MachinePool.lease``'s protocol and nothing else: real machines cannot be made to die or to
linger at the moments that these tests are about. Real machines are in tests/machines and tests/system.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from pyti.errors import LeftBehind, MachineError
from pyti.roles.guests import GuestSupply
from pyti.roles.stopwatch import Stopwatch

Make = Callable[..., Any]


class Pool:
    """Leases numbered machines; says how many are on loan, were asked for, and were ended."""

    def __init__(self) -> None:
        self.asked = self.loan = self.most = self.ended = 0
        self.clone: BaseException | None = None
        self.destroy: BaseException | None = None
        self.may_clone = asyncio.Event()
        self.may_clone.set()

    @asynccontextmanager
    async def lease(self, _image: Any, *, cpus: int, memory_mib: int, job: str) -> AsyncIterator[Any]:
        assert (cpus, memory_mib) == (1, 1024)
        assert job
        self.asked += 1
        await self.may_clone.wait()
        if self.clone is not None:
            raise self.clone
        self.loan += 1
        self.most = max(self.most, self.loan)
        try:
            yield SimpleNamespace(machine=SimpleNamespace(name=f"m-{self.asked}"), prepared=object())
        finally:
            await asyncio.sleep(0)
            self.loan -= 1
            self.ended += 1
            if self.destroy is not None:
                raise self.destroy


@pytest.fixture
def pool() -> Pool:
    return Pool()


@pytest.fixture
def stopwatch() -> Stopwatch:
    """Every look at the clock finds it a second later."""
    ticks = itertools.count()
    return Stopwatch(lambda: float(next(ticks)))


@pytest.fixture
def supply(pool: Pool, stopwatch: Stopwatch, make_job: Make) -> GuestSupply:
    lent: Any = pool
    image: Any = None
    return GuestSupply(lent, image, make_job(), stopwatch)


async def test_a_machine_is_cloned_before_it_is_asked_for(pool: Pool, supply: GuestSupply) -> None:
    async with supply:
        await asyncio.sleep(0)
        assert pool.asked == 1
        async with supply.guest() as guest:
            assert guest.machine.name == "m-1"

    assert (pool.loan, pool.asked, pool.ended) == (0, 1, 1)


async def test_every_guest_is_fresh_and_never_two_are_held(pool: Pool, supply: GuestSupply) -> None:
    names = []
    async with supply:
        for more in (True, True, False):
            async with supply.guest(more=more) as guest:
                names.append(guest.machine.name)

    assert names == ["m-1", "m-2", "m-3"]
    assert (pool.most, pool.loan, pool.ended) == (1, 0, 3)


async def test_a_guest_that_nobody_used_is_ended_too(pool: Pool, supply: GuestSupply, wait_until: Make) -> None:
    async with supply:
        await wait_until(lambda: pool.loan == 1)

    assert (pool.loan, pool.ended) == (0, 1)


async def test_a_clone_that_is_still_being_made_is_given_up(pool: Pool, supply: GuestSupply) -> None:
    pool.may_clone.clear()
    async with supply:
        await asyncio.sleep(0)
        assert pool.asked == 1

    assert (pool.loan, pool.ended) == (0, 0)


async def test_a_machine_that_dies_while_it_is_cloned_is_told_to_whoever_wanted_it(
    pool: Pool, supply: GuestSupply
) -> None:
    pool.clone = MachineError("died while it was cloned")
    async with supply:
        with pytest.raises(MachineError, match="died while"):
            async with supply.guest():
                pytest.fail("there is no guest")


async def test_a_machine_that_dies_unwanted_is_no_matter(pool: Pool, supply: GuestSupply) -> None:
    pool.clone = MachineError("died while it was cloned")
    async with supply:
        await asyncio.sleep(0.01)

    assert pool.loan == 0


async def test_what_is_left_behind_is_told_when_the_job_went_well(pool: Pool, supply: GuestSupply) -> None:
    pool.destroy = LeftBehind("a disk remains")
    async with supply:
        with pytest.raises(LeftBehind, match="disk"):
            async with supply.guest():
                pass


async def test_the_job_s_own_failure_is_told_before_what_is_left_behind(pool: Pool, supply: GuestSupply) -> None:
    pool.destroy = LeftBehind("a disk remains")
    async with supply:
        with pytest.raises(ZeroDivisionError):
            async with supply.guest():
                raise ZeroDivisionError


async def test_a_cancelled_job_leaves_no_machine(pool: Pool, supply: GuestSupply) -> None:
    inside = asyncio.Event()

    async def job() -> None:
        async with supply, supply.guest(more=True):
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(job())
    await inside.wait()
    task.cancel()
    await asyncio.wait({task})

    assert task.cancelled()
    assert (pool.loan, pool.asked, pool.ended) == (0, 1, 1)


async def test_cloning_and_destroying_are_timed(supply: GuestSupply, stopwatch: Stopwatch) -> None:
    async with supply, supply.guest():
        pass

    assert stopwatch.timings().clone > 0
    assert stopwatch.timings().destroy > 0
