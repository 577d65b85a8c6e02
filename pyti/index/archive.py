"""Archives are checked before anything opens them: one pass over every byte, bounded, nothing written to disk."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from pyti.errors import MalformedArchive
from pyti.messages import DistributionKind

__all__ = ["DEFAULT_LIMITS", "ArchiveLimits", "ArchiveSummary", "Member", "Tree", "check_archive"]

MIB = 1024 * 1024
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
MAX_PATH = 1024
"""Linux allows 4096; no wheel or sdist of the thousand most downloaded comes near 300."""
MAX_DEPTH = 64
MAX_NOTES = 20


@dataclass(frozen=True)
class ArchiveLimits:
    """What an archive may unpack to. The defaults admit the largest machine learning wheels."""

    max_members: int = 200_000
    max_bytes: int = 8192 * MIB
    """All members together, unpacked."""
    max_ratio: float = 200.0
    """Unpacked over packed, once ``ratio_from`` bytes are unpacked; deflate's own limit is 1032."""
    ratio_from: int = 32 * MIB
    max_kept: int = 8 * MIB
    """One of the few members that are kept in memory (METADATA, pyproject.toml …)."""


DEFAULT_LIMITS = ArchiveLimits()


@dataclass(frozen=True)
class Member:
    """One entry of an archive; ``target`` is a link's."""

    path: str
    size: int = 0
    directory: bool = False
    target: str | None = None
    hard: bool = False


@dataclass(frozen=True)
class ArchiveSummary:
    """What a checked archive holds: its one folder (``top``: an sdist's root, a wheel's ``.dist-info``) and figures."""

    kind: DistributionKind
    top: str
    members: int
    unpacked_bytes: int
    packed_bytes: int
    links: int = 0
    notes: tuple[str, ...] = ()
    kept: dict[str, bytes] = field(default_factory=dict, repr=False)
    """The members that describe the package, by their path below ``top``; those over ``max_kept`` are left out."""


class Tree:
    """Collects an archive's members, refuses the dangerous ones, and counts against the limits."""

    def __init__(self, limits: ArchiveLimits, packed_bytes: int) -> None:
        self.limits = limits
        self.packed_bytes = packed_bytes
        self.members: dict[str, Member] = {}
        self.folded: dict[str, str] = {}
        self.unpacked = 0
        self.links = 0
        self.notes: list[str] = []

    def path(self, raw: str) -> str:
        """Check a member's name and give it without leading ``./`` and trailing ``/``. Raises ``MalformedArchive``."""
        shown = ascii(raw[:120])
        if CONTROL.search(raw) or "\\" in raw:
            raise MalformedArchive(f"a member's name has a control character or a backslash: {shown}.")
        if raw.startswith("/") or re.match(r"[A-Za-z]:", raw):
            raise MalformedArchive(f"a member has an absolute path: {shown}.")
        if len(raw) > MAX_PATH:
            raise MalformedArchive(f"a member's path is longer than {MAX_PATH} characters: {shown}.")
        try:
            raw.encode()
        except UnicodeEncodeError as error:
            raise MalformedArchive(f"a member's name is not Unicode text: {shown}.") from error
        parts = [part for part in raw.split("/") if part not in {"", "."}]
        if ".." in parts:
            raise MalformedArchive(f"a member's path leaves the archive: {shown}.")
        if len(parts) > MAX_DEPTH or any(len(part.encode()) > 255 for part in parts):
            raise MalformedArchive(f"a member's path is too deep, or a part of it too long: {shown}.")
        return "/".join(parts)

    def add(self, member: Member) -> None:
        """Take one member whose path was checked. Raises ``MalformedArchive``."""
        if len(self.members) >= self.limits.max_members:
            raise MalformedArchive(f"the archive has more than {self.limits.max_members} members.")
        path = member.path
        if not path:
            if member.directory:
                return
            raise MalformedArchive("a member that is no folder has an empty name.")
        earlier = self.members.get(path)
        if earlier is not None and not (earlier.directory and member.directory):
            raise MalformedArchive(f"two members have the same path: {path[:120]!a}.")
        self.members[path] = member
        self._note_fold(path)
        if member.target is not None:
            self.links += 1

    def grow(self, count: int) -> None:
        """Count unpacked bytes as they appear. Raises ``MalformedArchive`` for a decompression bomb."""
        self.unpacked += count
        if self.unpacked > self.limits.max_bytes:
            raise MalformedArchive(f"the archive unpacks to more than {self.limits.max_bytes} bytes.")
        if self.unpacked > self.limits.ratio_from and self.unpacked > self.limits.max_ratio * max(1, self.packed_bytes):
            raise MalformedArchive(
                f"the archive unpacks to more than {self.limits.max_ratio:g} times its size: a decompression bomb."
            )

    def note(self, text: str) -> None:
        """Keep something worth telling that is no reason to refuse."""
        if len(self.notes) < MAX_NOTES:
            self.notes.append(text)

    def finish(self) -> None:
        """Check what only the whole tells: files used as folders, and links' targets. Raises ``MalformedArchive``."""
        for path, member in self.members.items():
            parent = path
            while parent := parent.rpartition("/")[0]:
                above = self.members.get(parent)
                if above is not None and not above.directory:
                    raise MalformedArchive(f"{path[:120]!a} lies below a member that is no folder.")
            if member.target is not None:
                self._check_link(member)

    def _check_link(self, member: Member) -> None:
        target = member.target or ""
        shown = f"{member.path[:120]!a} → {target[:120]!a}"
        if not target or target.startswith("/") or CONTROL.search(target) or "\\" in target or len(target) > MAX_PATH:
            raise MalformedArchive(f"a link points out of the archive: {shown}.")
        resolved: list[str] = [] if member.hard else member.path.split("/")[:-1]
        top = member.path.split("/")[0]
        for part in target.split("/"):
            if part == "..":
                if not resolved:
                    raise MalformedArchive(f"a link points out of the archive: {shown}.")
                resolved.pop()
            elif part not in {"", "."}:
                resolved.append(part)
            # A link through a link could mean another place than its text says.
            via = self.members.get("/".join(resolved))
            if via is not None and via.target is not None and part != target.split("/")[-1]:
                raise MalformedArchive(f"a link leads through another link: {shown}.")
        if not resolved or resolved[0] != top:
            raise MalformedArchive(f"a link points out of the archive's folder: {shown}.")
        if member.hard:
            aim = self.members.get("/".join(resolved))
            if aim is None or aim.directory or aim.target is not None:
                raise MalformedArchive(f"a hard link points at no file of the archive: {shown}.")

    def _note_fold(self, path: str) -> None:
        other = self.folded.setdefault(path.casefold(), path)
        if other != path:
            self.note(f"{path[:120]!a} and {other[:120]!a} differ in letter case only")


