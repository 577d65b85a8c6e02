"""The findings in ``.pth`` files, which come from the installed files and not from a trace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyti.reports.model import Finding
from pyti.reports.rules import PhaseContext, PhaseWatch
from pyti.reports.rules.pth import pth_sightings

__all__ = ["is_harmful", "pth_findings"]


def pth_findings(data: Mapping[str, Any]) -> list[Finding]:
    """Give the findings in the ``install`` task's data."""
    watch = PhaseWatch(PhaseContext("install", "installed-files", "quiet"))
    for sighting in pth_sightings(data):
        watch.add(sighting)
    return watch.findings()


def is_harmful(data: Mapping[str, Any]) -> bool:
    """Say whether a ``.pth`` file holds obfuscated or networking code, upon which combinations build."""
    return any(sighting.rule == "PTH-002" for sighting in pth_sightings(data))
