r"""Read strace's text: one line in, one typed item out; nothing here knows what a call means.

The lines are those of ``strace -f -ttt -y -s 256 -o FILE`` (strace 6.1)::

    PID TIME name(arguments) = result [ERROR (words)]
    PID TIME name(arguments <unfinished ...>
    PID TIME <... name resumed>more arguments) = result
    PID TIME --- SIGNAL {…} ---
    PID TIME +++ exited with N +++        or  +++ killed by SIGNAL +++

What a traced process writes stands inside quotes, with ``\n``, ``\"``, ``\xNN`` and ``\NNN`` escaped, so it cannot
start a line of its own. All patterns take time linear in the line's length, also on lines that strace would
never write.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, NamedTuple

__all__ = [
    "MAX_LINE_BYTES",
    "MAX_UNFINISHED",
    "Call",
    "Ended",
    "Joiner",
    "Source",
    "Unreadable",
    "decode_string",
    "descriptor_path",
    "lines_of",
    "split_arguments",
]

MAX_LINE_BYTES = 64 * 1024
"""What is kept of one line: an execve with 64 arguments of 256 escaped bytes each."""
MAX_UNFINISHED = 4096
"""Calls that may be unfinished at once; more than the guest's limit on processes."""

Source = bytes | Iterable[bytes] | Callable[[], BinaryIO]
"""A trace: all of it, chunks of any size, or something that opens a binary stream."""


class Call(NamedTuple):
    """One finished system call; ``error`` is the errno's name, ``result`` the text after the equals sign."""

    pid: int
    at: float
    name: str
    arguments: list[str]
    result: str
    error: str | None


class Ended(NamedTuple):
    """A process or thread is gone: with an exit status, or by a signal's name."""

    pid: int
    at: float
    status: int | None
    signal: str


class Unreadable(NamedTuple):
    """A line that strace does not write."""

    text: str


_LINE = re.compile(r"(?:(\d{1,9}) +)?(\d{1,12}\.\d{1,9}) (.*)\Z", re.DOTALL)
_NAME = re.compile(r"([a-z_][a-z0-9_]{0,63})\(")
_RESUMED = re.compile(r"<\.\.\. ([a-z_][a-z0-9_]{0,63}) resumed>")
_EXITED = re.compile(r"\+\+\+ exited with (-?\d{1,9}) \+\+\+")
_KILLED = re.compile(r"\+\+\+ killed by (SIG[A-Z0-9_+]{1,20})")
_RESULT = re.compile(r"\s*= (.*)\Z", re.DOTALL)
_ERROR = re.compile(r"-1 (E[A-Z0-9]{1,20})")
_UNFINISHED = "<unfinished ...>"
_TOKEN = re.compile(
    r'"(?:[^"\\]|\\.)*(?:"(?:\.\.\.)?|\\?\Z)'  # a string; a cut line may end inside it
    r"|<(?:[^<>\\]|\\.)*(?:>|\\?\Z)"  # what -y adds to a descriptor
    r"|/\*[^*]*\*/"
    r"|[\[{(]|[\]})]|,"
    r'|[^"<\[\](){},/]+|.',
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|[0-7]{1,3}|.)", re.DOTALL)
_NAMED = {"n": "\n", "t": "\t", "r": "\r", "v": "\v", "f": "\f", "a": "\a", "b": "\b", "e": "\x1b"}


def lines_of(source: Source, chunk: int = 1 << 18) -> Iterator[tuple[str, bool]]:
    """Give the lines of a trace, each with whether it was cut at ``MAX_LINE_BYTES``; memory stays bounded.

    Bytes become the characters of the same number (Latin-1), so that nothing is lost and nothing fails.
    """
    rest = b""
    cut = False
    for piece in _chunks(source, chunk):
        rows = (rest + piece).split(b"\n")
        rest = rows.pop()
        for row in rows:
            if cut or len(row) > MAX_LINE_BYTES:
                yield row[:MAX_LINE_BYTES].decode("latin-1"), True
                cut = False
            else:
                yield row.decode("latin-1"), False
        if len(rest) > MAX_LINE_BYTES:
            rest = rest[:MAX_LINE_BYTES]
            cut = True
    if rest:
        yield rest.decode("latin-1"), True


def _chunks(source: Source, chunk: int) -> Iterator[bytes]:
    if isinstance(source, bytes | bytearray | memoryview):
        view = memoryview(source)
        for start in range(0, len(view), chunk):
            yield bytes(view[start : start + chunk])
    elif callable(source):
        with source() as stream:
            while piece := stream.read(chunk):
                yield piece
    else:
        for piece in source:
            for start in range(0, len(piece), chunk):
                yield bytes(piece[start : start + chunk])


