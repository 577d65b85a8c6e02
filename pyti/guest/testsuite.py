"""Finds a package's test suite as Debian's pybuild and Gentoo's eclasses do: by configuration, names and imports.

Reads only. What is found is moved by the ``tests`` task so that the installed package is tested, not the source tree.
"""

from __future__ import annotations

import configparser
import os
import re
import tomllib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Suite", "find_suite", "package_folders", "test_files"]

FOLDERS = ("tests", "test", "testing", "t")
"""Names of folders that hold tests."""
NAME = re.compile(r"(?:test_.*|.*_tests?|tests?|.*Test)\.py")
SKIPPED = frozenset(
    {"build", "dist", ".git", ".tox", ".eggs", "node_modules", "docs", "doc", "examples", "__pycache__"}
)
BASES = ("", "src", "lib", "python", "source")
"""Where trees keep their packages."""
MAX_FILES = 20_000
MAX_READ = 256
"""Test files that are read to see which framework they use."""
MAX_BYTES = 64 * 1024


@dataclass(frozen=True)
class Suite:
    """A test suite in a tree."""

    framework: str
    """``pytest`` or ``unittest``."""
    found_by: str
    """The evidence that decided."""
    paths: tuple[str, ...]
    """Folders and files to run, relative to the tree; empty where all tests lie inside packages."""
    inside: tuple[str, ...]
    """Test files inside the package's own folders, relative to the tree."""
    config: str | None
    """The file with pytest's configuration."""


def package_folders(tree: Path, tops: Collection[str]) -> list[Path]:
    """Where the tree keeps what was installed, so that a test could import it by mistake."""
    found = []
    for base in BASES:
        for top in sorted(set(tops) - set(FOLDERS)):
            found += [path for path in (tree / base / top, tree / base / f"{top}.py") if path.exists()]
    return found


def test_files(tree: Path) -> list[str]:
    """Test files by name, relative to ``tree``, in order."""
    return sorted(path for path in _walk(tree) if _is_test(path))


def find_suite(tree: Path, tops: Collection[str]) -> Suite | None:
    """Return the suite of an unpacked sdist whose packages are named ``tops``, or ``None`` when it ships none."""
    packages = [f"{path.relative_to(tree)}/" for path in package_folders(tree, tops) if path.is_dir()]
    files = test_files(tree)
    inside = tuple(path for path in files if path.startswith(tuple(packages)))
    outside = [path for path in files if path not in set(inside)]
    paths = sorted({_start(path) for path in outside})
    config = _config(tree)
    if not files:
        return None
    framework, found_by = _framework(tree, files, config)
    return Suite(framework, found_by, tuple(paths), inside, config)


def _framework(tree: Path, files: list[str], config: str | None) -> tuple[str, str]:
    if config:
        return "pytest", f"configuration in {config}"
    conftests = [path for path in _walk(tree) if path.rpartition("/")[2] == "conftest.py"]
    if conftests:
        return "pytest", conftests[0]
    unittest = ""
    for path in files[:MAX_READ]:
        text = _read(tree / path)
        if re.search(r"^\s*(?:import|from)\s+(?:pytest|_pytest|hypothesis)\b", text, re.MULTILINE):
            return "pytest", f"imported by {path}"
        if not unittest and re.search(r"\bunittest\b", text):
            unittest = path
    for name in ("tox.ini", "pyproject.toml", "setup.py", "setup.cfg", "requirements-dev.txt", "noxfile.py"):
        if "pytest" in _read(tree / name):
            return "pytest", f"named in {name}"
    return ("unittest", f"imported by {unittest}") if unittest else ("pytest", f"the name of {files[0]}")


def _config(tree: Path) -> str | None:
    if (tree / "pytest.ini").is_file():
        return "pytest.ini"
    try:
        tool = tomllib.loads(_read(tree / "pyproject.toml")).get("tool", {})
        if isinstance(tool, dict) and "pytest" in tool:
            return "pyproject.toml"
    except tomllib.TOMLDecodeError:
        pass
    for name, section in (("tox.ini", "pytest"), ("setup.cfg", "tool:pytest")):
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read_string(_read(tree / name))
        except configparser.Error:
            continue
        if parser.has_section(section):
            return name
    return None


def _is_test(path: str) -> bool:
    return bool(NAME.fullmatch(path.rpartition("/")[2]))


def _start(path: str) -> str:
    """Return the outermost test folder that a test file lies in, else the file itself."""
    parts = path.split("/")
    for depth, part in enumerate(parts[:-1], 1):
        if part in FOLDERS or part.startswith("test"):
            return "/".join(parts[:depth])
    return path


def _walk(tree: Path) -> Iterator[str]:
    count = 0
    for base, folders, files in os.walk(tree):
        folders[:] = sorted(name for name in folders if name not in SKIPPED and not name.endswith(".egg-info"))
        prefix = os.path.relpath(base, tree)
        for name in files:
            count += 1
            if count > MAX_FILES:
                return
            if name.endswith(".py"):
                yield name if prefix == "." else f"{prefix}/{name}"


def _read(path: Path) -> str:
    if not path.is_file() or path.is_symlink():
        return ""
    with path.open("rb") as file:
        return file.read(MAX_BYTES).decode("utf-8", "replace")
