"""The tasks, by name; each is a function from the job's context to a verdict."""

from __future__ import annotations

from collections.abc import Callable

from pyti.guest.context import Context
from pyti.guest.verdict import Verdict

from . import build, entry_points, imports, install, metadata, pep8, pylint, startup, tests, uninstall

__all__ = ["TASKS"]

TASKS: dict[str, Callable[[Context], Verdict]] = {
    "metadata": metadata.run,
    "build": build.run,
    "install": install.run,
    "startup": startup.run,
    "import": imports.run,
    "entry-points": entry_points.run,
    "tests": tests.run,
    "pylint": pylint.run,
    "pep8": pep8.run,
    "uninstall": uninstall.run,
}
