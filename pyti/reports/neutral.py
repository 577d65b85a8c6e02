"""Make text that strangers wrote harmless to look at: no terminal escapes, no invisible or reordering characters."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["LINE_LIMIT", "neutral_bytes", "neutral_line", "neutral_text", "xml_text"]

LINE_LIMIT = 300
"""Characters of one shown line: about four lines of an 80-column terminal."""

_MARKS = "[\\u0300-\\u036f\\u1ab0-\\u1aff\\u1dc0-\\u1dff\\u20d0-\\u20ff]"
_STACKED = re.compile(f"({_MARKS}{{3}}){_MARKS}+")
_PLAIN = re.compile(r"[ -~]*\Z")
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode categories: controls, formats (bidirectional overrides, joiners), surrogates, unassigned, line ends."""


def _shown(character: str) -> str:
    code = ord(character)
    category = unicodedata.category(character)
    if category == "Zs":
        return " "
    if category in _HIDDEN:
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    return character


def neutral_line(text: object, limit: int = LINE_LIMIT) -> str:
    """Give one line of at most ``limit`` characters; what is hidden or would move the cursor is shown as an escape."""
    raw = text if isinstance(text, str) else str(text)
    cut = raw[: limit + 1]
    shown = cut if _PLAIN.match(cut) else "".join(map(_shown, cut))
    # an unbounded run of combining marks paints over its neighbours: three are enough for any script
    shown = _STACKED.sub(r"\1", shown)
    if len(raw) > limit or len(shown) > limit:
        return shown[: max(0, limit - 1)] + "…"
    return shown


def neutral_text(text: object, limit: int = 65536, lines: int = 400) -> str:
    """Give several neutralised lines: line feeds and tabs stay what they mean, all else as in ``neutral_line``."""
    raw = (text if isinstance(text, str) else str(text))[:limit]
    rows = raw.replace("\r\n", "\n").expandtabs(4).split("\n")
    shown = [neutral_line(row, 2000) for row in rows[:lines]]
    if len(rows) > lines:
        shown.append(f"… {len(rows) - lines} more lines")
    return "\n".join(shown)


def neutral_bytes(data: bytes, limit: int = LINE_LIMIT) -> str:
    r"""Give one neutralised line for bytes: UTF-8 where it is, ``\xNN`` where it is not."""
    return neutral_line(data[: limit * 4].decode("utf-8", "backslashreplace"), limit)


def xml_text(text: object, limit: int = 65536) -> str:
    """Give text that XML 1.0 may hold; neutralised, so no illegal character is left (Char production, section 2.2)."""
    return neutral_text(text, limit)
