"""What came of a task, and what the output of a failed process says about whose fault it was. Pure."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass, field
from typing import Any

from .phase import Phase

__all__ = ["Verdict", "blame", "last_line", "of_failed"]

_ENVIRONMENT = re.compile(
    r"fatal error: \S+: No such file or directory"
    r"|cannot find -l\w"
    r"|cannot open shared object file"
    r"|pkg-config\b.*(?:not found|No such file|could not be found)"
    r"|(?:Package|Dependency|library|Library) \S+,? (?:was )?not found"
    r"|required by \S+ \(requested|Perhaps you should add the directory containing"
    r"|[Cc]ommand not found|: not found$"
    r"|No such file or directory: '(?:gcc|cc|g\+\+|c\+\+|cmake|make|ninja|cargo|rustc|swig|pg_config|mysql_config|"
    r"[\w.-]*-config|gfortran|git|java|node|npm|go)'"
    r"|[Ff]ailed to find (?:\w+ )?(?:executable|library|program)"
    r"|(?:can't|cannot|can not|could not) find (?:\w+ )?(?:Rust|compiler|library|headers?)"
    r"|pg_config executable not found|CMake must be installed",
    re.MULTILINE,
)
"""What compilers, linkers, loaders and build scripts say when something of the system is missing."""

_NETWORK = re.compile(
    r"Temporary failure in name resolution|Name or service not known|Network is unreachable|dns error"
    r"|Failed to resolve|Could not resolve host|getaddrinfo failed|nodename nor servname"
)
_RESOURCE = re.compile(
    r"No space left on device|MemoryError|Cannot allocate memory|std::bad_alloc|at the limit of (?:memory|pids)"
)
_NOISE = re.compile(r"^\s*$|^\s*[\^~]+\s*$|^strace: |^(?:WARNING|warning|Downloading|Resolved|Installed|Prepared)\b")


@dataclass
class Verdict:
    """A task's outcome; ``cause`` is the guest's guess."""

    outcome: str
    cause: str | None = None
    detail: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    artefacts: list[dict[str, Any]] = field(default_factory=list)


def last_line(output: bytes) -> str:
    """Return the last line that says something, at most 500 characters."""
    for line in reversed(output.decode("utf-8", "replace").splitlines()):
        if not _NOISE.match(line):
            return line.strip()[:500]
    return ""


def blame(output: bytes) -> str:
    """Return the likely cause of a failure with this output; the package where nothing else is named."""
    text = output.decode("utf-8", "replace")
    for pattern, cause in ((_RESOURCE, "resource"), (_ENVIRONMENT, "environment"), (_NETWORK, "network")):
        if pattern.search(text):
            return cause
    return "package"


def of_failed(phase: Phase, doing: str) -> Verdict:
    """Return the verdict on a phase that did not end well; ``doing`` names the work, as in "building the wheel"."""
    if phase.limit == "wall":
        return Verdict("timeout", "resource", f"{doing} was stopped after {phase.wall_s:.0f} s, its time limit")
    if phase.limit in ("memory", "pids", "file"):
        names = {"memory": "memory", "pids": "number of processes", "file": "file size"}
        return Verdict("error", "resource", f"{doing} reached the limit of its {names[phase.limit]}")
    line = last_line(phase.stderr_tail) or last_line(phase.stdout_tail)
    if phase.signal is not None:
        return Verdict("failed", "package", _join(f"{doing} was ended by {_signal(phase.signal)}", line))
    if phase.exit_status == 125 and not phase.stdout_tail:
        return Verdict("error", "infrastructure", _join(f"{doing} could not be started", line))
    cause = blame(phase.stderr_tail + b"\n" + phase.stdout_tail)
    return Verdict("failed", cause, _join(f"{doing} ended with status {phase.exit_status}", line))


def _join(what: str, line: str) -> str:
    return f"{what}: {line}" if line else what


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
