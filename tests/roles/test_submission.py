"""Submissions become jobs with good ids, all or none."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyti.config import Settings
from pyti.errors import MalformedArchive, NoSuchDistribution, UsageError
from pyti.index import IndexClient, Target
from pyti.messages import FileChoice, JobRun, MachineRequest, Priority, Submission
from pyti.roles.submission import MAX_SUBMISSIONS, job_id, jobs_for, stored_file
from pyti.store import Blobs

PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{3,63}")
"""As ``pyti.messages.JobId`` has it."""

moments = st.integers(min_value=946684800, max_value=4102444799)
"""Whole seconds from the year 2000 to 2099."""


@given(moments, st.binary(min_size=5, max_size=5))
def test_an_id_is_safe_in_file_names_domains_and_routing_keys(now: int, token: bytes) -> None:
    assert PATTERN.fullmatch(job_id(now, lambda _size: token))


@given(moments, moments, st.binary(min_size=5, max_size=5), st.binary(min_size=5, max_size=5))
def test_ids_sort_by_age(earlier: int, later: int, one: bytes, other: bytes) -> None:
    if earlier > later:
        earlier, later = later, earlier
    if earlier < later:
        assert job_id(earlier, lambda _size: one) < job_id(later, lambda _size: other)


@given(st.binary(min_size=5, max_size=5), st.binary(min_size=5, max_size=5))
def test_every_random_bit_tells_ids_of_one_second_apart(one: bytes, other: bytes) -> None:
    assert (job_id(0, lambda _size: one) == job_id(0, lambda _size: other)) == (one == other)


def test_ids_made_at_once_differ() -> None:
    assert len({job_id() for _ in range(1000)}) == 1000


@pytest.fixture
async def submit(settings: Settings, manifest: dict[str, Any]) -> AsyncIterator[Callable[..., Any]]:
    async with IndexClient(settings.index, cache=settings.home / "cache") as client:

        async def call(*submissions: Submission) -> list[JobRun]:
            target = Target.from_manifest(manifest)
            return await jobs_for(
                submissions, client=client, target=lambda _one: target, master="master-7", lease_s=12.0
            )

        yield call


async def test_a_requirement_becomes_the_file_that_an_installer_would_take(submit: Any, index: Any) -> None:
    index.wheel("demo", "1.0")
    index.wheel("demo", "1.1")
    index.sdist("demo", "1.1")

    (run,) = await submit(Submission(requirement="demo"))

    assert run.distribution.filename == "demo-1.1-py3-none-any.whl"
    assert (run.master, run.lease_s, run.attempt) == ("master-7", 12.0, 1)
    assert run.submitted > 0


async def test_all_files_become_jobs_of_their_own(submit: Any, index: Any) -> None:
    index.wheel("demo", "1.1")
    index.sdist("demo", "1.1")

    runs = await submit(Submission(requirement="demo", choice=FileChoice.ALL))

    assert {run.distribution.filename for run in runs} == {"demo-1.1-py3-none-any.whl", "demo-1.1.tar.gz"}
    assert len({run.job for run in runs}) == 2


async def test_a_job_carries_what_was_asked(submit: Any, index: Any) -> None:
    index.wheel("demo", "1.0")
    machine = MachineRequest(memory_mib=2048)

    (run,) = await submit(
        Submission(
            requirement="demo", profile="full", tasks=("import",), machine=machine, priority=Priority.HIGH, deadline=9.0
        )
    )

    assert (run.profile, run.tasks, run.machine) == ("full", ("import",), machine)
    assert (run.priority, run.deadline) == (Priority.HIGH, 9.0)


@pytest.mark.parametrize(
    ("submissions", "message"),
    [
        ([], "nothing was submitted"),
        ([Submission()], "neither a requirement nor a file"),
        ([Submission(requirement="demo", profile="thorough")], "no profile 'thorough'"),
        ([Submission(requirement="demo", tasks=("import", "fly"))], "no task 'fly'"),
        ([Submission(requirement="demo ==")], "is not a requirement"),
        ([Submission(requirement="demo")] * (MAX_SUBMISSIONS + 1), "more than 500"),
    ],
)
async def test_what_cannot_be_met_is_named(
    submit: Any, index: Any, submissions: list[Submission], message: str
) -> None:
    index.wheel("demo", "1.0")

    with pytest.raises(UsageError, match=message):
        await submit(*submissions)


async def test_one_that_cannot_be_met_refuses_all(submit: Any, index: Any) -> None:
    index.wheel("demo", "1.0")

    with pytest.raises(NoSuchDistribution, match="no-such-project"):
        await submit(Submission(requirement="demo"), Submission(requirement="no-such-project"))


async def test_a_local_file_is_checked_and_kept_as_a_blob(
    submit: Any, blobs: Blobs, tmp_path: Path, make_wheel: Callable[..., bytes]
) -> None:
    path = tmp_path / "demo-1.0-py3-none-any.whl"
    path.write_bytes(make_wheel("demo", "1.0"))

    distribution = await stored_file(path, blobs)
    (run,) = await submit(Submission(file=distribution))

    assert run.distribution == distribution
    assert distribution.url is None
    assert distribution.blob is not None
    assert await blobs.get_bytes(distribution.blob, limit=1 << 20) == path.read_bytes()


async def test_a_file_that_is_no_archive_is_refused(blobs: Blobs, tmp_path: Path) -> None:
    path = tmp_path / "demo-1.0-py3-none-any.whl"
    path.write_bytes(b"\x7fELF")

    with pytest.raises(MalformedArchive):
        await stored_file(path, blobs)
