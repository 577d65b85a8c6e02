from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyti.reports.strace import (
    MAX_LINE_BYTES,
    Call,
    Ended,
    Joiner,
    Unreadable,
    decode_string,
    descriptor_path,
    lines_of,
    split_arguments,
)


def quoted(data: bytes) -> str:
    """Escape as strace does: names, octal with as many digits as needed, quotes and backslashes."""
    names = {9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}
    out = []
    for index, byte in enumerate(data):
        follows_digit = index + 1 < len(data) and 48 <= data[index + 1] <= 57
        if byte in names:
            out.append(names[byte])
        elif 32 <= byte < 127:
            out.append(chr(byte))
        else:
            out.append(f"\\{byte:03o}" if follows_digit else f"\\{byte:o}")
    return '"' + "".join(out) + '"'


@given(st.binary(max_size=200))
def test_every_string_that_strace_can_write_decodes_to_its_bytes(data: bytes) -> None:
    assert decode_string(quoted(data)) == (data.decode("utf-8", "backslashreplace"), False)


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_no_text_inside_a_string_can_end_it_or_the_line(first: bytes, second: bytes) -> None:
    line = f"7 1.000001 rename({quoted(first)}, {quoted(second)}) = 0"
    assert "\n" not in line
    call = Joiner().feed(line)
    assert isinstance(call, Call)
    assert [decode_string(argument) for argument in call.arguments] == [
        (first.decode("utf-8", "backslashreplace"), False),
        (second.decode("utf-8", "backslashreplace"), False),
    ]
    assert (call.name, call.result, call.error) == ("rename", "0", None)


@given(st.binary(max_size=2000))
def test_arbitrary_bytes_never_raise(data: bytes) -> None:
    joiner = Joiner()
    for line, _ in lines_of(data):
        joiner.feed(line)
    list(joiner.unfinished())


@given(
    st.lists(
        st.sampled_from(
            [
                "7 1.0 ",
                "openat(",
                '"',
                "\\",
                "<",
                ">",
                "<unfinished ...>",
                "<... openat resumed>",
                ")",
                " = ",
                "-1 EPERM",
                "+++ ",
                "exited with 1 +++",
                "{",
                "[",
                ",",
                "/*",
                "*/",
            ]
        ),
        max_size=40,
    ).map("".join)
)
def test_lines_put_together_from_straces_own_parts_never_raise(line: str) -> None:
    joiner = Joiner()
    joiner.feed(line)
    joiner.feed(line)
    list(joiner.unfinished())


@pytest.mark.parametrize(
    ("escaped", "plain"),
    [
        (r'"\x41\x5a"', "AZ"),
        (r'"\101\0"', "A\0"),
        (r'"\33[2J"', "\x1b[2J"),
        (r'"\342\200\256"', "\u202e"),
        (r'"a\"b\\c"', 'a"b\\c'),
        (r'"\377"', "\\xff"),
        ('""', ""),
        ('@"abs"', "@abs"),
    ],
)
def test_escapes_mean_what_strace_means(escaped: str, plain: str) -> None:
    assert decode_string(escaped) == (plain, False)


def test_a_shortened_string_is_told_from_a_whole_one() -> None:
    assert decode_string('"abc"...') == ("abc", True)
    assert decode_string("NULL") is None


def test_nested_arguments_stay_together() -> None:
    arguments, end = split_arguments('3<socket:[1]>, {a=[1, 2], b="x, )"}, 16) = 0')
    assert arguments == ["3<socket:[1]>", '{a=[1, 2], b="x, )"}', "16"]
    assert end == len('3<socket:[1]>, {a=[1, 2], b="x, )"}, 16)')


def test_a_descriptor_tells_its_path() -> None:
    assert descriptor_path(r"5</home/tester/a\nb\74c\76>") == "/home/tester/a\nb<c>"
    assert descriptor_path("5") is None
    assert descriptor_path("5<") is None


def test_the_halves_of_an_interrupted_call_are_put_together() -> None:
    joiner = Joiner()
    assert joiner.feed('8 1.5 execve("/bin/sh", ["sh"], 0x1 <unfinished ...>') is None
    assert joiner.feed("7 1.6 <... vfork resumed>) = 8") == Unreadable("7 1.6 <... vfork resumed>) = 8")
    call = joiner.feed("8 1.7 <... execve resumed>) = -1 ENOENT (No such file or directory)")
    assert call == Call(
        8, 1.5, "execve", ['"/bin/sh"', '["sh"]', "0x1"], "-1 ENOENT (No such file or directory)", "ENOENT"
    )


def test_a_call_that_never_came_back_is_not_lost() -> None:
    joiner = Joiner()
    joiner.feed("8 1.5 connect(3, {sa_family=AF_INET} <unfinished ...>")
    assert [call.name for call in joiner.unfinished()] == ["connect"]


def test_ends_and_signals() -> None:
    joiner = Joiner()
    assert joiner.feed("8 1.5 +++ exited with 3 +++") == Ended(8, 1.5, 3, "")
    assert joiner.feed("8 1.5 +++ killed by SIGSEGV (core dumped) +++") == Ended(8, 1.5, None, "SIGSEGV")
    assert joiner.feed("8 1.5 --- SIGCHLD {si_signo=SIGCHLD} ---") is None


def test_a_huge_line_is_cut_and_the_next_one_survives() -> None:
    data = b"x" * (5 * MAX_LINE_BYTES) + b"\n7 1.0 +++ exited with 0 +++\n"
    lines = list(lines_of(data, chunk=1000))
    assert [(len(line), cut) for line, cut in lines] == [(MAX_LINE_BYTES, True), (27, False)]


@given(st.binary(max_size=300), st.integers(1, 50))
def test_chunks_of_any_size_give_the_same_lines(data: bytes, size: int) -> None:
    whole = list(lines_of(data))
    assert list(lines_of(data, chunk=size)) == whole
    assert list(lines_of([data[i : i + size] for i in range(0, len(data), size)])) == whole
    assert list(lines_of(lambda: io.BytesIO(data))) == whole


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "body", ['"' * 60000, "/*" * 30000, '"' + '\\"' * 30000, "<\\" * 30000, "([{" * 20000, "sun_path=" * 7000]
)
def test_forged_lines_cost_no_more_than_linear_time(body: str) -> None:
    assert isinstance(Joiner().feed(f"1 1.0 openat({body}"), Call)  # quadratic time would run into the limit
