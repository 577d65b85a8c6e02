"""Why a resolution is impossible, in words that a packager can act on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from packaging.utils import NormalizedName
from resolvelib.structs import RequirementInformation

from pyti.index.provider import Candidate, Want

__all__ = ["explain"]

SHOWN_CAUSES = 12
SHOWN_VERSIONS = 6


def explain(
    causes: Iterable[RequirementInformation[Want, Candidate]],
    considered: Mapping[NormalizedName, Mapping[str, str]],
    asked_by: str,
) -> str:
    """Tell which requirement of which parent cannot be met, and what became of each version that was considered.

    ``asked_by`` names what made the requirements that have no parent.
    """
    lines: list[str] = []
    names: dict[NormalizedName, None] = {}
    for cause in causes:
        names[cause.requirement.name] = None
        line = f"{cause.parent or asked_by} requires {cause.requirement.text}"
        if line not in lines:
            lines.append(line)
    if len(lines) > SHOWN_CAUSES:
        lines = [*lines[:SHOWN_CAUSES], f"and {len(lines) - SHOWN_CAUSES} more requirements"]
    for name in names:
        lines.append(f"{name}: {_versions(considered.get(name))}")
    return "\n".join(lines)


def _versions(versions: Mapping[str, str] | None) -> str:
    if not versions:
        return "the index has no such project, or no wheel and no sdist of it"
    by_reason: dict[str, list[str]] = {}
    for version, reason in versions.items():
        by_reason.setdefault(reason or "it conflicts with the requirements above", []).append(version)
    parts = []
    for reason, listed in by_reason.items():
        more = f" and {len(listed) - SHOWN_VERSIONS} more" if len(listed) > SHOWN_VERSIONS else ""
        parts.append(f"{', '.join(listed[:SHOWN_VERSIONS])}{more}: {reason}")
    return "; ".join(parts)
