"""Metadata that only the package's own build backend can tell: prepared in a guest, never on the host."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import structlog

from pyti.errors import PackageError
from pyti.index import PreparedMetadata
from pyti.messages import Distribution, JobRun
from pyti.rawdata.contract import GuestDistribution, GuestJob, TaskFinished
from pyti.roles.following import follow_job
from pyti.roles.guests import GuestSupply
from pyti.roles.profiles import limits_of, task_limits

__all__ = ["MetadataPreparer"]

log = structlog.get_logger(__name__)

TASK = "metadata"
MAX_METADATA_BYTES = 8 * 1024 * 1024


class MetadataPreparer:
    """The resolver's way into a guest: runs the task ``metadata`` on one sdist in a fresh machine each time."""

    def __init__(self, run: JobRun, supply: GuestSupply, spool: Path) -> None:
        self._run = run
        self._supply = supply
        self._spool = spool
        self._count = 0

    async def __call__(self, distribution: Distribution, sdist: Path, wheelhouse: Sequence[Path]) -> PreparedMetadata:
        """Return what the backend says of the sdist, given a wheelhouse of its build requirements.

        A root distribution whose backend fails gets metadata without requirements: the job then goes on, and its own
        tasks show the failure with all its raw data. Raises ``PackageError`` when a dependency's backend fails.
        """
        self._count += 1
        spool = self._spool / f"prepare-{self._count}"
        job = GuestJob(
            job=f"{self._run.job}-m{self._count}",
            attempt=self._run.attempt,
            dist=GuestDistribution(
                name=distribution.name,
                version=distribution.version,
                filename=distribution.filename,
                kind=distribution.kind,
            ),
            tasks=(TASK,),
            limits=limits_of(self._run.machine),
            task_limits=task_limits(self._run.machine, (TASK,)),
            time_limit_s=self._run.machine.time_limit_s,
            trace=False,
        )
        files = {f"dist/{distribution.filename}": sdist, **{f"wheelhouse/{path.name}": path for path in wheelhouse}}
        async with self._supply.guest(more=True) as guest:
            await guest.session.deliver(job, files)
            record: TaskFinished | None = None
            async for seen in follow_job(guest, job, spool):
                if isinstance(seen, TaskFinished) and seen.task == TASK:
                    record = seen
        if record is None:
            raise PackageError(f"the guest said nothing of the metadata of {distribution.filename}")
        if missing := _texts(record.data.get("missing_build_requires")):
            return PreparedMetadata(
                metadata=b"", build_requires=_texts(record.data.get("build_requires")), missing=missing
            )
        if record.outcome != "passed":
            if distribution.filename != self._run.distribution.filename:
                raise PackageError(
                    f"the metadata of the dependency {distribution.filename} could not be prepared: {record.detail}"
                )
            log.info("metadata_not_prepared", distribution=distribution.filename, detail=record.detail)
            bare = f"Metadata-Version: 2.1\nName: {distribution.name}\nVersion: {distribution.version}\n"
            return PreparedMetadata(metadata=bare.encode(), build_requires=[], missing=[])
        metadata = await asyncio.to_thread(_read, spool / "artefacts" / TASK / "METADATA")
        return PreparedMetadata(metadata=metadata, build_requires=_texts(record.data.get("build_requires")), missing=[])


def _texts(value: object) -> list[str]:
    """A guest's list of requirements, bounded; anything else counts as none."""
    return [text[:1000] for text in value[:500] if isinstance(text, str)] if isinstance(value, list) else []


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_METADATA_BYTES)
    except FileNotFoundError:
        raise PackageError("the build backend prepared no METADATA") from None
