from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyti.guest.phase import Phase
from pyti.guest.verdict import blame, last_line, of_failed


def phase(**fields: Any) -> Phase:
    return Phase("build", ("x",), 0.0, **fields)


@pytest.mark.parametrize(
    ("output", "cause"),
    [
        (b"x.c:1:10: fatal error: ffi.h: No such file or directory", "environment"),
        (b"/usr/bin/ld: cannot find -lssl: No such file", "environment"),
        (b"Error: pg_config executable not found.", "environment"),
        (b"sh: 1: cmake: not found", "environment"),
        (b"FileNotFoundError: [Errno 2] No such file or directory: 'cargo'", "environment"),
        (b"ImportError: libGL.so.1: cannot open shared object file", "environment"),
        (b"[Errno -3] Temporary failure in name resolution", "network"),
        (b"OSError: [Errno 28] No space left on device", "resource"),
        (b"MemoryError", "resource"),
        (b"ended the interpreter at the limit of memory", "resource"),
        (b"ZeroDivisionError: division by zero", "package"),
        (b"FileNotFoundError: [Errno 2] No such file or directory: 'README.md'", "package"),
        (b"", "package"),
    ],
)
def test_the_output_tells_whose_fault_it_was(output: bytes, cause: str):
    assert blame(output) == cause


@pytest.mark.parametrize(
    ("fields", "outcome", "cause", "said"),
    [
        ({"limit": "wall", "wall_s": 3.2}, "timeout", "resource", "stopped after 3 s"),
        ({"limit": "memory", "signal": 9}, "error", "resource", "limit of its memory"),
        ({"limit": "pids", "exit_status": 1}, "error", "resource", "limit of its number of processes"),
        ({"limit": "file", "exit_status": 1}, "error", "resource", "limit of its file size"),
        ({"signal": 11}, "failed", "package", "ended by SIGSEGV"),
        ({"signal": 63}, "failed", "package", "ended by signal 63"),
        ({"exit_status": 125}, "error", "infrastructure", "could not be started"),
        ({"exit_status": 125, "stdout_tail": b"hi"}, "failed", "package", "status 125: hi"),
        ({"exit_status": 1, "stderr_tail": b"one\ntwo\n\n"}, "failed", "package", "status 1: two"),
        ({"exit_status": 1, "stderr_tail": b"make: command not found"}, "failed", "environment", "not found"),
    ],
)
def test_a_phase_that_did_not_end_well(fields: dict[str, Any], outcome: str, cause: str, said: str):
    verdict = of_failed(phase(**fields), "the build")
    assert (verdict.outcome, verdict.cause) == (outcome, cause)
    assert said in verdict.detail


@given(st.binary(max_size=2000))
def test_the_last_line_is_one_short_line_whatever_was_printed(output: bytes):
    line = last_line(output)
    assert len(line) <= 500
    assert len(line.splitlines()) <= 1


def test_the_last_line_is_the_last_that_says_something():
    assert last_line(b"error: bad\n    ^^^\n\nWARNING: old pip\nstrace: x\n") == "error: bad"
