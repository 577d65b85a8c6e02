"""Which Python files of an installed distribution the linters look at, and how much that is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .installed import Installed

__all__ = ["Sources", "select"]

MAX_FILES = 2000
MAX_FILE_BYTES = 1024 * 1024
"""A larger file is generated; it says nothing about style and would take all the time."""


@dataclass(frozen=True)
class Sources:
    """The chosen files, and what there is in all."""

    files: tuple[str, ...]
    total: int

    def covered(self, done: int) -> dict[str, Any]:
        """How much was looked at after ``done`` of the files."""
        return {"files": done, "of": self.total, "complete": done >= self.total}


def select(installed: Installed) -> Sources:
    """Return the installed ``.py`` files, shallow ones first, so that a cut leaves the heart of the package in."""
    paths = [path for path in installed.paths() if path.suffix == ".py" and path.is_file() and not path.is_symlink()]
    paths.sort(key=lambda path: (len(path.parts), str(path)))
    small = [path for path in paths if size_of(path) <= MAX_FILE_BYTES]
    return Sources(tuple(str(path) for path in small[:MAX_FILES]), len(paths))


def size_of(path: Path) -> int:
    """Return the file's size in bytes."""
    return path.stat().st_size
