from random import Random

import pytest

from pyti.bus import Backoff, DeadReason
from pyti.bus.policy import DeadLetter, Retry, after_failure, unreadable
from pyti.errors import BusError, IndexUnavailable, InvalidMessage, MalformedArchive, TooLarge, UnknownMessage

RANDOM = Random(1)  # noqa: S311 - jitter needs no secrecy
BACKOFF = Backoff(initial_s=1, factor=2, attempts=3, jitter=0)


@pytest.mark.parametrize(("attempt", "delay"), [(1, 1.0), (2, 2.0)])
def test_a_retryable_error_is_retried_after_the_policys_delay(attempt, delay):
    assert after_failure(IndexUnavailable("x"), attempt, BACKOFF, RANDOM) == Retry(delay)


def test_the_last_attempt_is_dead_lettered_as_exhausted():
    verdict = after_failure(IndexUnavailable("x"), 3, BACKOFF, RANDOM)
    assert isinstance(verdict, DeadLetter)
    assert verdict.reason is DeadReason.EXHAUSTED


@pytest.mark.parametrize("error", [MalformedArchive("x"), ValueError("x"), KeyError("x")])
def test_other_errors_are_dead_lettered_at_once(error):
    verdict = after_failure(error, 1, BACKOFF, RANDOM)
    assert isinstance(verdict, DeadLetter)
    assert verdict.reason is DeadReason.FAILED
    assert type(error).__name__ in verdict.detail


def test_without_a_way_back_nothing_is_retried():
    verdict = after_failure(IndexUnavailable("x"), 1, None, RANDOM)
    assert isinstance(verdict, DeadLetter)


@pytest.mark.parametrize(
    ("error", "known", "reason"),
    [
        (UnknownMessage("x"), False, DeadReason.UNKNOWN_TYPE),
        (UnknownMessage("x"), True, DeadReason.UNKNOWN_VERSION),
        (TooLarge("x"), True, DeadReason.TOO_LARGE),
        (InvalidMessage("x"), True, DeadReason.UNDECODABLE),
        (BusError("x"), True, DeadReason.FAILED),
    ],
)
def test_unreadable_messages_are_dead_lettered_with_the_reason(error, known, reason):
    assert unreadable(error, name_known=known) == DeadLetter(reason, "x")
