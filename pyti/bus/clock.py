"""Time, passed in: the system's clock, and one that a test moves by hand."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from typing import Protocol

__all__ = ["Clock", "SystemClock", "Timer", "VirtualClock"]


class Timer(Protocol):
    """Something scheduled that can be called off."""

    def cancel(self) -> None:
        """Call it off; harmless when it has run already."""


class Clock(Protocol):
    """What the bus needs of time."""

    def time(self) -> float:
        """Unix time in seconds."""

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Call ``callback`` on the event loop after ``delay_s`` seconds."""


class SystemClock:
    """The wall clock, and the running event loop's timers."""

    def time(self) -> float:
        """Unix time in seconds."""
        return time.time()

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Call ``callback`` on the running event loop after ``delay_s`` seconds."""
        return asyncio.get_running_loop().call_later(max(0.0, delay_s), callback)


class _VirtualTimer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class VirtualClock:
    """A clock for tests: time stands still until ``advance`` moves it, and timers run in order as it passes them."""

    def __init__(self, start: float = 1_000_000.0) -> None:
        self._now = start
        self._timers: list[tuple[float, int, _VirtualTimer]] = []
        self._order = itertools.count()

    def time(self) -> float:
        """Return the virtual Unix time in seconds."""
        return self._now

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Run ``callback`` when ``advance`` has moved time by ``delay_s`` seconds."""
        timer = _VirtualTimer(callback)
        heapq.heappush(self._timers, (self._now + max(0.0, delay_s), next(self._order), timer))
        return timer

    def advance(self, seconds: float) -> None:
        """Move time forward, running every timer that falls due, each at its own time."""
        end = self._now + seconds
        while self._timers and self._timers[0][0] <= end:
            due, _, timer = heapq.heappop(self._timers)
            self._now = max(self._now, due)
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()
        self._now = end
