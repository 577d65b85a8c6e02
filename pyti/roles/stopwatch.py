"""Seconds that the parts of a job take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pyti.messages import Timings

__all__ = ["Stopwatch"]


class Stopwatch:
    """Adds up the seconds of named parts; parts may overlap, ``total`` runs from construction on.

    ``clock`` returns monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the body's seconds towards ``name``, one of the fields of ``Timings``."""
        started = self._clock()
        try:
            yield
        finally:
            self.add(name, self._clock() - started)

    def add(self, name: str, seconds: float) -> None:
        """Count seconds that were measured elsewhere."""
        self._seconds[name] = self._seconds.get(name, 0.0) + seconds

    def timings(self) -> Timings:
        """What was counted until now."""
        return Timings(
            total=round(self._clock() - self._started, 4), **{k: round(v, 4) for k, v in self._seconds.items()}
        )
