"""Runs pycodestyle with its defaults on files, one after the other, until its time is used up.

``run_pep8.py TOOLS REQUEST RESULT``: REQUEST is JSON ``{"files", "seconds"}``; RESULT gets counts as JSON.
``--warm TOOLS`` checks this file.
"""

import json
import sys
import time
from typing import Any

MAX_LINE_LENGTH = 79
"""PEP 8's own, and pycodestyle's default."""


def main() -> None:
    """Check the files."""
    request: dict[str, Any]
    if sys.argv[1] == "--warm":
        tools, request, result = sys.argv[2], {"files": [__file__], "seconds": 60}, "/dev/null"
    else:
        tools, request_path, result = sys.argv[1:4]
        with open(request_path, encoding="utf-8") as file:  # noqa: PTH123 - as short as it gets
            request = json.load(file)
    sys.path.insert(0, tools)
    import pycodestyle  # type: ignore[import-untyped]

    style = pycodestyle.StyleGuide(quiet=2, max_line_length=MAX_LINE_LENGTH)
    report = style.init_report(pycodestyle.BaseReport)
    until = time.monotonic() + request["seconds"]
    covered = 0
    for path in request["files"]:
        if time.monotonic() >= until:
            break
        style.input_file(path)
        covered += 1
    counts = {code: report.counters[code] for code in report.messages}
    with open(result, "w", encoding="ascii") as file:  # noqa: PTH123 - as short as it gets
        json.dump({"counts": counts, "lines": report.counters["physical lines"], "covered": covered}, file)


main()
