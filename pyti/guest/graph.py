"""Which tasks run, in which order, and what a task's fate means for the others. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = ["ORDER", "plan", "prerequisites", "reason_to_skip"]

ORDER = (
    "metadata",
    "build",
    "install",
    "startup",
    "import",
    "entry-points",
    "tests",
    "pylint",
    "pep8",
    "uninstall",
)
"""Every task, in the order in which they run; each stands after its prerequisites."""

_NEEDS_INSTALL = frozenset({"startup", "import", "entry-points", "tests", "pylint", "pep8", "uninstall"})
_GOOD = frozenset({"passed", "not_applicable"})
"""Outcomes of a prerequisite with which a task may run."""


def prerequisites(task: str) -> tuple[str, ...]:
    """Return the tasks that must not have failed before ``task`` can run; ``ValueError`` for an unknown name."""
    if task not in ORDER:
        raise ValueError(f"unknown task {task!r}")
    if task == "install":
        return ("build",)
    return ("install",) if task in _NEEDS_INSTALL else ()


def plan(selected: Iterable[str]) -> tuple[str, ...]:
    """Return the selected tasks with all their prerequisites, each once, in order."""
    wanted: set[str] = set()
    waiting = list(selected)
    while waiting:
        task = waiting.pop()
        if task not in wanted:
            wanted.add(task)
            waiting.extend(prerequisites(task))
    return tuple(task for task in ORDER if task in wanted)


def reason_to_skip(task: str, outcomes: Mapping[str, str]) -> str | None:
    """Why ``task`` cannot run after what has happened so far, or ``None`` when it can."""
    for needed in prerequisites(task):
        outcome = outcomes.get(needed)
        if outcome not in _GOOD:
            return f"needs {needed}, which {_FATES.get(outcome or '', 'did not run')}"
    return None


_FATES = {
    "failed": "failed",
    "error": "could not be carried out",
    "timeout": "hit its time limit",
    "skipped": "was skipped",
}
