from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyti.errors import Cause
from pyti.rawdata.contract import Phase, TaskFinished
from pyti.reports.cause import judge


def record(task: str = "build", outcome: Any = "failed", **fields: Any) -> TaskFinished:
    fields.setdefault("phases", (Phase(phase=task, exit_status=1),))
    return TaskFinished(seq=1, at=1.0, job="job-0001", attempt=1, task=task, outcome=outcome, **fields)


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("src/_x.c:4:10: fatal error: ffi.h: No such file or directory", "ffi.h"),
        ("a.c:1:10: fatal error: 'openssl/ssl.h' file not found", "openssl/ssl.h"),
        ("/usr/bin/ld: cannot find -lxml2: No such file or directory", "xml2"),
        ("Error: pg_config executable not found.", "pg_config"),
        ("OSError: mysql_config not found", "mysql_config"),
        ("Package 'libsystemd' not found", "libsystemd"),
        ("Package libffi was not found in the pkg-config search path.", "libffi"),
        ("error: command 'gfortran' failed: No such file or directory", "gfortran"),
        ("error: can't find Rust compiler", "Rust compiler"),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'cmake'", "cmake"),
        ("/bin/sh: 1: swig: not found", "swig"),
        ("CMake must be installed to build from source.", "CMake"),
        ('meson.build:5:0: ERROR: Dependency "glib-2.0" not found, tried pkgconfig', "glib-2.0"),
        ("ImportError: libGL.so.1: cannot open shared object file: No such file or directory", "libGL.so.1"),
        ("x: error while loading shared libraries: libpq.so.5: cannot open shared object file", "libpq.so.5"),
    ],
)
def test_what_the_system_lacks_is_the_environments_fault_and_named(text: str, missing: str) -> None:
    judged = judge(record(), ["noise\n" * 50 + text + "\nmore noise\n"])
    assert judged.cause is Cause.ENVIRONMENT
    assert missing in judged.detail


def test_a_header_that_it_forgot_to_ship_is_its_own_fault() -> None:
    judged = judge(record(), ["fatal error: mine/core.h: No such file or directory"], frozenset({"mine"}))
    assert judged.cause is Cause.PACKAGE


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("SyntaxError: invalid syntax", Cause.PACKAGE),
        ("ModuleNotFoundError: No module named 'numpy'", Cause.PACKAGE),
        ("socket.gaierror: [Errno -3] Temporary failure in name resolution", Cause.NETWORK),
        ("OSError: [Errno 101] Network is unreachable", Cause.NETWORK),
        ("MemoryError", Cause.RESOURCE),
        ("OSError: [Errno 28] No space left on device", Cause.RESOURCE),
        ("fatal error: Killed signal terminated program cc1plus", Cause.RESOURCE),
        ("", Cause.PACKAGE),
    ],
)
def test_causes_of_a_failed_build(text: str, cause: Cause) -> None:
    assert judge(record(), [text]).cause is cause


@pytest.mark.parametrize(
    "text",
    [
        "ModuleNotFoundError: No module named 'hypothesis'",
        "E  fixture 'mocker' not found",
        "pytest: error: unrecognized arguments: --cov=x",
    ],
)
def test_a_missing_test_requirement_is_the_environments_fault(text: str) -> None:
    assert judge(record("tests"), [text], frozenset({"mine"})).cause is Cause.ENVIRONMENT


def test_its_own_module_missing_in_tests_is_its_own_fault() -> None:
    assert (
        judge(record("tests"), ["ModuleNotFoundError: No module named 'mine.core'"], frozenset({"mine"})).cause
        is Cause.PACKAGE
    )


@pytest.mark.parametrize("limit", ["memory", "pids", "output", "file"])
def test_a_limit_is_a_resource_matter(limit: Any) -> None:
    judged = judge(
        record(phases=(Phase(phase="build", exit_status=1, limit=limit),)),
        ["fatal error: x.h: No such file or directory"],
    )
    assert (judged.outcome, judged.cause) == ("failed", Cause.RESOURCE)


def test_the_wall_limit_is_a_timeout_whatever_the_guest_calls_it() -> None:
    judged = judge(record(phases=(Phase(phase="build", signal=9, limit="wall"),)), [])
    assert (judged.outcome, judged.cause) == ("timeout", Cause.RESOURCE)


def test_a_kill_without_a_word_is_most_likely_memory() -> None:
    assert judge(record(phases=(Phase(phase="build", exit_status=137),)), [""]).cause is Cause.RESOURCE


def test_a_crash_is_the_packages_fault_and_told() -> None:
    judged = judge(record("import", phases=(Phase(phase="import", signal=11),)), [""])
    assert judged.cause is Cause.PACKAGE
    assert "signal 11" in judged.detail


@pytest.mark.parametrize("outcome", ["passed", "skipped", "not_applicable"])
def test_nobody_is_to_blame_for_what_did_not_fail(outcome: Any) -> None:
    assert judge(record(outcome=outcome, phases=(), cause=Cause.PACKAGE), ["MemoryError"]).cause is None


def test_passed_tests_with_failures_are_not_believed() -> None:
    judged = judge(record("tests", "passed", data={"failed": 2}), [])
    assert judged.outcome == "failed"
    assert judged.notes


def test_contradictions_are_noted() -> None:
    notes = judge(
        record(
            "install", "passed", wall_s=1.0, phases=(Phase(phase="dist", exit_status=3, wall_s=500.0, limit="memory"),)
        ),
        [],
    ).notes
    assert len(notes) == 3


@given(st.text(max_size=400), st.text(max_size=100))
def test_any_output_gets_a_cause_and_a_printable_detail(text: str, detail: str) -> None:
    judged = judge(record("tests", detail=detail), [text], frozenset({"mine"}))
    assert judged.cause in Cause
    assert judged.detail.isprintable()
    assert len(judged.detail) <= 1400
