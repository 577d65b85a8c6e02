"""In which order to look into queues of different priority, so that the lower one is never starved."""

from __future__ import annotations

__all__ = ["TURN", "TakeOrder"]

TURN = 8
"""Every so many messages the order is reversed."""


class TakeOrder:
    """Counts what was taken, per set of queues, and answers the order of the next look."""

    def __init__(self, turn: int = TURN) -> None:
        self._turn = turn
        self._taken: dict[tuple[str, ...], int] = {}

    def order(self, queues: tuple[str, ...]) -> tuple[str, ...]:
        """Return the queues in order of preference, reversed when it is the turn of the last."""
        turn = self._taken.get(queues, 0) % self._turn == self._turn - 1
        return queues[::-1] if turn else queues

    def took(self, queues: tuple[str, ...]) -> None:
        """Count one message taken from any of these queues."""
        self._taken[queues] = (self._taken.get(queues, 0) + 1) % self._turn
