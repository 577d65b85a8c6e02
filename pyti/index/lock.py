"""What was resolved, and its lock file: PEP 751 ``pylock.toml``, every file by hash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import tomli_w
from packaging.markers import Marker
from packaging.pylock import Package, PackageSdist, PackageWheel, Pylock
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from pyti.index.target import Target
from pyti.messages import DistributionKind

__all__ = ["LockedFile", "Resolution", "Role", "Statistics", "lock_text"]

Role = Literal["root", "runtime", "build", "test"]
ROLES: tuple[Role, ...] = ("root", "runtime", "build", "test")


@dataclass(frozen=True)
class LockedFile:
    """One file of the wheelhouse: where it is in the cache, and the strongest reason why it is there.

    A file that is needed at run time and for a build has the role ``runtime``; ``also_build`` tells the other.
    """

    name: str
    version: str
    filename: str
    kind: DistributionKind
    url: str | None
    sha256: str
    size: int
    path: Path
    role: Role
    also_build: bool = False
    uploaded: float | None = None
    requires_python: str | None = None


@dataclass(frozen=True)
class Statistics:
    """What a resolution cost: candidates tried, pages read, resolver rounds, guests asked for metadata."""

    candidates: int = 0
    pages: int = 0
    rounds: int = 0
    prepared: int = 0


@dataclass(frozen=True)
class Resolution:
    """Everything that a guest without a network needs, hash-locked."""

    files: tuple[LockedFile, ...]
    lock: str
    """The text of a ``pylock.toml``: root, runtime and test files; build files in ``[tool.pyti]``."""
    test_extras: tuple[str, ...] = ()
    """Extras of the root that its tests want and that were resolved."""
    test_requirements: tuple[str, ...] = ()
    """Requirements of the root's PEP 735 test groups that were resolved."""
    notes: tuple[str, ...] = ()
    stats: Statistics = Statistics()

    @property
    def wheelhouse(self) -> tuple[LockedFile, ...]:
        """All the files but the root."""
        return tuple(file for file in self.files if file.role != "root")


def lock_text(files: Sequence[LockedFile], target: Target, extras: Sequence[str], index: str) -> str:
    """Write the lock. ``index`` is the index's URL without secrets.

    One version of a package can be locked in ``packages`` (there is one environment); what builds sdists may need
    other versions, so build requirements are listed with their hashes in ``tool.pyti.build``.
    """
    full = target.markers["python_full_version"]
    pylock = Pylock(
        lock_version=Version("1.0"),
        created_by="pyti",
        environments=[
            Marker(
                f'python_full_version == "{full}" and sys_platform == "{target.markers["sys_platform"]}" '
                f'and platform_machine == "{target.markers["platform_machine"]}"'
            )
        ],
        requires_python=SpecifierSet(f"=={target.python_full_version.major}.{target.python_full_version.minor}.*"),
        extras=[canonicalize_name(extra) for extra in extras],
        packages=[_package(file, index) for file in _sorted(files) if file.role != "build"],
        tool={"pyti": {"build": [_listed(file) for file in _sorted(files) if file.role == "build" or file.also_build]}},
    )
    pylock.validate()
    return tomli_w.dumps(dict(pylock.to_dict()))


def _sorted(files: Sequence[LockedFile]) -> list[LockedFile]:
    return sorted(files, key=lambda file: (file.name, Version(file.version), file.filename))


def _package(file: LockedFile, index: str) -> Package:
    uploaded = datetime.fromtimestamp(file.uploaded, UTC) if file.uploaded is not None else None
    hashes = {"sha256": file.sha256}
    place = file.url or None
    path = None if file.url else file.filename
    sdist = wheels = None
    if file.kind is DistributionKind.WHEEL:
        wheels = [
            PackageWheel(name=file.filename, upload_time=uploaded, url=place, path=path, size=file.size, hashes=hashes)
        ]
    else:
        sdist = PackageSdist(
            name=file.filename, upload_time=uploaded, url=place, path=path, size=file.size, hashes=hashes
        )
    return Package(
        name=canonicalize_name(file.name),
        version=Version(file.version),
        requires_python=SpecifierSet(file.requires_python) if file.requires_python else None,
        index=index if file.url else None,
        sdist=sdist,
        wheels=wheels,
        tool={"pyti": {"role": file.role}},
    )


def _listed(file: LockedFile) -> dict[str, str | int]:
    listed: dict[str, str | int] = {"name": file.name, "version": file.version, "file": file.filename}
    if file.url:
        listed["url"] = file.url
    return {**listed, "size": file.size, "sha256": file.sha256}
