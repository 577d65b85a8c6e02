"""Follows a job inside a guest, with every way in which that can end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from pyti.errors import GuestUnreachable, MachineError, TimeLimitExceeded
from pyti.rawdata.contract import GuestJob, JobFinished, RawRecord
from pyti.roles.guests import Guest

__all__ = ["GRACE_S", "follow_job"]

GRACE_S = 60.0
"""Seconds beyond the job's own limit that the agent has to kill what runs and to say so."""


async def follow_job(guest: Guest, job: GuestJob, spool: Path) -> AsyncIterator[RawRecord]:
    """Yield the job's records as they arrive; its streams grow below ``spool`` meanwhile.

    Raises ``TimeLimitExceeded`` when the guest is not done ``GRACE_S`` after the job's limit, ``MachineError`` when
    the machine dies, and ``GuestUnreachable`` when the stream ends before the job does.
    """
    deadline = asyncio.get_running_loop().time() + job.time_limit_s + GRACE_S
    records = guest.session.follow(job.job, spool, attempt=job.attempt)
    lost: asyncio.Future[Any] = guest.machine.lost
    finished = False
    try:
        while not finished:
            turn: asyncio.Future[Any] = asyncio.ensure_future(anext(records))
            try:
                await asyncio.wait(
                    {turn, lost},
                    timeout=deadline - asyncio.get_running_loop().time(),
                    return_when=asyncio.FIRST_COMPLETED,
                )
            finally:
                if not turn.done():
                    turn.cancel()
                    await asyncio.wait({turn})
            if turn.cancelled():
                if lost.done():
                    raise MachineError(f"machine {guest.machine.name} died while it ran {job.job}: {lost.result()}")
                raise TimeLimitExceeded(
                    f"{job.job} was not done {GRACE_S:.0f} s after its limit of {job.time_limit_s:.0f} s",
                    remedy="Give the job a longer time limit, or fewer tasks.",
                )
            try:
                record = turn.result()
            except StopAsyncIteration:
                raise GuestUnreachable(
                    f"machine {guest.machine.name} ended the stream before {job.job} ended"
                ) from None
            finished = isinstance(record, JobFinished)
            yield record
    finally:
        await records.aclose()
