from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyti.guest.tasks.entry_points import TARGET, parse


def test_groups_names_and_targets_are_read():
    text = "[console_scripts]\nRun = pkg.cli:main\nold=pkg.cli : main [extra]\n\n[x.y]\nplug: in = pkg\n"
    assert parse(text) == [
        ("console_scripts", "Run", "pkg.cli:main"),
        ("console_scripts", "old", "pkg.cli:main"),
        ("x.y", "plug: in", "pkg"),
    ]


def test_a_percent_sign_is_no_interpolation():
    assert parse("[g]\n100% = pkg:x\n") == [("g", "100%", "pkg:x")]


@pytest.mark.parametrize(
    "text",
    ["[g]\na = b c\n", "a = b\n", "[g\na = b\n", "[g]\na = ../x:y\n", "[g]\na = pkg:\n", "[g]\na = import os;x\n"],
)
def test_what_names_nothing_is_malformed(text: str):
    with pytest.raises(ValueError):  # noqa: PT011 - the parser's text
        parse(text)


@given(st.text(alphabet="[]ab.:= \n\t#%;\0é", max_size=60))
def test_whatever_stands_there_is_read_or_refused(text: str):
    with contextlib.suppress(ValueError):
        for _, _, target in parse(text):
            assert TARGET.fullmatch(target)
