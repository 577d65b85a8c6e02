"""``pylint``: the installed modules, by the image's own pylint with its own configuration.

Findings do not fail the task: passed means measured. Nothing of the package is executed.
"""

from __future__ import annotations

import json
from typing import Any

from pyti.guest.context import Context
from pyti.guest.installed import find, site_packages
from pyti.guest.sources import select
from pyti.guest.verdict import Verdict, of_failed

__all__ = ["run", "score"]

MAX_SYMBOLS = 50
SHARE = 0.6
"""Of the phase's time limit after which no further file is begun."""


def run(context: Context) -> Verdict:
    """Lint as many files as time allows, and say how many that were."""
    installed = find(context.layout.venv, context.metadata.name if context.metadata else context.job.name)
    sources = select(installed) if installed else None
    if sources is None or not sources.files:
        return Verdict("not_applicable", None, "the distribution has no Python files")
    folder = context.folder("lint")
    request, result = folder / "request.json", folder / "result.json"
    seconds = context.job.limits_of("pylint").wall_s * SHARE
    paths = [str(site_packages(context.layout.venv))]
    request.write_text(json.dumps({"files": sources.files, "paths": paths, "seconds": seconds}))
    tools, python = str(context.layout.tools_path), context.layout.python
    argv = context.python("run_pylint.py", tools, str(request), str(result), python=python, isolated=True)
    done = context.run("lint", argv, cwd=folder, trace=False)
    if not done.ok:
        verdict = of_failed(done, "pylint")
        verdict.outcome = "error" if verdict.outcome == "failed" else verdict.outcome
        return verdict
    try:
        told = json.loads(context.result(result))
        types, statements = _counts(told["types"]), int(told["statements"])
        symbols, covered = _counts(told["symbols"]), int(told["covered"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return Verdict("error", "infrastructure", "pylint's result is unreadable")
    value = score(types, statements)
    data: dict[str, Any] = {
        "score": value,
        "counts": types,
        "symbols": dict(sorted(symbols.items(), key=lambda item: -item[1])[:MAX_SYMBOLS]),
        "statements": statements,
        "covered": sources.covered(covered),
    }
    detail = f"{value:.2f}/10" if value is not None else "no statements"
    return Verdict("passed", None, f"{detail} on {covered} of {sources.total} files", data)


def score(types: dict[str, int], statements: int) -> float | None:
    """Pylint's own default evaluation, 0 to 10; ``None`` where there is nothing to rate."""
    if not statements:
        return None
    if types.get("fatal"):
        return 0.0
    weight = 5 * types.get("error", 0) + sum(types.get(kind, 0) for kind in ("warning", "refactor", "convention"))
    return round(max(0.0, 10.0 - weight / statements * 10), 2)


def _counts(value: Any) -> dict[str, int]:
    return {str(key)[:100]: int(number) for key, number in value.items()}
