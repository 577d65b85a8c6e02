"""Errors as messages: how a failure travels to the master."""

from __future__ import annotations

from pyti.errors import Cause, PytiError, TimeLimitExceeded
from pyti.messages import JobFailure, Step

__all__ = ["failure_of"]


def failure_of(error: BaseException, step: Step) -> JobFailure:
    """Describe an error that ended a job at ``step``; one that PyTI did not foresee counts as infrastructure."""
    if isinstance(error, PytiError):
        return JobFailure(
            step=step,
            cause=error.cause,
            error=type(error).__name__,
            message=error.message[:60_000],
            remedy=error.remedy[:4000],
            retryable=error.retryable,
            timeout=isinstance(error, TimeLimitExceeded),
        )
    return JobFailure(
        step=step,
        cause=Cause.INFRASTRUCTURE,
        error=type(error).__name__,
        message=f"unforeseen {type(error).__name__}: {error}"[:60_000],
        remedy="This is a defect of PyTI; the slave's log has the traceback.",
    )
