import asyncio

from pyti.bus.supervision import TaskSet


async def test_finishing_waits_for_the_grace_then_cancels():
    ended = []

    async def work(seconds):
        try:
            await asyncio.sleep(seconds)
            ended.append("whole")
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    tasks = TaskSet()
    tasks.start(work(0.01), "short")
    tasks.start(work(60), "long")
    await tasks.finish(0.1)
    assert ended == ["whole", "cancelled"]
    assert len(tasks) == 0
    assert tasks.failure is None


async def test_the_first_failure_is_kept_for_the_owner():
    async def fail():
        raise ZeroDivisionError

    tasks = TaskSet()
    tasks.start(fail(), "fails")
    await tasks.finish(1)
    assert isinstance(tasks.failure, ZeroDivisionError)
