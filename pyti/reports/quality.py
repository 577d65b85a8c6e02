"""Figures about quality, each taken from one task's data, whose types and sizes are checked on the way.

There is no overall score: a number that mixes tests, style and metadata would hide which of them is bad.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pyti.reports.model import (
    ImportFigures,
    LintFigures,
    MetadataFigures,
    Quality,
    StyleFigures,
    TestFigures,
    WheelFigures,
)
from pyti.reports.neutral import neutral_line

__all__ = ["WANTED", "quality"]

_MAX_COUNT = 10**9
_MAX_ITEMS = 20_000
WANTED = ("summary", "license", "author", "requires_python", "classifiers", "project_urls", "description")
"""The metadata fields that a user needs: what it is, whether one may use it, who made it, where it runs,
where it lives."""

Data = Mapping[str, Any]


def quality(data: Mapping[str, Data]) -> Quality:
    """Take the figures out of the tasks' data, by task name; what is missing or of another type is left out."""
    figures = Quality(
        tests=_tests(data.get("tests")),
        imports=_imports(data.get("import")),
        pylint=_pylint(data.get("pylint")),
        pep8=_pep8(data.get("pep8")),
        wheel=_wheel(data.get("build"), data.get("install"), data.get("uninstall")),
        metadata=_metadata(data.get("metadata")),
        typed=_typed(data.get("install")),
    )
    return Quality(
        tests=figures.tests, imports=figures.imports, pylint=figures.pylint, pep8=figures.pep8,
        wheel=figures.wheel, metadata=figures.metadata, typed=figures.typed, summary=tuple(_sentences(figures)),
    )  # fmt: skip


def _count(data: Data, key: str) -> int:
    value = data.get(key)
    return min(value, _MAX_COUNT) if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _size(data: Data, key: str) -> int | None:
    value = data.get(key)
    if isinstance(value, list | dict):
        return len(value)
    return min(value, 2**50) if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _number(value: object, low: float, high: float) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return min(max(number, low), high) if math.isfinite(number) else None


def _text(data: Data, key: str, limit: int = 120) -> str:
    value = data.get(key)
    return neutral_line(value, limit) if isinstance(value, str) else ""


def _counts(value: object, limit: int = 10) -> dict[str, int]:
    if not isinstance(value, dict):
        return {}
    rows = [
        (neutral_line(key, 40), min(count, _MAX_COUNT))
        for key, count in list(value.items())[:_MAX_ITEMS]
        if isinstance(key, str) and isinstance(count, int) and not isinstance(count, bool) and count >= 0
    ]
    return dict(sorted(rows, key=lambda row: (-row[1], row[0]))[:limit])


def _tests(data: Data | None) -> TestFigures | None:
    if not data or not any(key in data for key in ("collected", "passed", "failed", "errors", "skipped")):
        return None
    counts = {key: _count(data, key) for key in ("passed", "failed", "errors", "skipped", "xfailed")}
    if not any(counts.values()) and not _count(data, "collected"):
        return None
    return TestFigures(
        framework=_text(data, "framework", 40), found_by=_text(data, "found_by"), collected=_count(data, "collected"),
        seconds=_number(data.get("duration"), 0, 1e6) or 0.0, **counts,
    )  # fmt: skip


def _imports(data: Data | None) -> ImportFigures | None:
    modules = data.get("modules") if data else None
    if not isinstance(modules, list) or data is None:
        return None
    rows = [row for row in modules[:_MAX_ITEMS] if isinstance(row, dict)]
    bad = [row for row in rows if row.get("ok") is not True]
    times = [
        (neutral_line(row.get("name", ""), 120), seconds)
        for row in rows
        if (seconds := _number(row.get("seconds"), 0, 1e6)) is not None
    ]
    total = max(_count(data, "total"), len(rows))
    return ImportFigures(
        total=total,
        ok=min(total, max(_count(data, "ok"), 0) if "ok" in data else len(rows) - len(bad)),
        failed=tuple(neutral_line(f"{row.get('name', '')}: {row.get('error', '')}", 240) for row in bad[:20]),
        slowest=tuple(sorted(times, key=lambda row: -row[1])[:3]),
    )


def _pylint(data: Data | None) -> LintFigures | None:
    if not data or not ("score" in data or "counts" in data):
        return None
    return LintFigures(
        score=_number(data.get("score"), -1000.0, 10.0), counts=_counts(data.get("counts")),
        statements=_count(data, "statements"), lines=_count(data, "lines"),
    )  # fmt: skip


