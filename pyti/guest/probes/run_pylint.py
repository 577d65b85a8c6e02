"""Runs pylint on files, one after the other, until its time is used up; no code of the package is executed.

``run_pylint.py TOOLS REQUEST RESULT``: REQUEST is JSON ``{"files", "paths", "seconds"}``; RESULT gets counts as JSON.
``paths`` go to the end of ``sys.path`` for inference only. The package's own configuration is not read: it could
load plugins. ``--warm TOOLS`` checks this file.
"""

import json
import sys
import time
from typing import Any


def main() -> None:
    """Check the files."""
    warm = sys.argv[1] == "--warm"
    request: dict[str, Any]
    if warm:
        tools, request, result = sys.argv[2], {"files": [__file__], "paths": [], "seconds": 60}, "/dev/null"
    else:
        tools, request_path, result = sys.argv[1:4]
        with open(request_path, encoding="utf-8") as file:  # noqa: PTH123 - as short as it gets
            request = json.load(file)
    sys.argv[1:] = []
    sys.path.insert(0, tools)
    sys.path += request["paths"]
    sys.setrecursionlimit(10000)
    counts = check(request["files"], request["seconds"])
    with open(result, "w", encoding="ascii") as file:  # noqa: PTH123 - as short as it gets
        json.dump(counts, file)


def check(files: list[str], seconds: float) -> dict[str, Any]:
    """Check ``files`` for at most about ``seconds``."""
    from pylint.lint import PyLinter
    from pylint.reporters import CollectingReporter

    reporter = CollectingReporter()
    linter = PyLinter(reporter=reporter)
    linter.load_default_plugins()
    linter.config.persistent = False
    linter.config.unsafe_load_any_extension = False
    linter.disable("duplicate-code")
    linter.disable("locally-disabled")
    linter.disable("suppressed-message")
    until = time.monotonic() + seconds
    types: dict[str, int] = {}
    symbols: dict[str, int] = {}
    statements = covered = 0
    for path in files:
        if time.monotonic() >= until:
            break
        del reporter.messages[:]
        linter.stats.statement = 0
        linter.check([path])
        covered += 1
        statements += linter.stats.statement
        for message in reporter.messages:
            types[message.category] = types.get(message.category, 0) + 1
            symbols[message.symbol] = symbols.get(message.symbol, 0) + 1
    return {"types": types, "symbols": symbols, "statements": statements, "covered": covered}


main()
