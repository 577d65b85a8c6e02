"""A failure travels with its class, its cause and its remedy."""

from pyti.errors import Cause, IndexUnavailable, TimeLimitExceeded
from pyti.messages import Step
from pyti.roles.failure import failure_of


def test_a_known_error_keeps_what_it_knows() -> None:
    failure = failure_of(IndexUnavailable("no answer", remedy="Check the proxy."), Step.RESOLVE)

    assert (failure.step, failure.cause, failure.error) == (Step.RESOLVE, Cause.NETWORK, "IndexUnavailable")
    assert (failure.message, failure.remedy, failure.retryable) == ("no answer", "Check the proxy.", True)
    assert not failure.timeout


def test_a_time_limit_is_marked_as_a_timeout() -> None:
    failure = failure_of(TimeLimitExceeded("too long"), Step.RUN)

    assert failure.timeout
    assert failure.cause == Cause.RESOURCE


def test_an_unforeseen_error_counts_as_infrastructure() -> None:
    failure = failure_of(ZeroDivisionError("oops"), Step.CLONE)

    assert failure.cause == Cause.INFRASTRUCTURE
    assert "ZeroDivisionError" in failure.message
    assert not failure.retryable


def test_an_endless_message_is_cut_to_what_a_message_may_carry() -> None:
    assert len(failure_of(IndexUnavailable("x" * 200_000), Step.RESOLVE).message) <= 65536
