"""Tasks that somebody watches: none is lost, and one that fails is noticed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

__all__ = ["TaskSet"]

_log = structlog.get_logger("pyti.bus")


class TaskSet:
    """A set of running tasks.

    Unlike a task group it does not cancel the body of an ``async with``; the first failure is kept for its owner.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self.failure: BaseException | None = None

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run ``work`` as a task."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    def _on_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self.failure = self.failure or error
            _log.error("task failed", task=task.get_name(), exc_info=error)

    async def finish(self, grace_s: float) -> None:
        """Wait up to ``grace_s`` for all tasks, then cancel those left and wait for their end.

        Cancelling the caller cancels the tasks at once.
        """
        current = asyncio.current_task()
        try:
            if grace_s > 0 and (tasks := self._tasks - {current}):
                await asyncio.wait(tasks, timeout=grace_s)
        finally:
            await self.cancel()

    async def cancel(self) -> None:
        """Cancel all tasks and wait for their end."""
        tasks = self._tasks - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
