"""Judge by plain rules why a task did not pass: its limits, signals and the end of what it printed.

The guest's own guess is only the last resort, since the distribution may have written it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pyti.errors import Cause
from pyti.rawdata.contract import Outcome, Phase, TaskFinished
from pyti.reports.neutral import neutral_line

__all__ = ["TAIL_BYTES", "Judgement", "judge"]

TAIL_BYTES = 64 * 1024
"""The end of each stream that is searched."""
_DETAIL = 600


@dataclass(frozen=True, slots=True)
class Judgement:
    """An outcome, who is to blame for it, what to tell the reader, and what in the record contradicts itself."""

    outcome: Outcome
    cause: Cause | None
    detail: str
    notes: tuple[str, ...] = ()


def _patterns(*rows: tuple[str, str]) -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(pattern, re.MULTILINE), told) for pattern, told in rows)


_N = r"[A-Za-z0-9_./+\-]{1,120}"
_PROGRAMS = (
    r"(?:cc|gcc|g\+\+|c\+\+|clang|x86_64-linux-gnu-g(?:cc|\+\+)|gfortran|f95|rustc|cargo|cmake|ninja|meson|make|swig|go|java|javac|node|npm|"
    r"pkg-config|pkgconf|autoconf|automake|libtool|bison|flex|nasm|yasm|nvcc|llvm-config|[a-z0-9]{2,20}[-_]config|patchelf|git|perl|ruby|protoc)"
)
_MISSING_PARTS = _patterns(
    (
        rf"fatal error: '?({_N}\.(?:h|hpp|hh|hxx))'?(?:: No such file or directory| file not found)",
        "the header {0} is missing",
    ),
    (rf"cannot find -l({_N})", "the library {0} is missing"),
    (rf"({_N}_config|{_N}-config)(?: executable)? (?:is )?not found", "the program {0} is missing"),
    (
        rf"(?:Package|package) '?\"?({_N})'?\"?(?:,.{{0,60}})? (?:was )?not found|No package '({_N})' found",
        "the library {0} is missing (pkg-config)",
    ),
    (rf"Dependency \"({_N})\" not found", "the library {0} is missing (meson)"),
    (rf"Could (?:NOT|not) find (?:package )?({_N})", "{0} is missing (CMake)"),
    (
        (
            rf"(?:error while loading shared libraries: |ImportError: |OSError: )"
            rf"(lib{_N}\.so[0-9.]*): cannot open shared object file"
        ),
        "the library {0} is missing",
    ),
    (r"version `(GLIBC(?:XX)?_[0-9.]{1,10})' not found", "{0} is newer than the image's C library"),
    (
        rf"(?:command|unable to execute) '?({_PROGRAMS})'?(?: failed)?: No such file or directory",
        "the program {0} is missing",
    ),
    (rf"No such file or directory: '({_PROGRAMS})'", "the program {0} is missing"),
    (rf"(?:^|[\s:])({_PROGRAMS}): (?:command )?not found", "the program {0} is missing"),
    (rf"command '({_PROGRAMS})' failed: No such file", "the program {0} is missing"),
    (
        r"(?:can't|cannot|could not) find (Rust compiler)|(Cargo), the Rust package manager, is not installed",
        "the {0} is missing",
    ),
    (
        r"(CMake) must be installed|(?:no|No) (cmake) (?:found|executable)|Unknown compiler\(s\): (\[.{1,200})",
        "{0} is missing",
    ),
    (r"(?:no|No) acceptable (C compiler|Fortran compiler) found", "a {0} is missing"),
    (rf"(?:The )?headers? or library files could not be found for ({_N})", "the library {0} is missing"),
    (
        (
            r"(?:libxml2 and libxslt|(?:lib)?[a-z0-9]{2,20}) development (?:packages|files) (?:are )?"
            r"(?:required|not installed)"
        ),
        "development files are missing",
    ),
)
_TEST_PARTS = _patterns(
    (rf"ModuleNotFoundError: No module named '({_N})'", "the test requirement {0} is missing"),
    (rf"fixture '({_N})' not found", "the fixture {0} is missing, so a pytest plugin is"),
    (rf"error: unrecognized arguments: ({_N})", "pytest does not know {0}, so a plugin is missing"),
    (rf"Missing required plugins: ({_N})", "the pytest plugin {0} is missing"),
    (rf"Unknown config option: ({_N})", "pytest does not know the option {0}, so a plugin is missing"),
)
_RESOURCE = _patterns(
    (
        r"^MemoryError|Cannot allocate memory|virtual memory exhausted|std::bad_alloc|(out of memory)|OutOfMemory",
        "memory ran out",
    ),
    (
        r"(?:cc1|cc1plus|rustc|ld|collect2).{0,80}(?:[Kk]illed|signal 9)|fatal error: Killed signal terminated program",
        "the compiler was killed, most likely for memory",
    ),
    (r"No space left on device|Disk quota exceeded|File too large", "space on the disk ran out"),
    (
        r"Resource temporarily unavailable|can't start new thread|RuntimeError: cannot schedule new",
        "the limit on processes was reached",
    ),
    (r"Too many open files", "the limit on open files was reached"),
)
_NETWORK = _patterns(
    (
        (
            r"socket\.gaierror|Temporary failure in name resolution|Name or service not known|Could not resolve host"
            r"|Failed to resolve|nodename nor servname"
        ),
        "a name was looked up, and there is no network",
    ),
    (r"Network is unreachable|ENETUNREACH|No route to host", "another machine was called, and there is no network"),
    (
        (
            r"URLError|NewConnectionError|MaxRetryError|ConnectError|ClientConnectorError"
            r"|Failed to download|Connection timed out"
        ),
        "a connection was tried, and there is no network",
    ),
)
_LIMITS = {
    "wall": "the time limit was reached",
    "memory": "the memory limit was reached",
    "pids": "the limit on processes was reached",
    "output": "the limit on output was reached",
    "file": "the limit on the size of a file was reached",
}


def judge(record: TaskFinished, tails: Sequence[str], own: frozenset[str] = frozenset()) -> Judgement:
    """Judge one task by its record and the ends of its streams; ``own`` are the distribution's own module names."""
    notes = tuple(_contradictions(record))
    told = neutral_line(record.detail, _DETAIL)
    if record.outcome in ("skipped", "not_applicable"):
        return Judgement(record.outcome, None, told, notes)
    if any(phase.limit == "wall" for phase in record.phases) and record.outcome != "passed":
        return Judgement("timeout", Cause.RESOURCE, _both(_LIMITS["wall"], told), notes)
    if record.outcome == "timeout":
        return Judgement("timeout", Cause.RESOURCE, told or _LIMITS["wall"], notes)
    if record.outcome == "passed":
        if record.task == "tests" and (_count(record, "failed") or _count(record, "errors")):
            return Judgement("failed", Cause.PACKAGE, _both("tests failed though the guest says passed", told), notes)
        return Judgement("passed", None, told, notes)
    cause, why = _why(record, "\n".join([*(tail[-TAIL_BYTES:] for tail in tails), record.detail]), own)
    return Judgement(record.outcome, cause, _both(why, told), notes)


