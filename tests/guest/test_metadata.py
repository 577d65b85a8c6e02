from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pyti.guest.metadata import Metadata, normalize, parse_metadata, parse_pyproject, static_requirements

TEXT = b"""Metadata-Version: 2.1
Name: good
Version: 1.0
Summary: UNKNOWN
License: MIT
Author-email: a@b.example
Requires-Python: >=3.8
Requires-Dist: idna <4
Requires-Dist: x ; extra == 'y'
Provides-Extra: y
Classifier: Typing :: Typed
Home-page: https://good.example

Text, and more.
"""


@given(st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,20}[A-Za-z0-9])?", fullmatch=True))
def test_names_are_compared_as_packaging_does(name: str):
    assert normalize(name) == canonicalize_name(name)


def test_metadata_is_read():
    found = parse_metadata(TEXT)
    assert (found.name, found.version, found.summary, found.license) == ("good", "1.0", "", "MIT")
    assert found.author == "a@b.example"
    assert found.requires_dist == ("idna <4", "x ; extra == 'y'")
    assert found.project_urls == ("Homepage, https://good.example",)
    assert found.description_length == len("Text, and more.\n")
    assert found.data()["provides_extra"] == ["y"]


@pytest.mark.parametrize("content", [b"", b"Name: x\n", b"Version: 1\n", b"\xff\xfe\0"])
def test_metadata_without_name_or_version_is_refused(content: bytes):
    with pytest.raises(ValueError, match="no name or no version"):
        parse_metadata(content)


@given(st.binary(max_size=400))
def test_whatever_stands_in_a_metadata_file_is_read_or_refused(content: bytes):
    with contextlib.suppress(ValueError):
        found = parse_metadata(b"Name: x\nVersion: 1\n" + content)
        assert isinstance(found.data()["summary"], str)


@pytest.mark.parametrize("content", [b"[", b"\xff", b"a = " + b"[" * 20_000, b"a = 1\na = 2\n"])
def test_a_pyproject_that_is_no_toml_is_refused(content: bytes):
    with pytest.raises(ValueError):  # noqa: PT011 - the text is the parser's
        parse_pyproject(content)


def about(version: str, *requires: str, dynamic: tuple[str, ...] = ()) -> Metadata:
    return Metadata(name="x", version="1", metadata_version=version, requires_dist=requires, dynamic=dynamic)


def test_metadata_of_2_2_is_static_unless_it_says_otherwise():
    assert static_requirements(about("2.2", "idna"), {}) == ("pkg-info", ("idna",))
    assert static_requirements(about("2.10", "idna"), {}) == ("pkg-info", ("idna",))
    assert static_requirements(about("2.2", "idna", dynamic=("requires-dist",)), {}) is None
    assert static_requirements(about("2.1", "idna"), {}) is None
    assert static_requirements(about("²", "idna"), {}) is None


def test_a_project_table_is_static_unless_it_says_otherwise():
    project = {"dependencies": ["idna"], "optional-dependencies": {"y": ["a; python_version > '3'", "b"]}}
    found = static_requirements(about("2.1"), {"project": project})
    assert found is not None
    assert found[0] == "pyproject"
    assert [str(Requirement(line)) for line in found[1]] == [
        "idna",
        'a; python_version > "3" and extra == "y"',
        'b; extra == "y"',
    ]
    assert static_requirements(about("2.1"), {"project": project | {"dynamic": ["dependencies"]}}) is None
    assert static_requirements(about("2.1"), {"project": {}}) == ("pyproject", ())
    assert static_requirements(about("2.1"), {"project": 7}) is None


@pytest.mark.parametrize(
    "project",
    [
        {"dependencies": 7},
        {"dependencies": [7]},
        {"dependencies": "idna"},
        {"dynamic": 7},
        {"optional-dependencies": []},
        {"optional-dependencies": {"y": "z"}},
    ],
)
def test_a_malformed_project_table_is_refused(project: dict[str, object]):
    with pytest.raises(ValueError, match="project"):
        static_requirements(about("2.1"), {"project": project})
