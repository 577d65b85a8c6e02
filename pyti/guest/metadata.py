"""Core metadata, from wherever it stands. Pure."""

from __future__ import annotations

import email.parser
import email.policy
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Metadata", "normalize", "parse_metadata", "parse_pyproject", "static_requirements"]

MAX_ITEMS = 5000
MAX_TEXT = 2000


def normalize(name: str) -> str:
    """Return a project's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


@dataclass(frozen=True)
class Metadata:
    """Core metadata as the tasks need it."""

    name: str
    version: str
    metadata_version: str = ""
    summary: str = ""
    license: str = ""
    author: str = ""
    requires_python: str = ""
    requires_dist: tuple[str, ...] = ()
    provides_extra: tuple[str, ...] = ()
    classifiers: tuple[str, ...] = ()
    project_urls: tuple[str, ...] = ()
    dynamic: tuple[str, ...] = ()
    description_length: int = 0
    description_content_type: str = ""
    keys: tuple[str, ...] = field(default=(), repr=False)

    def data(self) -> dict[str, Any]:
        """Return what the ``metadata`` task reports."""
        return {
            "name": self.name,
            "version": self.version,
            "metadata_version": self.metadata_version,
            "summary": self.summary,
            "license": self.license,
            "author": self.author,
            "requires_python": self.requires_python,
            "requires_dist": list(self.requires_dist),
            "provides_extra": list(self.provides_extra),
            "classifiers": list(self.classifiers),
            "project_urls": list(self.project_urls),
            "description_length": self.description_length,
            "description_content_type": self.description_content_type,
        }


def parse_metadata(content: bytes) -> Metadata:
    """Read a ``METADATA`` or ``PKG-INFO`` file; ``ValueError`` when name or version are missing."""
    message = email.parser.BytesParser(policy=email.policy.compat32).parsebytes(content)

    def one(key: str) -> str:
        value = str(message.get(key, ""))
        return "" if value == "UNKNOWN" else value[:MAX_TEXT]

    def many(key: str) -> tuple[str, ...]:
        return tuple(str(value)[:MAX_TEXT] for value in message.get_all(key, [])[:MAX_ITEMS])

    name, version = one("Name"), one("Version")
    if not name or not version:
        raise ValueError("the metadata has no name or no version")
    body = message.get_payload()
    description = body if isinstance(body, str) and body.strip() else str(message.get("Description", ""))
    return Metadata(
        name=name,
        version=version,
        metadata_version=one("Metadata-Version"),
        summary=one("Summary"),
        license=one("License-Expression") or one("License"),
        author=one("Author") or one("Author-email"),
        requires_python=one("Requires-Python"),
        requires_dist=many("Requires-Dist"),
        provides_extra=many("Provides-Extra"),
        classifiers=many("Classifier"),
        project_urls=many("Project-URL") or ((f"Homepage, {one('Home-page')}",) if one("Home-page") else ()),
        dynamic=tuple(value.lower() for value in many("Dynamic")),
        description_length=len(description),
        description_content_type=one("Description-Content-Type"),
    )


def parse_pyproject(content: bytes) -> dict[str, Any]:
    """Return the tables of ``pyproject.toml``; ``ValueError`` when it is not valid TOML."""
    try:
        return tomllib.loads(content.decode("utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def static_requirements(metadata: Metadata, pyproject: Mapping[str, Any]) -> tuple[str, tuple[str, ...]] | None:
    """Where an sdist's run-time requirements stand for certain, and which they are; ``None`` when only a build tells.

    PKG-INFO counts from metadata 2.2 on when it does not call them dynamic (PEP 643); else ``[project]`` counts when
    it does not (PEP 621). ``ValueError`` when ``[project]`` is malformed.
    """
    version = tuple(int(part) for part in re.findall(r"[0-9]{1,9}", metadata.metadata_version))
    if version >= (2, 2) and not {"requires-dist", "provides-extra"} & set(metadata.dynamic):
        return "pkg-info", metadata.requires_dist
    project = pyproject.get("project")
    if not isinstance(project, dict):
        return None
    if {"dependencies", "optional-dependencies"} & set(_texts(project, "dynamic")):
        return None
    found = _texts(project, "dependencies")
    extras = project.get("optional-dependencies", {})
    if not isinstance(extras, dict):
        raise ValueError("optional-dependencies in [project] is no table")
    for extra in extras:
        found += [_with_extra(requirement, extra) for requirement in _texts(extras, extra)]
    return "pyproject", tuple(found[:MAX_ITEMS])


def _texts(table: Mapping[str, Any], key: str) -> list[str]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{key[:100]} in [project] is no list of texts")
    return list(value)


def _with_extra(requirement: str, extra: str) -> str:
    need, separator, marker = requirement.partition(";")
    condition = f'extra == "{extra}"'
    return f"{need.strip()} ; ({marker.strip()}) and {condition}" if separator else f"{need.strip()} ; {condition}"
