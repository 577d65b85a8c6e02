"""Code in ``.pth`` files, which every start of the interpreter runs (``site``: lines that begin with ``import``)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pyti.reports.rules.sighting import Sighting

__all__ = ["pth_sightings"]

_CODE = re.compile(r"import[ \t]")
_HARMFUL = re.compile(
    r"\b(exec|eval|compile)\s*\(|base64|b64decode|fromhex|marshal|zlib|codecs\.decode|urllib|urlopen|http\.client|requests|socket"
    r"|subprocess|os\.(system|popen|exec|spawn|fork)|ctypes|(\\x[0-9a-f]{2}){4}",
    re.IGNORECASE,
)
_MAX_FILES = 50
_MAX_LINES = 200
_LONG = 1000
"""Characters beyond which a line is no plain import; setuptools' namespace lines, the longest usual, have 500."""


def pth_sightings(data: Mapping[str, Any]) -> Iterator[Sighting]:
    """Give the sightings in the ``install`` task's ``pth`` list: ``[{"name": …, "lines": […]}]``, whatever it holds."""
    files = data.get("pth")
    for entry in files[:_MAX_FILES] if isinstance(files, list) else []:
        if not isinstance(entry, dict):
            continue
        name, lines = entry.get("name"), entry.get("lines")
        for line in lines[:_MAX_LINES] if isinstance(lines, list) else []:
            if not isinstance(line, str) or not _CODE.match(line):
                continue
            harmful: object = len(line) > _LONG or _HARMFUL.search(line[:65536])
            if not harmful and entry.get("own") is False:
                continue  # a dependency's, and harmless
            yield Sighting("PTH-002" if harmful else "PTH-001", f"{str(name)[:120]}: {line[:400]}", key=line[:400])
