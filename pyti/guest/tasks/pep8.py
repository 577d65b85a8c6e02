"""``pep8``: the installed modules, by the image's pycodestyle with its defaults; passed means measured."""

from __future__ import annotations

import json
from typing import Any

from pyti.guest.context import Context
from pyti.guest.installed import find
from pyti.guest.sources import select
from pyti.guest.verdict import Verdict, of_failed

__all__ = ["run"]

SHARE = 0.6
"""Of the phase's time limit after which no further file is begun."""
MAX_CODES = 200


def run(context: Context) -> Verdict:
    """Count the findings in as many files as time allows."""
    installed = find(context.layout.venv, context.metadata.name if context.metadata else context.job.name)
    sources = select(installed) if installed else None
    if sources is None or not sources.files:
        return Verdict("not_applicable", None, "the distribution has no Python files")
    folder = context.folder("style")
    request, result = folder / "request.json", folder / "result.json"
    seconds = context.job.limits_of("pep8").wall_s * SHARE
    request.write_text(json.dumps({"files": sources.files, "seconds": seconds}))
    tools, python = str(context.layout.tools_path), context.layout.python
    argv = context.python("run_pep8.py", tools, str(request), str(result), python=python, isolated=True)
    done = context.run("style", argv, cwd=folder, trace=False)
    if not done.ok:
        verdict = of_failed(done, "pycodestyle")
        verdict.outcome = "error" if verdict.outcome == "failed" else verdict.outcome
        return verdict
    try:
        told = json.loads(context.result(result))
        counts = {str(code)[:10]: int(number) for code, number in list(told["counts"].items())[:MAX_CODES]}
        lines, covered = int(told["lines"]), int(told["covered"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Verdict("error", "infrastructure", "pycodestyle's result is unreadable")
    total = sum(counts.values())
    data: dict[str, Any] = {
        "counts": counts,
        "total": total,
        "lines": lines,
        "per_100_lines": round(100 * total / lines, 2) if lines else 0.0,
        "covered": sources.covered(covered),
    }
    return Verdict("passed", None, f"{total} findings in {lines} lines", data)