def split_arguments(text: str, start: int = 0) -> tuple[list[str], int]:
    """Split ``a, {b, c}, "d")…`` at its outer commas; give the arguments and the index behind the closing bracket.

    Without a closing bracket the index is -1.
    """
    arguments: list[str] = []
    depth = 0
    begin = start
    for token in _TOKEN.finditer(text, start):
        mark = token.group()
        if mark in "[{(":
            depth += 1
        elif mark in "]})":
            if depth == 0:
                if mark == ")":
                    last = text[begin : token.start()].strip()
                    if last or arguments:
                        arguments.append(last)
                    return arguments, token.end()
            else:
                depth -= 1
        elif mark == "," and depth == 0:
            arguments.append(text[begin : token.start()].strip())
            begin = token.end()
    last = text[begin:].strip()
    if last:
        arguments.append(last)
    return arguments, -1


def decode_string(argument: str) -> tuple[str, bool] | None:
    r"""Give the text of a quoted argument and whether strace cut it; ``None`` where it is no string.

    A leading ``@`` (an abstract socket's name) stays. Bytes that are not UTF-8 become ``\xNN``.
    """
    prefix = ""
    if argument.startswith('@"'):
        prefix, argument = "@", argument[1:]
    if not argument.startswith('"'):
        return None
    match = _TOKEN.match(argument)
    body = match.group() if match else argument
    cut = body.endswith('"...')
    body = body[1:-4] if cut else body[1:-1] if len(body) > 1 and body.endswith('"') else body[1:]
    return prefix + _unescape(body), cut


def _unescape(body: str) -> str:
    if "\\" in body:
        body = _ESCAPE.sub(_character, body)
    try:
        return body.encode("latin-1").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return body


def _character(match: re.Match[str]) -> str:
    code = match.group(1)
    if code[0] == "x" and len(code) == 3:
        return chr(int(code[1:], 16))
    if code[0] in "01234567":
        return chr(int(code, 8) & 0xFF)
    return _NAMED.get(code, code)


def descriptor_path(argument: str) -> str | None:
    """Give the path that ``-y`` added: ``3</tmp/x>`` is ``/tmp/x``; ``None`` where there is none."""
    begin = argument.find("<")
    if begin < 0 or len(argument) < begin + 2:
        return None
    match = _TOKEN.match(argument, begin)
    if match is None or not match.group().endswith(">") or len(match.group()) < 2:
        return None
    return _unescape(match.group()[1:-1])


class Joiner:
    """Turns lines into items, putting unfinished calls together with their ends."""

    def __init__(self) -> None:
        self._open: dict[tuple[int, str], tuple[float, str]] = {}

    def feed(self, line: str) -> Call | Ended | Unreadable | None:
        """Read one line; ``None`` for a signal's delivery and for the first half of a call."""
        match = _LINE.match(line)
        if match is None:
            return Unreadable(line) if line.strip() else None
        pid, at, rest = int(match.group(1) or 0), float(match.group(2)), match.group(3)
        if rest.startswith("---"):
            return None
        if rest.startswith("+++"):
            return self._ended(pid, at, rest)
        if resumed := _RESUMED.match(rest):
            name = resumed.group(1)
            began = self._open.pop((pid, name), None)
            if began is None:
                return Unreadable(line)
            at, head = began
            rest = f"{name}({head}{rest[resumed.end() :]}"
        named = _NAME.match(rest)
        if named is None:
            return Unreadable(line)
        name = named.group(1)
        if rest.endswith(_UNFINISHED):
            if len(self._open) >= MAX_UNFINISHED:
                self._open.pop(next(iter(self._open)))
            self._open[pid, name] = (at, rest[named.end() : -len(_UNFINISHED)].rstrip(" ")[:MAX_LINE_BYTES])
            return None
        arguments, end = split_arguments(rest, named.end())
        if end < 0:
            return Call(pid, at, name, arguments, "", "EUNKNOWN")
        result = _RESULT.match(rest, end)
        if result is None:
            return Unreadable(line)
        value = result.group(1).strip()
        error = _ERROR.match(value)
        return Call(
            pid, at, name, arguments, value, error.group(1) if error else "EUNKNOWN" if value[:1] == "?" else None
        )

    def spawner(self) -> int | None:
        """Give the process whose clone, fork or vfork began last and has not come back: a new process is its child."""
        return next((pid for pid, name in reversed(self._open) if name in ("vfork", "fork", "clone", "clone3")), None)

    def _ended(self, pid: int, at: float, rest: str) -> Ended | Unreadable | None:
        for key in [key for key in self._open if key[0] == pid]:
            del self._open[key]
        if exited := _EXITED.match(rest):
            return Ended(pid, at, int(exited.group(1)), "")
        if killed := _KILLED.match(rest):
            return Ended(pid, at, None, killed.group(1))
        return None if rest.startswith("+++ superseded") else Unreadable(rest)

    def unfinished(self) -> Iterator[Call]:
        """Give the calls that never came back, such as an execve that was killed, in the order of their start."""
        for (pid, name), (at, head) in self._open.items():
            yield Call(pid, at, name, split_arguments(head)[0], "", "EUNFINISHED")
        self._open.clear()