def check_archive(path: Path, kind: DistributionKind, limits: ArchiveLimits = DEFAULT_LIMITS) -> ArchiveSummary:
    """Check a downloaded wheel or sdist; reads the whole file, so call it in a thread.

    The file's name must be its proper one. Raises ``MalformedArchive`` naming what is wrong, and nothing else for any
    bytes whatsoever; ``OSError`` when the file cannot be read.
    """
    from pyti.index.tar_archive import walk_tar
    from pyti.index.zip_archive import walk_zip

    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise MalformedArchive(f"{path.name} is not a regular file.")
        tree = Tree(limits, status.st_size)
        walk: Callable[[Path, Tree, Callable[[str], bool]], dict[str, bytes]]
        if kind is DistributionKind.WHEEL:
            name, version, _, _ = parse_wheel_filename(path.name)
            walk, wanted = walk_zip, _wanted_of_wheel
        else:
            name, version = parse_sdist_filename(path.name)
            walk, wanted = (walk_zip if path.name.endswith(".zip") else walk_tar), _wanted_of_sdist
        kept = walk(path, tree, wanted)
        tree.finish()
        top = _dist_info(tree, name, version) if kind is DistributionKind.WHEEL else _folder(tree, name, version)
    except MalformedArchive as error:
        raise MalformedArchive(f"{path.name}: {error.message}", remedy=error.remedy) from error
    except ValueError as error:
        raise MalformedArchive(f"{path.name}: {str(error)[:300]}") from error
    return ArchiveSummary(
        kind=kind,
        top=top,
        members=len(tree.members),
        unpacked_bytes=tree.unpacked,
        packed_bytes=tree.packed_bytes,
        links=tree.links,
        notes=tuple(tree.notes),
        kept={member.removeprefix(top + "/"): data for member, data in kept.items() if member.startswith(top + "/")},
    )


def _wanted_of_wheel(path: str) -> bool:
    folder, _, name = path.partition("/")
    return folder.endswith(".dist-info") and name in {"METADATA", "WHEEL", "entry_points.txt"}


def _wanted_of_sdist(path: str) -> bool:
    """Keep what tells the metadata and the build requirements, and every source that could name ``setup_requires``."""
    _, _, name = path.partition("/")
    return name in {"PKG-INFO", "pyproject.toml", "setup.cfg", "hatch.toml"} or (
        "/" not in name and name.endswith(".py")
    )


def _same(folder: str, name: str, version: Version) -> bool:
    """Tell whether ``folder`` is some spelling of ``name-version``."""
    for index, letter in enumerate(folder):
        if letter == "-" and canonicalize_name(folder[:index]) == name:
            try:
                if Version(folder[index + 1 :]) == version:
                    return True
            except InvalidVersion:
                continue
    return False


def _folder(tree: Tree, name: str, version: Version) -> str:
    tops = {path.split("/")[0] for path in tree.members}
    if len(tops) != 1:
        listed = ", ".join(ascii(top[:60]) for top in sorted(tops)[:5])
        raise MalformedArchive(f"an sdist has exactly one top-level folder; this one has {len(tops)}: {listed}.")
    top = tops.pop()
    if not _same(top, name, version):
        raise MalformedArchive(f"the sdist's folder is {top[:120]!a}, not {name}-{version}.")
    lone = tree.members.get(top)
    if lone is not None and not lone.directory:
        raise MalformedArchive("the sdist holds no folder.")
    return top


def _dist_info(tree: Tree, name: str, version: Version) -> str:
    tops = {path.split("/")[0] for path in tree.members}
    infos = sorted(top for top in tops if top.casefold().endswith(".dist-info"))
    if len(infos) != 1:
        raise MalformedArchive(f"a wheel has exactly one .dist-info folder; this one has {len(infos)}.")
    if not _same(infos[0].removesuffix(".dist-info"), name, version):
        raise MalformedArchive(f"the wheel's metadata folder is {infos[0][:120]!a}, not {name}-{version}.dist-info.")
    for needed in ("METADATA", "WHEEL", "RECORD"):
        member = tree.members.get(f"{infos[0]}/{needed}")
        if member is None or member.directory:
            raise MalformedArchive(f"the wheel has no {needed} file.")
    if tree.links:
        raise MalformedArchive("a wheel may not hold links.")
    return infos[0]
