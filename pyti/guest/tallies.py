"""What the lines that a test run told add up to. Pure."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Tally", "add_up", "missing_module"]

COUNTED = ("passed", "failed", "error", "skipped", "xfailed", "xpassed")
MAX_FAILURES = 50
_MISSING = re.compile(r"No module named '?([A-Za-z_]\w*)")
_FIXTURE = re.compile(r"fixture '(\w+)' not found")


@dataclass
class Tally:
    """Counts by outcome, and the first of what did not pass."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTED, 0))
    collected: int = 0
    failures: list[dict[str, str]] = field(default_factory=list)
    bad: int = 0
    """Failures and errors."""
    missing: set[str] = field(default_factory=set)
    """Modules and fixtures of others that were not there."""
    bad_by_missing: int = 0
    """Failures and errors that a missing module or fixture explains."""

    def data(self) -> dict[str, Any]:
        """Return what the ``tests`` task reports of it."""
        return {
            "collected": self.collected,
            "passed": self.counts["passed"] + self.counts["xpassed"],
            "failed": self.counts["failed"],
            "errors": self.counts["error"],
            "skipped": self.counts["skipped"],
            "xfailed": self.counts["xfailed"],
            "failures": self.failures,
            "missing": sorted(self.missing)[:100],
        }


def missing_module(text: str, own: Collection[str]) -> str | None:
    """Return the module, or fixture, of someone else that ``text`` says is not there."""
    if match := _MISSING.search(text):
        name = match[1]
        return None if name in own or name in sys.stdlib_module_names else name
    if match := _FIXTURE.search(text):
        return f"fixture {match[1]}"
    return None


def add_up(content: bytes, own: Collection[str]) -> Tally:
    """Count a probe's lines; ``own`` are the package's top-level names. Lines that make no sense are left out."""
    tally = Tally()
    for line in content.splitlines():
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(told, dict):
            continue
        if isinstance(collected := told.get("collected"), int):
            tally.collected = max(0, min(collected, 10**9))
        outcome = told.get("o")
        if not isinstance(outcome, str) or outcome not in tally.counts:
            continue
        tally.counts[outcome] += 1
        if outcome in ("failed", "error"):
            tally.bad += 1
            why = str(told.get("why", ""))[:300]
            if absent := missing_module(why, own):
                tally.missing.add(absent)
                tally.bad_by_missing += 1
            if len(tally.failures) < MAX_FAILURES:
                tally.failures.append({"name": str(told.get("name", ""))[:300], "why": why})
    return tally
