from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyti.guest.tallies import COUNTED, MAX_FAILURES, add_up, missing_module

lines = st.lists(
    st.fixed_dictionaries(
        {"o": st.sampled_from([*COUNTED, "odd"])}, optional={"name": st.text(max_size=9), "why": st.text(max_size=9)}
    )
)


def told(*said: object) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in said)


@given(lines)
def test_every_known_outcome_is_counted_once(said: list[dict[str, str]]):
    tally = add_up(told(*said), ())
    for outcome in COUNTED:
        assert tally.counts[outcome] == sum(one["o"] == outcome for one in said)
    assert tally.bad == tally.counts["failed"] + tally.counts["error"]
    assert len(tally.failures) == min(tally.bad, MAX_FAILURES)
    assert tally.bad_by_missing <= tally.bad


@given(st.binary())
def test_lines_that_make_no_sense_change_nothing(content: bytes):
    good = told({"collected": 3}, {"o": "passed"})
    tally = add_up(good + content.replace(b"\n", b"") + b"\n" + good, ())
    assert tally.counts["passed"] >= 2
    assert tally.collected == 3


def test_forged_lines_cannot_do_harm():
    deep = b"[" * 100_000
    tally = add_up(told({"collected": 10**30}, {"collected": "9"}, {"o": ["passed"]}, 7, {"o": None}) + deep, ())
    assert tally.collected == 10**9
    assert sum(tally.counts.values()) == 0


def test_texts_are_cut():
    (failure,) = add_up(told({"o": "failed", "name": "n" * 999, "why": "w" * 999}), ()).failures
    assert (len(failure["name"]), len(failure["why"])) == (300, 300)


def test_what_missing_modules_explain_is_counted_apart():
    why = "ModuleNotFoundError: No module named 'mock.thing'"
    tally = add_up(told({"o": "error", "why": why}, {"o": "failed", "why": "assert 1 == 2"}), ["good"])
    assert (tally.bad, tally.bad_by_missing, tally.missing) == (2, 1, {"mock"})
    assert tally.data()["missing"] == ["mock"]


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("No module named 'mock'", "mock"),
        ("No module named mock", "mock"),
        ("No module named 'good.sub'", None),
        ("No module named 'distutils'", None),
        ("fixture 'mocker' not found", "fixture mocker"),
        ("assert False", None),
    ],
)
def test_only_what_is_someone_elses_is_missing(text: str, missing: str | None):
    assert missing_module(text, ["good"]) == missing


def test_the_reports_numbers_add_up():
    said = [{"o": "passed"}, {"o": "xpassed"}, {"o": "failed"}, {"o": "error"}, {"o": "skipped"}, {"o": "xfailed"}]
    data = add_up(told({"collected": 6}, *said), ()).data()
    assert (data["passed"], data["failed"], data["errors"], data["skipped"], data["xfailed"]) == (2, 1, 1, 1, 1)
