from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pyti.reports.neutral import neutral_bytes, neutral_line, neutral_text, xml_text


@given(st.text(max_size=500))
def test_a_line_is_one_printable_bounded_line(text: str) -> None:
    line = neutral_line(text, 80)
    assert line.isprintable()
    assert len(line) <= 80


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=80))
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert neutral_line(text, 80) == text


@given(st.text(max_size=300))
def test_text_keeps_line_feeds_alone(text: str) -> None:
    assert all(line.isprintable() for line in neutral_text(text).split("\n"))
    assert all(line.isprintable() for line in xml_text(text).split("\n"))


@given(st.binary(max_size=300))
def test_bytes_of_any_kind_can_be_shown(data: bytes) -> None:
    assert neutral_bytes(data).isprintable()


def test_escapes_and_reordering_are_made_visible() -> None:
    assert neutral_line("\x1b]0;x\x07\u202eabc\u200b\x9b31m\r\n") == "\\x1b]0;x\\x07\\u202eabc\\u200b\\x9b31m\\x0d\\x0a"


def test_letters_of_all_scripts_stay() -> None:
    assert neutral_line("Grüße, мир, 世界") == "Grüße, мир, 世界"


def test_towers_of_marks_are_cut() -> None:
    assert neutral_line("a" + "\u0301" * 200) == "a" + "\u0301" * 3
