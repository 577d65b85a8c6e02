"""What an sdist needs to be built, found without running its build backend where that is certain enough.

``build-system.requires`` is static (PEP 518). What ``get_requires_for_build_wheel`` would add is known for backends
that add nothing, and for setuptools when nothing in the sdist's top folder speaks of ``setup_requires``; otherwise a
guest has to be asked. Decision 0044 tells why.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from pyti.errors import MalformedArchive
from pyti.index.archive import ArchiveSummary
from pyti.index.metadata import pyproject

__all__ = ["LEGACY_REQUIRES", "BuildRequirements", "build_requirements"]

LEGACY_REQUIRES = ("setuptools>=40.8.0",)
"""What PEP 517 and PEP 518 say for an sdist without a ``[build-system]`` table."""
WHEEL = "wheel"
"""setuptools before 70.1 asks for it through ``get_requires_for_build_wheel``."""
SETUPTOOLS = frozenset({"setuptools.build_meta", "setuptools.build_meta:__legacy__"})
ADDS_NOTHING = frozenset({"flit_core.buildapi", "poetry.core.masonry.api", "uv_build"})
"""Backends whose ``get_requires_for_build_wheel`` answers nothing for any wheel (not an editable one)."""
CONFIGURED = {"hatchling.build": "hatch", "pdm.backend": "pdm"}
"""Backends that add what their own ``[tool.…]`` table says, and where it is."""
MAY_ADD = re.compile(r"'(hooks|dependencies|require-runtime-\w+|run-setuptools|custom-hook)'")
DYNAMIC_WORD = re.compile(rb"setup_requires|fetch_build_eggs")
MAX_REQUIRES = 500


@dataclass(frozen=True)
class BuildRequirements:
    """What must be in the wheelhouse to build an sdist; ``complete`` is false when a guest has to be asked for more."""

    requires: tuple[str, ...]
    backend: str
    complete: bool


def build_requirements(summary: ArchiveSummary, filename: str) -> BuildRequirements:
    """Read a checked sdist's build requirements. Raises ``MalformedArchive`` when they are no requirements."""
    table = pyproject(summary, filename).get("build-system")
    if table is None:
        table = {"requires": list(LEGACY_REQUIRES), "build-backend": "setuptools.build_meta:__legacy__"}
    if not isinstance(table, dict):
        raise MalformedArchive(f"build-system in the pyproject.toml of {filename} is no table.")
    requires = table.get("requires")
    backend = table.get("build-backend", "setuptools.build_meta:__legacy__")
    if not isinstance(requires, list) or len(requires) > MAX_REQUIRES or not isinstance(backend, str):
        raise MalformedArchive(f"build-system.requires in the pyproject.toml of {filename} is no list of requirements.")
    try:
        for text in requires:
            Requirement(text)
    except (InvalidRequirement, TypeError) as error:
        raise MalformedArchive(f"a build requirement of {filename} is malformed: {str(error)[:300]}") from error
    extra = (WHEEL,) if backend in SETUPTOOLS else ()
    tool = pyproject(summary, filename).get("tool", {})
    return BuildRequirements((*requires, *extra), backend, _is_complete(table, tool, backend, summary))


def _is_complete(table: dict[str, Any], tool: Any, backend: str, summary: ArchiveSummary) -> bool:
    if "backend-path" in table:  # the sdist brings its own backend, which may say anything
        return False
    if backend in ADDS_NOTHING:
        return True
    if backend in CONFIGURED and "hatch.toml" not in summary.kept:
        own = tool.get(CONFIGURED[backend], {}) if isinstance(tool, dict) else {}
        return not (isinstance(own, dict) and "build" in own and MAY_ADD.search(repr(own["build"])))
    if backend in SETUPTOOLS:
        sources = (data for name, data in summary.kept.items() if name.endswith(".py") or name == "setup.cfg")
        return not any(DYNAMIC_WORD.search(data) for data in sources)
    return False
