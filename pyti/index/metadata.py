"""What a distribution says of itself without running anything: METADATA of wheels, and of sdists what may be trusted.

An sdist's PKG-INFO is trusted when its version is at least 2.2 and ``Requires-Dist`` is not dynamic (PEP 643), else
pyproject.toml's ``[project]`` when ``dependencies`` are neither absent nor dynamic (PEP 621).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.dependency_groups import resolve_dependency_groups
from packaging.errors import ExceptionGroup as PackagingErrors
from packaging.metadata import parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import InvalidVersion, Version

from pyti.errors import MalformedArchive
from pyti.index.archive import ArchiveSummary, check_archive
from pyti.messages import DistributionKind

__all__ = [
    "StaticMetadata",
    "dependency_groups",
    "parse_metadata",
    "pyproject",
    "read_metadata",
    "sdist_metadata",
    "wheel_metadata",
]

MAX_REQUIREMENTS = 5000
"""The widest projects on public indexes, with all extras, have some hundreds."""
FIRST_TRUSTED = Version("2.2")
"""The metadata version that introduced ``Dynamic`` (PEP 643)."""


@dataclass(frozen=True)
class StaticMetadata:
    """Name, version and requirements of one distribution."""

    name: NormalizedName
    version: Version
    requires_dist: tuple[Requirement, ...] = ()
    requires_python: str | None = None
    extras: tuple[NormalizedName, ...] = ()


def parse_metadata(data: bytes, what: str) -> StaticMetadata:
    """Read core metadata. Raises ``MalformedArchive`` naming ``what`` when it is none."""
    try:
        raw, _ = parse_email(data)
        name, version = raw.get("name"), raw.get("version")
        if not name or not version:
            raise ValueError("it has no Name or no Version")
        texts = raw.get("requires_dist", [])
        if len(texts) > MAX_REQUIREMENTS:
            raise ValueError(f"it has more than {MAX_REQUIREMENTS} requirements")
        return StaticMetadata(
            name=canonicalize_name(name, validate=True),
            version=Version(version),
            requires_dist=tuple(Requirement(text) for text in texts),
            requires_python=raw.get("requires_python"),
            extras=tuple(canonicalize_name(extra) for extra in raw.get("provides_extra", [])),
        )
    except (ValueError, TypeError, LookupError, RecursionError, InvalidVersion, PackagingErrors) as error:
        raise MalformedArchive(f"the metadata of {what} is malformed: {str(error).splitlines()[0][:300]}") from error


def read_metadata(path: Path, summary: ArchiveSummary | None = None) -> StaticMetadata | None:
    """Read the static metadata of a wheel or sdist; ``None`` for an sdist that must be asked in a guest.

    Checks the archive unless its ``summary`` is given; reads the whole file then, so call it in a thread.
    Raises ``MalformedArchive``.
    """
    kind = DistributionKind.WHEEL if path.name.endswith(".whl") else DistributionKind.SDIST
    summary = summary or check_archive(path, kind)
    if kind is DistributionKind.SDIST:
        return sdist_metadata(summary, path.name)
    return wheel_metadata(summary, path.name)


def wheel_metadata(summary: ArchiveSummary, filename: str) -> StaticMetadata:
    """Read a checked wheel's METADATA. Raises ``MalformedArchive``."""
    data = summary.kept.get("METADATA")
    if data is None:
        raise MalformedArchive(f"the METADATA of {filename} is too large.")
    return parse_metadata(data, filename)


def sdist_metadata(summary: ArchiveSummary, filename: str) -> StaticMetadata | None:
    """Read what a checked sdist says for certain, or ``None``: then its metadata is prepared in a guest.

    Raises ``MalformedArchive`` when PKG-INFO or pyproject.toml is there but malformed.
    """
    data = summary.kept.get("PKG-INFO")
    if data is None:
        return None
    raw, _ = parse_email(data)
    try:
        trusted = Version(raw.get("metadata_version", "1.0")) >= FIRST_TRUSTED
    except InvalidVersion:
        return None
    dynamic = {field.lower() for field in raw.get("dynamic", [])}
    if trusted and not dynamic & {"requires-dist", "provides-extra", "name", "version"}:
        return parse_metadata(data, filename)
    project = pyproject(summary, filename).get("project")
    if not isinstance(project, dict) or not isinstance(project.get("dependencies"), list):
        return None
    undecided = set(map(str, project.get("dynamic", [])))
    if undecided & {"dependencies", "optional-dependencies"} or not raw.get("version"):
        return None
    return _from_project(project, raw.get("version") or "", filename)


def pyproject(summary: ArchiveSummary, filename: str) -> Mapping[str, Any]:
    """Read a checked sdist's pyproject.toml; empty when it has none. Raises ``MalformedArchive``."""
    data = summary.kept.get("pyproject.toml")
    if data is None:
        return {}
    try:
        return tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedArchive(f"the pyproject.toml of {filename} is malformed: {str(error)[:300]}") from error


def dependency_groups(table: Mapping[str, Any], names: tuple[str, ...]) -> tuple[str, ...]:
    """Give the requirements of those PEP 735 groups among ``names`` that exist; malformed groups count as absent."""
    groups = table.get("dependency-groups")
    if not isinstance(groups, dict):
        return ()
    found: list[str] = []
    for name in groups:
        if re.sub(r"[-_.]+", "-", str(name)).lower() in names:
            try:
                found += resolve_dependency_groups(groups, str(name))
            except (ValueError, TypeError, LookupError, RecursionError, PackagingErrors):
                continue
    return tuple(dict.fromkeys(found[:MAX_REQUIREMENTS]))


def _from_project(project: Mapping[str, Any], version: str, filename: str) -> StaticMetadata:
    """Read ``[project]``; the requirements of extras get their markers."""
    try:
        requirements = [Requirement(text) for text in project["dependencies"]]
        extras = project.get("optional-dependencies", {})
        for extra, texts in extras.items():
            for text in texts:
                bare, _, marker = text.partition(";")
                condition = f'extra == "{canonicalize_name(extra, validate=True)}"'
                requirements.append(Requirement(f"{bare} ; {f'({marker}) and ' if marker.strip() else ''}{condition}"))
        return StaticMetadata(
            name=canonicalize_name(project["name"], validate=True),
            version=Version(version),
            requires_dist=tuple(requirements[:MAX_REQUIREMENTS]),
            requires_python=project.get("requires-python"),
            extras=tuple(canonicalize_name(extra) for extra in extras),
        )
    except (ValueError, TypeError, LookupError, AttributeError, InvalidRequirement) as error:
        raise MalformedArchive(f"the [project] table of {filename} is malformed: {str(error)[:300]}") from error
