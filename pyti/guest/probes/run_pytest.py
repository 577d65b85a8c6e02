"""Runs pytest on a package's tests and writes one line for every outcome.

``run_pytest.py TOOLS RESULT ARGUMENT…``: TOOLS is appended to ``sys.path``, so that whatever the package installed
wins. RESULT gets JSON lines: ``{"collected": n}``, ``{"o": outcome}`` and, for what did not pass, ``name`` and ``why``.
``--warm TOOLS`` only loads pytest.
"""

import json
import os
import sys
from typing import Any

MAX_WHY = 300


class Counter:
    """A plugin that tells of every report at once, so that a crash loses nothing."""

    def __init__(self, result: str) -> None:
        self._out = os.open(result, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def tell(self, **fields: object) -> None:
        """Append one line."""
        os.write(self._out, (json.dumps(fields) + "\n").encode("ascii"))

    def pytest_collection_finish(self, session: Any) -> None:
        """All tests are known."""
        self.tell(collected=len(session.items))

    def pytest_collectreport(self, report: Any) -> None:
        """A file could not be collected, or skipped itself."""
        if report.failed:
            self.tell(o="error", name=report.nodeid[:MAX_WHY], why=_why(report), at="collection")
        elif report.skipped:
            self.tell(o="skipped")

    def pytest_runtest_logreport(self, report: Any) -> None:
        """One of a test's three steps has ended."""
        if hasattr(report, "wasxfail"):
            if report.when == "call" or report.skipped:
                self.tell(o="xfailed" if report.skipped else "xpassed")
        elif report.failed:
            outcome = "failed" if report.when == "call" else "error"
            self.tell(o=outcome, name=report.nodeid[:MAX_WHY], why=_why(report), at=report.when)
        elif report.skipped:
            self.tell(o="skipped")
        elif report.when == "call":
            self.tell(o="passed")


def _why(report: Any) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash else str(report.longrepr or "")
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return ""
    marked = [line[1:].strip() for line in lines if line.startswith("E ")]
    return (lines[0] if crash else (marked or lines)[-1])[:MAX_WHY]


def main() -> None:
    """Run pytest."""
    if sys.argv[1] == "--warm":
        sys.path.append(sys.argv[2])
        import pytest

        sys.exit(pytest.main(["--version"]))
    tools, result, *arguments = sys.argv[1:]
    sys.path.append(tools)
    import pytest

    sys.argv = ["pytest", *arguments]
    sys.exit(pytest.main(arguments, plugins=[Counter(result)]))


main()
