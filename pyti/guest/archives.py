"""Opens what the package's author packed: bounded, and nothing lands outside its folder.

Python 3.11.2 has no extraction filters, so the rules stand here: regular files and folders, links only to places
inside the tree, no absolute or climbing names, no devices, no name twice as different things, bounded count and size.
"""

from __future__ import annotations

import lzma
import posixpath
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

__all__ = ["BadArchive", "read_wheel", "unpack_sdist"]

MAX_MEMBERS = 200_000
MAX_BYTES = 4 * 1024 * 1024 * 1024
MAX_METADATA = 4 * 1024 * 1024
MAX_NAME = 1024


class BadArchive(Exception):
    """The archive is malformed, or must not be unpacked."""


_MALFORMED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    LookupError,
    OverflowError,
)
"""What the standard library raises on archives that are none: a link to no member, say, is a ``KeyError``."""


@dataclass(frozen=True)
class _Member:
    name: str
    content: IO[bytes] | None
    size: int
    link: str | None
    executable: bool


def read_wheel(path: Path, name: str) -> bytes:
    """Return the content of ``name`` (``METADATA``, ``RECORD``, …) in the wheel's ``.dist-info`` folder."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if len(entries) > MAX_MEMBERS:
                raise BadArchive(f"{len(entries)} members are too many")
            found = [
                entry
                for entry in entries
                if entry.filename.count("/") == 1 and entry.filename.endswith(f".dist-info/{name}")
            ]
            if len(found) != 1:
                raise BadArchive(f"{len(found)} files are named *.dist-info/{name}; a wheel has one")
            with archive.open(found[0]) as file:
                content = file.read(MAX_METADATA + 1)
    except _MALFORMED as error:
        raise BadArchive(f"not a readable wheel: {error}") from error
    if len(content) > MAX_METADATA:
        raise BadArchive(f"{name} is larger than {MAX_METADATA} bytes")
    return content


def unpack_sdist(path: Path, target: Path) -> Path:
    """Unpack an sdist into the empty folder ``target``; returns its one top folder."""
    try:
        members = _from_zip(path) if path.suffix == ".zip" else _from_tar(path)
        _write(members, target)
    except _MALFORMED as error:
        raise BadArchive(f"cannot be unpacked: {error}") from error
    tops = sorted(target.iterdir())
    if len(tops) != 1 or not tops[0].is_dir():
        raise BadArchive(f"an sdist has one top folder; this one has {len(tops)} entries")
    return tops[0]


def _from_tar(path: Path) -> Iterator[_Member]:
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isdir():
                yield _Member(member.name, None, 0, None, executable=False)
            elif member.issym():
                yield _Member(member.name, None, 0, member.linkname, executable=False)
            elif member.islnk() or member.isreg():
                file = archive.getmember(member.linkname) if member.islnk() else member
                if not file.isreg():
                    raise BadArchive(f"{member.name[:100]!r} is a link to something that is no file")
                content = archive.extractfile(file)
                yield _Member(member.name, content, file.size, None, executable=bool(file.mode & 0o100))
            else:
                raise BadArchive(f"{member.name[:100]!r} is neither file, folder nor link")


def _from_zip(path: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.is_dir():
                yield _Member(entry.filename.rstrip("/"), None, 0, None, executable=False)
            else:
                with archive.open(entry) as content:
                    executable = bool(entry.external_attr >> 16 & 0o100)
                    yield _Member(entry.filename, content, entry.file_size, None, executable=executable)


def _write(members: Iterator[_Member], target: Path) -> None:
    links: set[str] = set()
    total = 0
    for count, member in enumerate(members, 1):
        name = posixpath.normpath(member.name)
        if count > MAX_MEMBERS:
            raise BadArchive(f"more than {MAX_MEMBERS} members")
        if name == "." and member.content is None:
            continue
        if len(name) > MAX_NAME or name.startswith(("/", "../")) or name == ".." or "\0" in name:
            raise BadArchive(f"the name {member.name[:100]!r} leads outside")
        parts = name.split("/")
        if any("/".join(parts[: depth + 1]) in links for depth in range(len(parts))):
            raise BadArchive(f"{member.name[:100]!r} lies below a link")
        destination = target / name
        destination.parent.mkdir(parents=True, exist_ok=True)
        if member.link is not None:
            aim = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.link))
            if member.link.startswith("/") or aim.split("/")[0] != parts[0]:
                raise BadArchive(f"the link {member.name[:100]!r} leads outside")
            destination.symlink_to(member.link)
            links.add(name)
        elif member.content is None:
            destination.mkdir(exist_ok=True)
        else:
            total += member.size
            if total > MAX_BYTES:
                raise BadArchive(f"unpacks to more than {MAX_BYTES} bytes")
            with destination.open("wb") as file:
                shutil.copyfileobj(member.content, file)
                if file.tell() > member.size:
                    raise BadArchive(f"{member.name[:100]!r} is larger than its header says")
            destination.chmod(0o755 if member.executable else 0o644)