def _pep8(data: Data | None) -> StyleFigures | None:
    if not data or not ("total" in data or "counts" in data):
        return None
    total, lines = _count(data, "total"), _count(data, "lines")
    rate = 100 * total / lines if lines else _number(data.get("per_100_lines"), 0, 1e6)
    return StyleFigures(
        total=total,
        lines=lines,
        per_100_lines=None if rate is None else round(rate, 2),
        counts=_counts(data.get("counts")),
    )


def _wheel(build: Data | None, install: Data | None, uninstall: Data | None) -> WheelFigures | None:
    build, install, uninstall = build or {}, install or {}, uninstall or {}
    if not build and not install:
        return None
    tags = build.get("tags")
    return WheelFigures(
        filename=_text(build, "wheel", 255),
        size=_size(build, "size"),
        tags=tuple(neutral_line(tag, 80) for tag in tags[:20] if isinstance(tag, str))
        if isinstance(tags, list)
        else (),
        backend=_text(build, "backend"),
        files=_size(install, "files"),
        installed_bytes=_size(install, "bytes"),
        extensions=_size(install, "extensions"),
        consistent=install["consistent"] if isinstance(install.get("consistent"), bool) else None,
        left_after_uninstall=_size(uninstall, "left_count") if "left_count" in uninstall else _size(uninstall, "left"),
    )


def _metadata(data: Data | None) -> MetadataFigures | None:
    if not data:
        return None
    present = {key: bool(data.get(key)) for key in WANTED}
    present["description"] = _count(data, "description_length") > 0 or bool(data.get("description"))
    classifiers = data.get("classifiers")
    if isinstance(classifiers, list) and any(
        isinstance(text, str) and text.startswith("License ::") for text in classifiers[:1000]
    ):
        present["license"] = True
    return MetadataFigures(
        present=tuple(key for key in WANTED if present[key]), missing=tuple(key for key in WANTED if not present[key])
    )


def _typed(data: Data | None) -> bool | None:
    if not data:
        return None
    if isinstance(data.get("typed"), bool):
        return bool(data["typed"])
    files = data.get("files")
    if isinstance(files, list):
        return any(isinstance(name, str) and name.endswith("py.typed") for name in files[:100_000])
    return None


def _sentences(figures: Quality) -> list[str]:
    """Say each figure in one sentence."""
    told: list[str] = []
    if tests := figures.tests:
        run = tests.passed + tests.failed + tests.errors
        share = f" ({100 * tests.passed / run:.0f} %)" if run else ""
        told.append(
            f"{tests.passed} of {run} tests pass{share}; "
            f"{tests.skipped} skipped, {tests.failed} failed, {tests.errors} errors"
        )
    if imports := figures.imports:
        told.append(f"{imports.ok} of {imports.total} modules can be imported")
    if (lint := figures.pylint) and lint.score is not None:
        told.append(f"pylint rates it {lint.score:.2f} of 10")
    if (style := figures.pep8) and style.per_100_lines is not None:
        told.append(f"{style.per_100_lines:g} PEP 8 remarks per 100 lines ({style.total} in {style.lines} lines)")
    if wheel := figures.wheel:
        parts = []
        if wheel.size is not None:
            parts.append(f"the wheel has {_bytes(wheel.size)}")
        if wheel.files is not None:
            parts.append(f"{wheel.files} files installed")
        if wheel.extensions:
            parts.append(f"{wheel.extensions} compiled modules")
        if wheel.left_after_uninstall:
            parts.append(f"{wheel.left_after_uninstall} files stay behind after uninstalling")
        if wheel.consistent is False:
            parts.append("the installed versions do not fit together")
        if parts:
            told.append(", ".join(parts))
    if meta := figures.metadata:
        lacking = ", ".join(name.replace("_", " ") for name in meta.missing)
        told.append(
            f"metadata: {len(meta.present)} of {len(WANTED)} wanted fields"
            + (f"; without {lacking}" if lacking else "")
        )
    if figures.typed is not None:
        told.append("ships type information (py.typed)" if figures.typed else "ships no type information (py.typed)")
    return told


def _bytes(size: int) -> str:
    return (
        f"{size} bytes"
        if size < 10_000
        else f"{size / 1024:.0f} KiB"
        if size < 10 * 2**20
        else f"{size / 2**20:.0f} MiB"
    )
