"""From what a user asks to jobs: each requirement becomes the concrete files of one release."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from pyti.errors import UsageError
from pyti.index import IndexClient, Target, local_distribution, select_distributions
from pyti.messages import Distribution, JobRun, Submission
from pyti.roles.profiles import check_tasks
from pyti.store import Blobs

__all__ = ["job_id", "jobs_for", "stored_file"]

MAX_SUBMISSIONS = 500

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
"""Without the letters and digits that are taken for each other."""


def job_id(now: float | None = None, token: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """A new job's id: the UTC time to the second, so that ids sort by age, and 40 random bits."""
    stamp = time.strftime("%y%m%d%H%M%S", time.gmtime(now))
    number = int.from_bytes(token(5), "big")
    return f"j{stamp}-" + "".join(_ALPHABET[number >> 5 * place & 31] for place in range(8))


async def stored_file(path: Path, blobs: Blobs) -> Distribution:
    """Check a local sdist or wheel and put it into the blob store, where every slave can fetch it.

    Raises ``UsageError`` or ``MalformedArchive``.
    """
    distribution = local_distribution(path)
    reference = await blobs.put_file(path, "application/octet-stream")
    return msgspec.structs.replace(distribution, blob=reference, url=None)


async def jobs_for(
    submissions: Sequence[Submission],
    *,
    client: IndexClient,
    target: Callable[[Submission], Target],
    master: str,
    lease_s: float,
) -> list[JobRun]:
    """One job for each file that the submissions choose. Nothing is stored or sent.

    Raises ``UsageError`` or one of its classes for the first submission that cannot be met; then none is accepted.
    """
    if not submissions:
        raise UsageError("nothing was submitted", remedy="Name at least one requirement or --file.")
    if len(submissions) > MAX_SUBMISSIONS:
        raise UsageError(f"{len(submissions)} submissions at once are more than {MAX_SUBMISSIONS}")
    runs: list[JobRun] = []
    for submission in submissions:
        check_tasks(submission.profile, submission.tasks)
        if submission.file is not None:
            chosen: Sequence[Distribution] = (submission.file,)
        elif submission.requirement is not None:
            chosen = await select_distributions(client, submission.requirement, submission.choice, target(submission))
        else:
            raise UsageError("a submission names neither a requirement nor a file")
        now = time.time()
        runs.extend(
            JobRun(
                job=job_id(now),
                master=master,
                distribution=distribution,
                machine=submission.machine,
                profile=submission.profile,
                tasks=submission.tasks,
                priority=submission.priority,
                deadline=submission.deadline,
                lease_s=lease_s,
                submitted=now,
            )
            for distribution in chosen
        )
    return runs
