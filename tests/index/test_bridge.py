import asyncio
import threading

import pytest

from pyti.errors import TimeLimitExceeded
from pyti.index.bridge import LoopBridge, Stopped, run_in_thread


async def answer(value):
    await asyncio.sleep(0)
    return value


async def test_a_thread_gets_answers_and_errors_from_the_loop():
    async def fail():
        raise LookupError("told")

    def think(bridge):
        assert threading.current_thread() is not threading.main_thread()
        with pytest.raises(LookupError, match="told"):
            bridge.call(fail)
        return bridge.call(lambda: answer(3)) + 1

    assert await run_in_thread(think, limit_s=5) == 4


async def test_one_answer_has_a_limit():
    with pytest.raises(TimeLimitExceeded):
        await run_in_thread(lambda bridge: bridge.call(asyncio.Event().wait), limit_s=0.05)


async def test_a_time_out_of_the_answer_itself_is_passed_on():
    async def fail():
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        await run_in_thread(lambda bridge: bridge.call(fail), limit_s=5)


async def test_cancelling_stops_the_thread_before_it_goes_on():
    waiting, ended = asyncio.Event(), threading.Event()

    async def ask():
        waiting.set()
        await asyncio.Event().wait()

    def think(bridge):
        try:
            bridge.call(ask)
        finally:
            ended.set()

    task = asyncio.create_task(run_in_thread(think, limit_s=60))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_a_stopped_bridge_answers_nothing():
    bridge = LoopBridge(asyncio.get_running_loop(), 1)
    bridge.stop()
    with pytest.raises(Stopped):
        bridge.call(lambda: answer(1))
