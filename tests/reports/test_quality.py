from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pyti.rawdata.contract import TASKS
from pyti.reports.quality import quality

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
_KEYS = st.sampled_from(
    [
        "modules",
        "total",
        "ok",
        "collected",
        "passed",
        "failed",
        "errors",
        "duration",
        "score",
        "counts",
        "lines",
        "size",
        "wheel",
        "tags",
        "files",
        "bytes",
        "pth",
        "extensions",
        "left",
        "left_count",
        "classifiers",
        "license",
        "description_length",
        "framework",
        "typed",
        "consistent",
    ]
)


@given(st.dictionaries(st.sampled_from(TASKS), st.dictionaries(_KEYS, _JSON, max_size=6)))
def test_data_of_any_shape_gives_figures_and_never_raises(data: dict[str, Any]) -> None:
    figures = quality(data)
    assert all(sentence.isprintable() for sentence in figures.summary)


def test_nothing_known_gives_no_figures() -> None:
    assert quality({}).summary == ()


def test_test_counts_are_told_with_their_share() -> None:
    figures = quality({"tests": {"framework": "pytest", "collected": 10, "passed": 6, "failed": 2, "skipped": 2}})
    assert figures.tests is not None
    assert (figures.tests.passed, figures.tests.failed, figures.tests.skipped) == (6, 2, 2)
    assert figures.summary == ("6 of 8 tests pass (75 %); 2 skipped, 2 failed, 0 errors",)


def test_a_package_without_tests_gets_no_test_figures() -> None:
    assert quality({"tests": {"framework": "", "collected": 0, "passed": 0}}).tests is None


def test_style_is_counted_per_100_lines() -> None:
    style = quality({"pep8": {"total": 5, "lines": 200, "counts": {"E501": 4, "W291": 1}}}).pep8
    assert style is not None
    assert style.per_100_lines == 2.5
    assert list(style.counts.items()) == [("E501", 4), ("W291", 1)]


def test_a_pylint_score_beyond_its_scale_is_cut() -> None:
    lint = quality({"pylint": {"score": 1e9}}).pylint
    assert lint is not None
    assert lint.score == 10.0
    nothing = quality({"pylint": {"score": float("nan")}}).pylint
    assert nothing is not None
    assert nothing.score is None


def test_import_rate_names_what_failed() -> None:
    imports = quality(
        {
            "import": {
                "modules": [{"name": "a", "ok": True, "seconds": 2}, {"name": "b", "ok": False, "error": "boom\x1b"}]
            }
        }
    ).imports
    assert imports is not None
    assert (imports.ok, imports.total) == (1, 2)
    assert imports.failed == ("b: boom\\x1b",)
    assert imports.slowest == (("a", 2.0),)


def test_a_licence_may_stand_in_the_classifiers() -> None:
    metadata = quality({"metadata": {"classifiers": ["License :: OSI Approved"], "description_length": 3}}).metadata
    assert metadata is not None
    assert set(metadata.present) == {"license", "classifiers", "description"}


def test_wheel_and_leftovers_are_told() -> None:
    figures = quality(
        {
            "build": {"wheel": "a.whl", "size": 2048},
            "install": {"files": 3, "consistent": False},
            "uninstall": {"left_count": 2},
        }
    )
    assert figures.summary == (
        "the wheel has 2048 bytes, 3 files installed, 2 files stay behind after uninstalling, the installed versions do not fit together",  # noqa: E501 - one line of data
    )
