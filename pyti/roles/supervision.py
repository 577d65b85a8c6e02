"""Background tasks of a role: supervised, named, and ended in an orderly way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import structlog

from pyti.errors import PytiError

__all__ = ["every", "supervised"]

log = structlog.get_logger(__name__)


@asynccontextmanager
async def supervised() -> AsyncIterator[Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]]:
    """Yield ``spawn(coroutine, name)``; a task that fails ends the body with its error, and leaving ends the tasks.

    The body is cancelled by ``asyncio.TaskGroup`` when a task fails; a group of one is unwrapped, so that callers see
    the error itself.
    """
    tasks: set[asyncio.Task[None]] = set()
    try:
        async with asyncio.TaskGroup() as group:

            def spawn(coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
                task = group.create_task(coroutine, name=name)
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                return task

            try:
                yield spawn
            finally:
                for task in tuple(tasks):
                    task.cancel()
    except BaseExceptionGroup as group_error:
        if len(group_error.exceptions) == 1:
            raise group_error.exceptions[0] from None
        raise


async def every(seconds: float, action: Callable[[], Awaitable[object]], *, wake: asyncio.Event | None = None) -> None:
    """Run ``action`` again and again, ``seconds`` apart or as soon as ``wake`` is set.

    A retryable error is logged and tried again at the next turn; any other ends the loop with it.
    """
    while True:
        if wake is not None:
            wake.clear()
        try:
            await action()
        except PytiError as error:
            if not error.retryable:
                raise
            log.warning("turn_failed", action=getattr(action, "__qualname__", repr(action)), error=error.message)
        if wake is None:
            await asyncio.sleep(seconds)
        else:
            try:
                async with asyncio.timeout(seconds):
                    await wake.wait()
            except TimeoutError:
                pass
