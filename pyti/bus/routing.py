"""Which binding takes which routing key: AMQP 0-9-1's rules for direct, fanout and topic exchanges."""

from __future__ import annotations

from typing import Literal

__all__ = ["ExchangeKind", "routes", "topic_matches"]

ExchangeKind = Literal["direct", "fanout", "topic"]


def routes(kind: ExchangeKind, pattern: str, key: str) -> bool:
    """Whether a binding with ``pattern`` on an exchange of ``kind`` takes a message with routing key ``key``."""
    if kind == "fanout":
        return True
    if kind == "direct":
        return pattern == key
    return topic_matches(pattern, key)


def topic_matches(pattern: str, key: str) -> bool:
    """Whether a topic ``pattern`` takes ``key``: words are parted by dots, ``*`` is one word, ``#`` any number.

    Runs in time proportional to the product of the two lengths, whatever the pattern.
    """
    words = key.split(".") if key else []
    reachable = {0}
    for part in pattern.split(".") if pattern else []:
        if part == "#":
            reachable = set(range(min(reachable), len(words) + 1))
        else:
            reachable = {
                position + 1 for position in reachable if position < len(words) and part in ("*", words[position])
            }
        if not reachable:
            return False
    return len(words) in reachable
