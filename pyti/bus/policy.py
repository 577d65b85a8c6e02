"""The acknowledgement policy, in one place: what becomes of a message whose handler ended in such a way."""

from __future__ import annotations

from enum import StrEnum
from random import Random

import msgspec

from pyti.bus.backoff import Backoff
from pyti.errors import InvalidMessage, PytiError, TooLarge, UnknownMessage

__all__ = ["DeadLetter", "DeadReason", "Retry", "Verdict", "after_failure", "unreadable"]


class DeadReason(StrEnum):
    """Why the bus dead-lettered a message: the header ``dead-reason``."""

    UNKNOWN_TYPE = "unknown-type"
    UNKNOWN_VERSION = "unknown-version"
    UNDECODABLE = "undecodable"
    TOO_LARGE = "too-large"
    DEADLINE = "deadline"
    FAILED = "failed"
    EXHAUSTED = "attempts-exhausted"
    REJECTED = "rejected"


class Retry(msgspec.Struct, frozen=True):
    """Run the handler again after ``delay_s`` seconds."""

    delay_s: float


class DeadLetter(msgspec.Struct, frozen=True):
    """Put the message aside, with the reason."""

    reason: DeadReason
    detail: str


Verdict = Retry | DeadLetter


def after_failure(error: Exception, attempt: int, backoff: Backoff | None, random: Random) -> Verdict:
    """Decide what to do after run number ``attempt`` raised ``error``.

    Only a ``PytiError`` whose class is retryable is tried again; anything else is a fault that repeats itself.
    ``backoff`` is ``None`` where the queue cannot be come back to.
    """
    text = f"{type(error).__name__}: {error}"
    if not (isinstance(error, PytiError) and error.retryable):
        return DeadLetter(DeadReason.FAILED, text)
    delay = None if backoff is None else backoff.delay_after(attempt)
    if backoff is None or delay is None:
        return DeadLetter(DeadReason.EXHAUSTED, f"run {attempt} was the last; {text}")
    return Retry(backoff.jittered(delay, random))


def unreadable(error: PytiError, *, name_known: bool) -> DeadLetter:
    """Return the verdict on a message that cannot be handed to a handler at all."""
    if isinstance(error, UnknownMessage):
        return DeadLetter(DeadReason.UNKNOWN_VERSION if name_known else DeadReason.UNKNOWN_TYPE, error.message)
    if isinstance(error, TooLarge):
        return DeadLetter(DeadReason.TOO_LARGE, error.message)
    if isinstance(error, InvalidMessage):
        return DeadLetter(DeadReason.UNDECODABLE, error.message)
    return DeadLetter(DeadReason.FAILED, error.message)
