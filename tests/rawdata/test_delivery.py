from __future__ import annotations

import asyncio
import io
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyti.errors import GuestUnreachable, InfrastructureError, UsageError
from pyti.rawdata import GuestDistribution, GuestJob, GuestSession, session
from pyti.rawdata.delivery import JOB_MEMBER, check_names, tar_stream

from .conftest import Guest

DIST = "dist/good-1.0-py3-none-any.whl"
JOB = GuestJob(
    job="job-1",
    dist=GuestDistribution(name="good", version="1.0", filename="good-1.0-py3-none-any.whl", kind="wheel"),
    tasks=("import",),
)


async def packed(files: dict[str, Path]) -> bytes:
    return b"".join([piece async for piece in tar_stream(JOB, files)])


def written(folder: Path, **files: bytes) -> dict[str, Path]:
    """The distribution and, in the wheelhouse, the files named."""
    (folder / "dist").write_bytes(b"the distribution")
    found = {DIST: folder / "dist"}
    for name, content in files.items():
        (folder / name).write_bytes(content)
        found[f"wheelhouse/{name}.whl"] = folder / name
    return found


@given(content=st.binary(max_size=3000))
def test_the_stream_is_a_tar_archive_with_the_job_last(tmp_path_factory: pytest.TempPathFactory, content: bytes):
    files = written(tmp_path_factory.mktemp("files"), extra=content)
    with tarfile.open(fileobj=io.BytesIO(asyncio.run(packed(files)))) as archive:
        assert archive.getnames() == [DIST, "wheelhouse/extra.whl", JOB_MEMBER]
        found = {name: archive.extractfile(name).read() for name in archive.getnames()}  # type: ignore[union-attr]
    assert found["wheelhouse/extra.whl"] == content
    assert msgspec.json.decode(found[JOB_MEMBER], type=GuestJob) == JOB


async def test_a_file_that_grows_meanwhile_is_sent_as_it_was(tmp_path: Path):
    files = written(tmp_path)
    stream = tar_stream(JOB, files)
    header = await anext(stream)
    files[DIST].write_bytes(b"the distribution, and more")
    data = header + b"".join([piece async for piece in stream])
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.extractfile(DIST).read() == b"the distribution"  # type: ignore[union-attr]


async def test_a_file_that_shrinks_meanwhile_is_told(tmp_path: Path):
    files = written(tmp_path)
    stream = tar_stream(JOB, files)
    await anext(stream)
    files[DIST].write_bytes(b"")
    with pytest.raises(InfrastructureError, match="became shorter"):
        await anext(stream)


@pytest.mark.parametrize(
    "name",
    [
        "job.json",
        "dist/",
        "dist/../x",
        "dist/a/b",
        "/etc/passwd",
        "wheelhouse/.x",
        "dist/a b",
        "dist/a\n",
        "dist/-a",
        "x",
    ],
)
async def test_names_that_the_contract_does_not_know_are_refused(tmp_path: Path, name: str):
    files = written(tmp_path)
    with pytest.raises(UsageError, match="no inbox may hold"):
        check_names(JOB, files | {name: files[DIST]})


async def test_a_job_without_its_distribution_is_refused(connected: GuestSession, tmp_path: Path):
    files = {"wheelhouse/x.whl": written(tmp_path)[DIST]}
    with pytest.raises(UsageError, match="is not among the files"):
        await connected.deliver(JOB, files)


async def test_what_is_delivered_lies_in_the_inbox(guest: Guest, connected: GuestSession, tmp_path: Path):
    big = bytes(range(256)) * 4000
    sent = await connected.deliver(JOB, written(tmp_path, big=big, empty=b""))
    folder = guest.inbox / "job-1"
    assert (folder / DIST).read_bytes() == b"the distribution"
    assert (folder / "wheelhouse/big.whl").read_bytes() == big
    assert (folder / "wheelhouse/empty.whl").read_bytes() == b""
    assert msgspec.json.decode((folder / "job.json").read_bytes(), type=GuestJob) == JOB
    assert sorted(path.name for path in folder.iterdir()) == ["dist", "job.json", "wheelhouse"]
    assert sent > len(big)


async def test_a_job_whose_inbox_is_there_already_is_not_delivered_again(connected: GuestSession, tmp_path: Path):
    files = written(tmp_path)
    await connected.deliver(JOB, files)
    with pytest.raises(GuestUnreachable, match="File exists"):
        await connected.deliver(JOB, files)


async def test_a_guest_whose_disk_is_full_says_so_and_gets_no_job(
    guest: Guest, connected: GuestSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # the limit on a file's size stands for the disk: the guest's tar really fails to write
    monkeypatch.setattr(session, "_UNPACK", "ulimit -f 8; trap '' XFSZ; " + session._UNPACK)
    with pytest.raises(GuestUnreachable, match=r"could not take the job: tar: wheelhouse/big\.whl: Wrote only"):
        await connected.deliver(JOB, written(tmp_path, big=bytes(3_000_000)))
    assert not (guest.inbox / "job-1/job.json").exists()
    assert connected.connected


async def test_a_guest_that_keeps_less_than_was_sent_gets_no_job(
    guest: Guest, connected: GuestSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(session, "_UNPACK", session._UNPACK.replace("-f -\n", "-f -; : >wheelhouse/a.whl\n"))
    with pytest.raises(GuestUnreachable, match="could not take the job"):
        await connected.deliver(JOB, written(tmp_path, a=b"content"))
    assert not (guest.inbox / "job-1/job.json").exists()


@pytest.mark.timeout(8)
async def test_a_guest_that_does_not_take_anything_is_given_up(
    connected: GuestSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(session, "_UNPACK", "sleep 9")
    with pytest.raises(GuestUnreachable, match=r"did not take the job within 0\.2 s"):
        await connected.deliver(JOB, written(tmp_path, big=bytes(8_000_000)), timeout_s=0.2)


async def test_a_server_that_goes_away_ends_a_delivery_at_once(
    guest: Guest, connected: GuestSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(session, "_UNPACK", "sleep 9")
    delivering = asyncio.create_task(connected.deliver(JOB, written(tmp_path, big=bytes(8_000_000))))
    await asyncio.sleep(0.1)
    guest.break_connections()
    with pytest.raises(GuestUnreachable, match=r"connection failed|closed"):
        await delivering


@pytest.mark.parametrize("field", ["records", "outbox"])
async def test_a_file_that_cannot_be_read_is_no_fault_of_the_guest(connected: GuestSession, tmp_path: Path, field: Any):
    with pytest.raises(FileNotFoundError):
        await connected.deliver(JOB, written(tmp_path) | {f"wheelhouse/{field}.whl": tmp_path / "nowhere"})