def _why(record: TaskFinished, text: str, own: frozenset[str]) -> tuple[Cause, str]:
    for phase in record.phases:
        if phase.limit is not None:
            return Cause.RESOURCE, _LIMITS[phase.limit]
    if told := _first(_RESOURCE, text, frozenset()):
        return Cause.RESOURCE, told
    if record.task in ("build", "install", "import", "startup", "entry-points", "tests", "metadata") and (
        told := _first(_MISSING_PARTS, text, own)
    ):
        return Cause.ENVIRONMENT, told
    if record.task == "tests" and (told := _first(_TEST_PARTS, text, own)):
        return Cause.ENVIRONMENT, told
    if told := _first(_NETWORK, text, frozenset()):
        return Cause.NETWORK, told
    if any(_signal(phase) == 9 for phase in record.phases):
        return Cause.RESOURCE, "it was killed without a word, most likely for memory"
    if record.outcome == "error":
        return record.cause or Cause.INFRASTRUCTURE, ""
    if record.cause in (Cause.ENVIRONMENT, Cause.NETWORK) and not record.phases:
        return record.cause, ""  # nothing was run, so only the agent can know
    crashed = next((number for phase in record.phases if (number := _signal(phase)) in (4, 6, 7, 8, 11)), None)
    return Cause.PACKAGE, f"it crashed with signal {crashed}" if crashed else ""


def _first(patterns: tuple[tuple[re.Pattern[str], str], ...], text: str, own: frozenset[str]) -> str:
    for pattern, told in patterns:
        for match in pattern.finditer(text):
            name = next((group for group in match.groups() if group), "")
            # a file of its own that it forgot to ship is the distribution's fault
            if name and own and re.split(r"[./]", name.removeprefix("./"))[0].lower().replace("-", "_") in own:
                continue
            return told.format(neutral_line(name, 120))
    return ""


def _signal(phase: Phase) -> int | None:
    if phase.signal is not None:
        return phase.signal
    status = phase.exit_status
    return (
        status - 128
        if status is not None and 128 < status < 160
        else -status
        if status is not None and status < 0
        else None
    )


def _count(record: TaskFinished, key: str) -> int:
    value = record.data.get(key)
    return value if isinstance(value, int) and value > 0 else 0


def _contradictions(record: TaskFinished) -> list[str]:
    notes = []
    if record.outcome == "passed":
        notes += [
            f"{record.task}: passed, though {phase.phase} reached its {phase.limit} limit"
            for phase in record.phases
            if phase.limit not in (None, "output")
        ]
        if record.task in ("install", "startup") and record.phases and record.phases[-1].exit_status not in (0, None):
            notes.append(
                f"{record.task}: passed, though {record.phases[-1].phase} ended with {record.phases[-1].exit_status}"
            )
        if record.task == "tests" and (_count(record, "failed") or _count(record, "errors")):
            notes.append("tests: passed, though it counts failures")
    if record.outcome == "skipped" and any(phase.exit_status is not None for phase in record.phases):
        notes.append(f"{record.task}: skipped, though it ran something")
    inside = sum(phase.wall_s for phase in record.phases)
    if inside > record.wall_s * 1.5 + 5:
        notes.append(f"{record.task}: its phases took {inside:.0f} s together, the task {record.wall_s:.0f} s")
    return notes


def _both(why: str, told: str) -> str:
    if not why:
        return told
    return why if not told or told in why else neutral_line(f"{why}: {told}", _DETAIL)
