"""Loads many modules or attributes in as few interpreters as possible, and knows which one ended an interpreter."""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass, field
from typing import Any

from .context import Context
from .phase import Phase
from .verdict import Verdict, blame

__all__ = ["Loaded", "judge", "load_all", "read_results"]

MAX_RESTARTS = 8
"""Interpreters that may be lost before the rest is left untried; phases are bounded by the contract."""


@dataclass
class Loaded:
    """What came of each name."""

    items: list[dict[str, Any]] = field(default_factory=list)
    timeout: str | None = None
    """The name at which the time limit was hit."""

    @property
    def good(self) -> int:
        """How many could be loaded."""
        return sum(bool(item["ok"]) for item in self.items)


def load_all(context: Context, phase: str, names: list[str]) -> Loaded:
    """Load each of ``names`` (``module`` or ``module:attribute``) in order."""
    loaded = Loaded()
    folder = context.folder(phase)
    listing = folder / "names.txt"
    listing.write_text("\n".join(names) + "\n", encoding="utf-8")
    for attempt in range(1 + MAX_RESTARTS):
        result = folder / f"result-{attempt}.jsonl"
        label = phase if attempt == 0 else f"{phase}-{attempt + 1}"
        start = len(loaded.items)
        argv = context.python("load.py", str(listing), str(result), str(start))
        done = context.run(label, argv, cwd=folder)
        loaded.items += read_results(context.result(result), names, start)
        if len(loaded.items) >= len(names):
            return loaded
        culprit = names[len(loaded.items)]
        if done.limit == "wall":
            loaded.timeout = culprit
            return loaded
        loaded.items.append({"name": culprit, "ok": False, "error": _end(done), "seconds": 0.0})
        if len(loaded.items) >= len(names):
            return loaded
    loaded.items += [
        {"name": name, "ok": False, "error": "not tried: too many interpreters were lost before", "seconds": 0.0}
        for name in names[len(loaded.items) :]
    ]
    return loaded


def judge(item: dict[str, Any], detail: str, data: dict[str, Any]) -> Verdict:
    """Return the verdict where ``item`` is the name that could not be loaded and decides."""
    why = str(item["error"])
    cause = blame(why.encode())
    outcome = "error" if cause == "resource" else "failed"
    return Verdict(outcome, cause, f"{detail}; {item['name']}: {why}", data)


def read_results(content: bytes, names: list[str], start: int) -> list[dict[str, Any]]:
    """Return the complete results in a probe's file, from name number ``start`` up to the first that makes no sense."""
    items: list[dict[str, Any]] = []
    for line in content.splitlines():
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(told, dict) or "end" not in told:
            continue
        number = start + len(items)
        if told["end"] != number or number >= len(names):
            break
        seconds = told.get("seconds")
        items.append(
            {
                "name": names[number],
                "ok": told.get("ok") is True,
                "error": str(told.get("error", ""))[:500],
                "seconds": float(seconds) if isinstance(seconds, int | float) and 0 <= seconds < 1e6 else 0.0,
            }
        )
    return items


def _end(done: Phase) -> str:
    if done.limit in ("memory", "pids"):
        return f"ended the interpreter at the limit of {done.limit}"
    if done.signal is not None:
        try:
            return f"ended the interpreter with {signal.Signals(done.signal).name}"
        except ValueError:
            return f"ended the interpreter with signal {done.signal}"
    return f"ended the interpreter with status {done.exit_status}"
