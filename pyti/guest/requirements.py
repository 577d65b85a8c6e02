"""Requirement strings: just enough to hand them to the installer. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .metadata import normalize

__all__ = ["available", "missing", "name_of", "specialise"]

_NAME = re.compile(r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)")
_EXTRA = re.compile(
    r"""\bextra\s*(==|!=)\s*(?P<q>['"])(.*?)(?P=q)|(?P<r>['"])([A-Za-z0-9._-]*)(?P=r)\s*(==|!=)\s*extra\b"""
)
_TRUE = "python_version >= '0'"
_FALSE = "python_version < '0'"


def name_of(requirement: str) -> str:
    """Return the normalized name of the project that is required, or an empty string."""
    match = _NAME.match(requirement)
    return normalize(match[1]) if match else ""


def specialise(requirements: Iterable[str], extras: Iterable[str]) -> list[str]:
    """``Requires-Dist`` lines as plain requirements, each ``extra == …`` decided by the chosen extras.

    What only an extra that was not chosen asks for stays away; other markers are left for the installer to decide.
    """
    chosen = {normalize(extra) for extra in extras}

    def decide(match: re.Match[str]) -> str:
        operator, extra = (match[1], match[3]) if match[1] else (match[6], match[5])
        return _TRUE if (normalize(extra) in chosen) == (operator == "==") else _FALSE

    found = []
    for requirement in requirements:
        need, separator, marker = requirement.rpartition(";") if ";" in requirement else (requirement, "", "")
        decided = _EXTRA.sub(decide, marker)
        if decided.strip("() ") == _FALSE or re.search(rf"\band\s+{re.escape(_FALSE)}\s*$", decided):
            continue
        if decided.strip("() ") == _TRUE:
            separator, decided = "", ""
        found.append(f"{need.strip()} ; {decided.strip()}" if separator else need.strip())
    return found


def available(filenames: Iterable[str]) -> set[str]:
    """Return the normalized names of the projects that a wheelhouse has files of."""
    found = set()
    for filename in filenames:
        if filename.endswith(".whl"):
            found.add(normalize(filename.split("-")[0]))
        elif match := re.match(r"(.+)-[^-]+\.(?:tar\.(?:gz|bz2|xz)|tgz|zip)$", filename):
            found.add(normalize(match[1]))
    return found


def missing(requirements: Iterable[str], filenames: Iterable[str]) -> list[str]:
    """Those requirements without a marker of whose project the wheelhouse has no file at all."""
    have = available(filenames)
    return [need for need in requirements if ";" not in need and name_of(need) not in have]
