from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyti.guest.loading import Loaded, judge, read_results

NAMES = ["a", "b", "c", "d"]


def lines(*told: object) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in told)


def test_complete_results_are_read_in_order():
    told = [{"begin": 1}, {"end": 1, "ok": True, "error": "", "seconds": 0.5}, {"begin": 2}, {"end": 2, "ok": False}]
    assert read_results(lines(*told), NAMES, 1) == [
        {"name": "b", "ok": True, "error": "", "seconds": 0.5},
        {"name": "c", "ok": False, "error": "", "seconds": 0.0},
    ]


@pytest.mark.parametrize(
    "told", [{"end": 3, "ok": True}, {"end": "1", "ok": True}, {"end": [1]}, {"end": None}, {"end": -1}]
)
def test_reading_stops_where_a_result_is_out_of_order(told: object):
    assert read_results(lines({"end": 0, "ok": True}, told, {"end": 1, "ok": True}), NAMES, 0)[1:] == []


def test_reading_stops_at_what_is_no_json():
    assert read_results(b'{"end": 0, "ok": true}\n{"end": 1, "o', NAMES, 0)[0]["name"] == "a"
    assert read_results(b"[" * 100_000, NAMES, 0) == []


def test_no_more_results_than_names_are_believed():
    told = lines(*({"end": number, "ok": True} for number in range(9)))
    assert len(read_results(told, NAMES, 0)) == len(NAMES)


@pytest.mark.parametrize("seconds", [-1, 1e9, math.nan, math.inf, "5", None, [1]])
def test_a_duration_that_makes_no_sense_counts_as_none(seconds: object):
    (one,) = read_results(lines({"end": 0, "ok": True, "seconds": seconds}), NAMES, 0)
    assert one["seconds"] == 0.0


@pytest.mark.parametrize("ok", [1, "true", None, [True]])
def test_only_true_is_success(ok: object):
    (one,) = read_results(lines({"end": 0, "ok": ok, "error": "e" * 999}), NAMES, 0)
    assert one["ok"] is False
    assert len(one["error"]) == 500


@given(st.binary(max_size=300), st.integers(0, 3))
def test_whatever_a_package_forges_results_stay_results(content: bytes, start: int):
    for item in read_results(content, NAMES, start):
        assert set(item) == {"name", "ok", "error", "seconds"}


def test_good_ones_are_counted():
    assert Loaded([{"ok": True}, {"ok": False}, {"ok": True}]).good == 2


@pytest.mark.parametrize(
    ("error", "outcome", "cause"),
    [
        ("ended the interpreter at the limit of memory", "error", "resource"),
        ("ImportError: libx.so: cannot open shared object file", "failed", "environment"),
        ("ValueError: no", "failed", "package"),
    ],
)
def test_the_verdict_follows_from_the_error(error: str, outcome: str, cause: str):
    verdict = judge({"name": "a", "error": error}, "0 of 1", {"x": 1})
    assert (verdict.outcome, verdict.cause, verdict.detail) == (outcome, cause, f"0 of 1; a: {error}")
