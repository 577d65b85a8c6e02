"""Runs unittest's discovery on a package's tests and writes one line for every outcome.

``run_unittest.py RESULT START TOP PATTERN…`` discovers below START with each PATTERN; lines as in ``run_pytest.py``.
"""

import json
import os
import sys
import unittest
from collections.abc import Iterator
from typing import Any

MAX_WHY = 300


class Telling(unittest.TextTestResult):
    """A result that tells of every outcome at once, so that a crash loses nothing."""

    out = -1

    def tell(self, outcome: str, test: object = None, error: object = None) -> None:
        """Append one line."""
        fields = {"o": outcome}
        if error is not None:
            fields |= {"name": str(test)[:MAX_WHY], "why": str(error).strip().splitlines()[-1][:MAX_WHY]}
        os.write(Telling.out, (json.dumps(fields) + "\n").encode("ascii"))

    def addSuccess(self, test: Any) -> None:  # noqa: N802, D102 - unittest's interface
        super().addSuccess(test)
        self.tell("passed")

    def addFailure(self, test: Any, err: Any) -> None:  # noqa: N802, D102 - unittest's interface
        super().addFailure(test, err)
        self.tell("failed", test, self.failures[-1][1] or err)

    def addError(self, test: Any, err: Any) -> None:  # noqa: N802, D102 - unittest's interface
        super().addError(test, err)
        self.tell("error", test, self.errors[-1][1] or err)

    def addSkip(self, test: Any, reason: Any) -> None:  # noqa: N802, D102 - unittest's interface
        super().addSkip(test, reason)
        self.tell("skipped")

    def addExpectedFailure(self, test: Any, err: Any) -> None:  # noqa: N802, D102 - unittest's interface
        super().addExpectedFailure(test, err)
        self.tell("xfailed")

    def addUnexpectedSuccess(self, test: Any) -> None:  # noqa: N802, D102 - unittest's interface
        super().addUnexpectedSuccess(test)
        self.tell("failed", test, "unexpected success")


def _each(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from _each(test)
        else:
            yield test


def main() -> None:
    """Discover and run."""
    result, start, top, *patterns = sys.argv[1:]
    del sys.argv[1:]
    Telling.out = os.open(result, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    tests: dict[str, unittest.TestCase] = {}
    for pattern in patterns:
        for test in _each(unittest.TestLoader().discover(start, pattern=pattern, top_level_dir=top)):
            tests.setdefault(test.id(), test)
    suite = unittest.TestSuite(tests.values())
    os.write(Telling.out, (json.dumps({"collected": suite.countTestCases()}) + "\n").encode("ascii"))
    runner = unittest.TextTestRunner(resultclass=Telling)  # type: ignore[arg-type]
    outcome = runner.run(suite)
    sys.exit(not outcome.wasSuccessful())


main()
