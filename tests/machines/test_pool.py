"""The pool, with real machines: bounded, never reused, warm ones ahead, nothing left."""

import asyncio

import pytest

from pyti.machines import MachinePool

pytestmark = pytest.mark.machine

SIZE = {"cpus": 1, "memory_mib": 1024}


class Preparations:
    """Counts what the pool prepares and disposes of; stands for the slave's SSH sessions."""

    def __init__(self):
        self.made = []
        self.gone = []

    async def prepare(self, machine):
        self.made.append(machine.id)
        return machine.id

    async def dispose(self, prepared):
        self.gone.append(prepared)


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 (the pool tells nobody when a warm machine is ready)
            await asyncio.sleep(0.02)


async def test_every_lease_is_a_fresh_machine_and_is_destroyed_afterwards(hypervisor, template, image):
    work = Preparations()
    async with MachinePool(hypervisor, slots=1, prepare=work.prepare, dispose=work.dispose) as pool:
        seen = []
        for number in range(2):
            async with pool.lease(image, **SIZE, job=f"job-{number}") as leased:
                seen.append(leased.machine.id)
                assert leased.prepared == leased.machine.id
                assert leased.machine.job == f"job-{number}"
                assert not leased.warm
            assert not leased.machine.folder.exists()
    assert len(set(seen)) == 2
    assert work.gone == work.made == seen


async def test_no_more_machines_are_on_loan_than_there_are_slots(hypervisor, template, image):
    work, on_loan, most = Preparations(), 0, 0
    both = asyncio.Event()

    async def job(pool):
        nonlocal on_loan, most
        async with pool.lease(image, **SIZE, job="j"):
            on_loan += 1
            most = max(most, on_loan)
            if on_loan == 2:
                both.set()
            async with asyncio.timeout(60):
                await both.wait()
            on_loan -= 1

    async with MachinePool(hypervisor, slots=2, prepare=work.prepare) as pool:
        await asyncio.gather(*(job(pool) for _ in range(3)))
    assert most == 2
    assert hypervisor.machines == ()


async def test_a_warm_machine_is_given_at_once_and_replaced(hypervisor, template, image):
    work = Preparations()
    async with MachinePool(hypervisor, slots=1, warm=1, prepare=work.prepare, dispose=work.dispose) as pool:
        pool.expect(image, **SIZE)
        await until(lambda: pool.ready == 1)
        async with pool.lease(image, **SIZE, job="job-warm") as leased:
            assert leased.warm
            assert leased.machine.job == "job-warm"
            await until(lambda: pool.ready == 1)
    assert hypervisor.machines == ()
    assert sorted(work.gone) == sorted(work.made)


async def test_a_warm_machine_that_died_is_not_given(hypervisor, template, image):
    work = Preparations()
    async with MachinePool(hypervisor, slots=1, warm=1, prepare=work.prepare) as pool:
        pool.expect(image, **SIZE)
        await until(lambda: pool.ready == 1)
        dead = hypervisor.machines[0]
        dead.lost.set_result("it died")
        async with pool.lease(image, **SIZE, job="j") as leased:
            assert leased.machine is not dead
        assert not dead.folder.exists()


async def test_a_machine_whose_preparation_fails_is_destroyed(hypervisor, template, image):
    async def prepare(_machine):
        raise ConnectionError("no answer")

    async with MachinePool(hypervisor, slots=1, prepare=prepare) as pool:
        with pytest.raises(ConnectionError):
            async with pool.lease(image, **SIZE, job="j"):
                raise AssertionError
        assert hypervisor.machines == ()


async def test_a_failing_job_gets_its_error_and_its_machine_is_destroyed(hypervisor, template, image):
    work = Preparations()
    async with MachinePool(hypervisor, slots=1, prepare=work.prepare, dispose=work.dispose) as pool:
        with pytest.raises(ZeroDivisionError):
            async with pool.lease(image, **SIZE, job="j"):
                raise ZeroDivisionError
    assert hypervisor.machines == ()
    assert work.gone == work.made
