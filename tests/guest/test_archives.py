from __future__ import annotations

import contextlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyti.guest.archives import BadArchive, read_wheel, unpack_sdist

from .conftest import sdist, wheel

FILES = {"setup.py": "print(1)\n", "pkg/__init__.py": ""}


def tar(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info, b"" if kind != tarfile.REGTYPE else b"content"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "target"
    folder.mkdir()
    return folder


def test_an_sdist_is_unpacked_as_it_is(tmp_path: Path, target: Path):
    top = unpack_sdist(sdist(tmp_path, "good", FILES), target)
    assert top == target / "good-1.0"
    assert (top / "setup.py").read_text() == "print(1)\n"
    assert (top / "pkg/__init__.py").read_text() == ""


def test_a_zip_is_an_sdist_too(tmp_path: Path, target: Path):
    with zipfile.ZipFile(tmp_path / "good-1.0.zip", "w") as archive:
        archive.writestr("good-1.0/setup.py", "print(1)\n")
        archive.writestr("good-1.0/empty/", "")
    top = unpack_sdist(tmp_path / "good-1.0.zip", target)
    assert (top / "setup.py").read_text() == "print(1)\n"
    assert (top / "empty").is_dir()


def test_links_inside_the_tree_stay_links(tmp_path: Path, target: Path):
    path = tar(
        tmp_path / "a.tar.gz",
        member("a/file"),
        member("a/soft", tarfile.SYMTYPE, "file"),
        member("a/hard", tarfile.LNKTYPE, "a/file"),
    )
    top = unpack_sdist(path, target)
    assert (top / "soft").is_symlink()
    assert (top / "soft").read_bytes() == (top / "hard").read_bytes() == b"content"


def test_only_the_right_to_execute_is_kept(tmp_path: Path, target: Path):
    info, content = member("a/run")
    info.mode = 0o6777
    top = unpack_sdist(tar(tmp_path / "a.tar.gz", (info, content)), target)
    assert (top / "run").stat().st_mode & 0o7777 == 0o755


BAD = {
    "a name that climbs": [member("a/../../x")],
    "an absolute name": [member("/etc/x")],
    "a link that climbs": [member("a/x"), member("a/l", tarfile.SYMTYPE, "../../etc")],
    "an absolute link": [member("a/l", tarfile.SYMTYPE, "/etc/passwd")],
    "a file below a link": [member("a/d/x"), member("a/l", tarfile.SYMTYPE, "d"), member("a/l/y")],
    "a file in the place of a link": [member("a/l", tarfile.SYMTYPE, "x"), member("a/l")],
    "a device": [member("a/null", tarfile.CHRTYPE)],
    "a fifo": [member("a/pipe", tarfile.FIFOTYPE)],
    "a hard link to nothing": [member("a/l", tarfile.LNKTYPE, "a/nowhere")],
    "a hard link to itself": [member("a/l", tarfile.LNKTYPE, "a/l")],
    "a file in the place of a folder": [member("a/d/x"), member("a/d")],
    "a name that is too long": [member("a/" + "x/" * 600)],
    "two top folders": [member("a/x"), member("b/x")],
    "no folder": [member("x")],
    "nothing": [],
}


@pytest.mark.parametrize("kind", BAD)
def test_an_archive_that_must_not_be_unpacked_is_refused(tmp_path: Path, target: Path, kind: str):
    with pytest.raises(BadArchive):
        unpack_sdist(tar(tmp_path / "a.tar.gz", *BAD[kind]), target)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar.gz", "target"]


def test_what_unpacks_to_too_much_is_refused(tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pyti.guest.archives.MAX_BYTES", 10)
    with pytest.raises(BadArchive, match="more than 10 bytes"):
        unpack_sdist(tar(tmp_path / "a.tar.gz", member("a/x"), member("a/y")), target)


def test_too_many_members_are_refused(tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pyti.guest.archives.MAX_MEMBERS", 2)
    with pytest.raises(BadArchive, match="more than 2 members"):
        unpack_sdist(tar(tmp_path / "a.tar.gz", *(member(f"a/{n}") for n in range(3))), target)


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("suffix", [".tar.gz", ".tar.xz", ".tar.bz2", ".zip"])
def test_damaged_bytes_are_a_bad_archive_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, data: st.DataObject
):
    folder = tmp_path_factory.mktemp("damaged")
    path = folder / f"a-1{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a-1/x", "content" * 50)
    else:
        with tarfile.open(path, f"w:{suffix[5:]}") as archive:
            archive.addfile(*_content("a-1/x"))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    (folder / "target").mkdir()
    with contextlib.suppress(BadArchive):
        unpack_sdist(path, folder / "target")
    assert {one.name for one in folder.iterdir()} == {path.name, "target"}


def _content(name: str) -> tuple[tarfile.TarInfo, io.BytesIO]:
    info = tarfile.TarInfo(name)
    info.size = 350
    return info, io.BytesIO(b"content" * 50)


def test_a_file_of_a_wheels_dist_info_is_read(tmp_path: Path):
    assert b"Name: good" in read_wheel(wheel(tmp_path, "good", {}), "METADATA")


def test_a_wheel_without_or_with_two_of_a_file_is_refused(tmp_path: Path):
    good = wheel(tmp_path, "good", {"other-1.dist-info/METADATA": "Name: other"})
    with pytest.raises(BadArchive, match="2 files are named"):
        read_wheel(good, "METADATA")
    with pytest.raises(BadArchive, match="0 files are named"):
        read_wheel(good, "NOWHERE")


def test_metadata_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pyti.guest.archives.MAX_METADATA", 20)
    with pytest.raises(BadArchive, match="larger than 20 bytes"):
        read_wheel(wheel(tmp_path, "good", {}), "METADATA")


@given(st.binary(max_size=300))
def test_what_is_no_wheel_is_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes):
    path = tmp_path_factory.mktemp("wheel") / "x.whl"
    path.write_bytes(content)
    with pytest.raises(BadArchive):
        read_wheel(path, "METADATA")
