"""A resolver is synchronous and may think for long: it runs in a thread and asks the event loop for what it needs."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from pyti.errors import TimeLimitExceeded

__all__ = ["LoopBridge", "Stopped", "run_in_thread"]

T = TypeVar("T")

STOP_LIMIT_S = 10.0
"""How long a thread that was told to stop may go on before it is left to itself; it then fails at its next question."""


class Stopped(Exception):
    """The task that waits for the thread was cancelled."""


class LoopBridge:
    """Lets a thread run coroutines on the event loop and wait for them, until it is stopped."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limit_s: float) -> None:
        self._loop = loop
        self._limit_s = limit_s
        self._stopped = False
        self._waiting: concurrent.futures.Future[Any] | None = None

    def call(self, start: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine on the loop and wait for it, from the thread. Raises its error or ``Stopped``."""
        if self._is_stopped():
            raise Stopped
        future = asyncio.run_coroutine_threadsafe(start(), self._loop)
        self._waiting = future
        if self._is_stopped():  # stop() may have come between the first look and the assignment
            future.cancel()
        try:
            return future.result(self._limit_s)
        except concurrent.futures.CancelledError as error:
            raise Stopped from error
        except TimeoutError as error:
            if future.done():
                raise
            future.cancel()
            raise TimeLimitExceeded(f"the resolver waited longer than {self._limit_s:g} s for one answer.") from error

    def _is_stopped(self) -> bool:
        return self._stopped

    def tell(self, function: Callable[[], None]) -> None:
        """Run a plain function on the loop without waiting for it."""
        if not self._stopped:
            self._loop.call_soon_threadsafe(function)

    def stop(self) -> None:
        """Make the thread fail at its present or next question."""
        self._stopped = True
        if self._waiting is not None:
            self._waiting.cancel()


async def run_in_thread(function: Callable[[LoopBridge], T], *, limit_s: float) -> T:
    """Run ``function`` in a thread with a bridge to this loop; ``limit_s`` bounds each of its questions.

    When the caller is cancelled, the thread is stopped and waited for before the cancellation goes on.
    """
    bridge = LoopBridge(asyncio.get_running_loop(), limit_s)
    thread = asyncio.create_task(asyncio.to_thread(function, bridge), name="resolver")
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        bridge.stop()
        await asyncio.wait({thread}, timeout=STOP_LIMIT_S)
        if thread.done() and not thread.cancelled():
            thread.exception()  # it was asked to fail; reading the error keeps asyncio from warning
        raise
