import asyncio
import subprocess
import sys

import pytest

from pyti.errors import TimeLimitExceeded
from pyti.machines.locks import FileLock, locked

HOLD = """
import sys, time
from pathlib import Path
from pyti.machines.locks import FileLock
lock = FileLock(Path(sys.argv[1]))
print(lock.acquire(), flush=True)
time.sleep(60)
"""


def test_two_holders_exclude_each_other(tmp_path):
    first, second = FileLock(tmp_path / "x.lock"), FileLock(tmp_path / "x.lock")
    assert first.acquire()
    assert not second.acquire()
    first.release()
    assert second.acquire()


def test_sharers_exclude_only_those_who_want_it_alone(tmp_path):
    first, second, third = (FileLock(tmp_path / "x.lock") for _ in range(3))
    assert first.acquire(shared=True)
    assert second.acquire(shared=True)
    assert not third.acquire()


def test_a_lock_whose_file_was_removed_while_it_was_awaited_is_not_mistaken_for_the_lock(tmp_path):
    first, second, third = (FileLock(tmp_path / "x.lock") for _ in range(3))
    assert first.acquire()
    first.release(remove=True)
    assert second.acquire()
    assert not third.acquire()


def test_the_death_of_the_holder_frees_the_lock(tmp_path):
    path = tmp_path / "x.lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout.readline() == "True\n"
            assert not FileLock(path).acquire()
        finally:
            holder.kill()
        holder.wait()
        assert FileLock(path).acquire()


async def test_waiting_too_long_names_what_is_waited_for(tmp_path):
    lock = FileLock(tmp_path / "x.lock")
    lock.acquire()
    with pytest.raises(TimeLimitExceeded, match="baking"):
        async with locked(tmp_path / "x.lock", limit_s=0.05, what="baking"):
            raise AssertionError


async def test_a_waiter_gets_the_lock_when_it_is_given_back(tmp_path):
    order = []

    async def use(name):
        async with locked(tmp_path / "x.lock", limit_s=10, what="it"):
            order.append(f"{name} in")
            await asyncio.sleep(0)
            order.append(f"{name} out")

    await asyncio.gather(use("a"), use("b"))
    assert order in (["a in", "a out", "b in", "b out"], ["b in", "b out", "a in", "a out"])
