"""When to try again: one policy object, plain arithmetic."""

from __future__ import annotations

from random import Random

import msgspec

__all__ = ["Backoff"]


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """Delays that grow by ``factor`` from ``initial_s`` to ``max_s``, for ``attempts`` runs in all.

    ``jitter`` is the share of a delay that chance may take away: 0.2 means between 80 % and 100 % of it. Chance only
    shortens, because the queue that holds a delayed message bounds it from above.
    """

    initial_s: float = 1.0
    factor: float = 4.0
    max_s: float = 300.0
    attempts: int = 5
    jitter: float = 0.2

    def __post_init__(self) -> None:
        if not (self.initial_s >= 0.001 and self.factor >= 1 and self.max_s >= self.initial_s):
            raise ValueError("a backoff needs initial_s of at least 1 ms, factor of at least 1 and max_s >= initial_s")
        if self.attempts < 1 or not 0 <= self.jitter < 1:
            raise ValueError("a backoff needs at least one attempt and a jitter from 0 to below 1")

    def delay_after(self, attempt: int) -> float | None:
        """Seconds to wait after run number ``attempt`` (from 1) failed, without jitter; ``None`` after the last."""
        if attempt >= self.attempts:
            return None
        return self.unbounded_delay(attempt)

    def unbounded_delay(self, attempt: int) -> float:
        """Like ``delay_after``, for what is tried for ever, such as connecting."""
        delay = self.initial_s
        for _ in range(max(0, attempt - 1)):
            delay *= self.factor
            if delay >= self.max_s or self.factor == 1:
                break
        return min(delay, self.max_s)

    def jittered(self, delay_s: float, random: Random) -> float:
        """``delay_s`` shortened by chance, at most by its ``jitter`` share."""
        return delay_s * (1 - self.jitter * random.random())

    def delays(self) -> tuple[float, ...]:
        """Every different delay that ``delay_after`` can answer, in rising order: one retry queue each."""
        found = {delay for attempt in range(1, self.attempts) if (delay := self.delay_after(attempt)) is not None}
        return tuple(sorted(found))
