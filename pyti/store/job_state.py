"""The state machine of one job: pure decisions about attempts, leases and ends.

::

    queued ──accept──▶ running ──finish──▶ done | failed | cancelled
       ▲                  │  (a result may overtake its acceptance: queued ──finish──▶ …)
       └─────reissue──────┘  (attempt + 1; everything that an older attempt says is refused)

Each transition is a function from a ``Standing`` to the next one, or to ``None`` where the transition is refused:
a stale attempt, a job that has ended, a second result. Nothing here reads a clock or a database.
"""

from __future__ import annotations

import msgspec

from pyti.messages import JobState

__all__ = [
    "ENDED",
    "Standing",
    "accept",
    "awaits_dispatch",
    "cancel",
    "dispatch",
    "finish",
    "has_ended",
    "lease_ran_out",
    "reissue",
]

ENDED = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED})
"""The states that a job never leaves."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """All that decides what may happen to a job next.

    ``attempt`` counts from 1; ``dispatched`` is the newest attempt that the bus has confirmed (0: none);
    ``lease_until`` is Unix time and set while a slave holds the job; ``cancelling`` means that somebody asked for
    its end while it ran.
    """

    state: JobState = JobState.QUEUED
    attempt: int = 1
    dispatched: int = 0
    slave: str = ""
    lease_until: float | None = None
    cancelling: bool = False


def has_ended(standing: Standing) -> bool:
    """Whether the job is in a state that it never leaves."""
    return standing.state in ENDED


def awaits_dispatch(standing: Standing) -> bool:
    """Whether the job's current attempt was stored but not yet confirmed on the bus."""
    return standing.state is JobState.QUEUED and standing.dispatched < standing.attempt


def lease_ran_out(standing: Standing, now: float) -> bool:
    """Whether the slave that holds the job has not renewed its lease in time."""
    return standing.state is JobState.RUNNING and standing.lease_until is not None and standing.lease_until <= now


def dispatch(standing: Standing, attempt: int) -> Standing | None:
    """Note that the bus has confirmed this attempt; refused when stale, marked already, or accepted already."""
    if attempt != standing.attempt or not awaits_dispatch(standing):
        return None
    return msgspec.structs.replace(standing, dispatched=attempt)


def accept(standing: Standing, attempt: int, slave: str, lease_until: float, now: float) -> Standing | None:
    """Note that a slave holds the job, or goes on holding it; a lease never gets shorter.

    Progress overtaking its acceptance counts as acceptance. A second slave with the same attempt (a redelivery)
    is refused while the first one's lease holds.
    """
    if has_ended(standing) or attempt != standing.attempt:
        return None
    held = standing.state is JobState.RUNNING
    if held and standing.slave != slave and not lease_ran_out(standing, now):
        return None
    earlier = standing.lease_until if held and standing.slave == slave else None
    return msgspec.structs.replace(
        standing,
        state=JobState.RUNNING,
        dispatched=attempt,
        slave=slave,
        lease_until=lease_until if earlier is None else max(earlier, lease_until),
    )


def reissue(standing: Standing, attempt: int) -> Standing | None:
    """Give the job to the queue again as ``attempt + 1``; refused when stale, ended, or asked to be cancelled."""
    if has_ended(standing) or attempt != standing.attempt or standing.cancelling:
        return None
    return msgspec.structs.replace(
        standing, state=JobState.QUEUED, attempt=standing.attempt + 1, slave="", lease_until=None
    )


def finish(standing: Standing, attempt: int, state: JobState) -> Standing | None:
    """Note that the job ends; refused for a stale attempt and after the end, so a result counts once per job.

    ``ValueError`` for a state that is no end.
    """
    if state not in ENDED:
        raise ValueError(f"a job does not end as {state}")
    if has_ended(standing) or attempt != standing.attempt:
        return None
    return msgspec.structs.replace(standing, state=state, lease_until=None)


def cancel(standing: Standing) -> Standing | None:
    """Somebody asks for the job's end: at once while it is queued, by its slave while it runs.

    Refused when it has ended or the same was asked before.
    """
    if has_ended(standing) or standing.cancelling:
        return None
    if standing.state is JobState.QUEUED:
        return msgspec.structs.replace(standing, state=JobState.CANCELLED, cancelling=True, lease_until=None)
    return msgspec.structs.replace(standing, cancelling=True)
