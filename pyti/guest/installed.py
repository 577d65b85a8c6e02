"""What an environment has installed: files, records, modules. Reads only; bounded."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .metadata import normalize

__all__ = ["Installed", "files_below", "find", "modules_of", "site_packages"]

MAX_LISTED = 200_000
MAX_RECORD = 32 * 1024 * 1024
MAX_HASHED = 32 * 1024 * 1024
"""Bytes of a distribution whose hashes are checked; the rest is checked by size."""

INSTALLERS_LOCK = ".lock"
"""uv leaves it in an environment's root; it belongs to no distribution."""

_SIZE = re.compile(r"[0-9]{1,15}")
EXTENSION = re.compile(r"\.(?:cpython-\d+[a-z]*(?:-[\w-]+)?|abi3)?\.?so$")
_SKIPPED_PARTS = frozenset({"tests", "test", "testing", "__pycache__", "conftest", "__main__"})


@dataclass(frozen=True)
class Installed:
    """One installed distribution."""

    site: Path
    info: Path
    """Its ``.dist-info`` folder."""
    files: tuple[tuple[str, str, str], ...]
    """Path relative to ``site``, hash and size, as RECORD has them."""

    def paths(self) -> list[Path]:
        """Where its files are."""
        return [Path(os.path.normpath(self.site / name)) for name, _, _ in self.files]

    def top_level(self) -> list[str]:
        """Return the names that it can be imported by."""
        tops = set()
        for name, _, _ in self.files:
            first, separator, _rest = name.partition("/")
            if first.endswith((".dist-info", ".data")) or first in ("..", "__pycache__"):
                continue
            if separator:
                if name.endswith((".py", ".so")):
                    tops.add(first)
            elif first.endswith(".py") or EXTENSION.search(first):
                tops.add(EXTENSION.sub("", first).removesuffix(".py"))
        return sorted(top for top in tops if top.isidentifier())

    def size(self) -> int:
        """Return its bytes, as recorded."""
        return sum(int(size) for _, _, size in self.files if _SIZE.fullmatch(size))

    def typed(self) -> bool:
        """Whether it says that it carries types (PEP 561)."""
        return any(name.endswith("/py.typed") for name, _, _ in self.files)

    def verify(self) -> list[str]:
        """Return the recorded files that are missing or differ from what was recorded; at most 100."""
        wrong = []
        budget = MAX_HASHED
        for name, digest, size in self.files:
            path = self.site / name
            try:
                found = path.stat()
                good = stat.S_ISREG(found.st_mode) and (not _SIZE.fullmatch(size) or int(size) == found.st_size)
                if good and digest.startswith("sha256=") and found.st_size <= budget:
                    budget -= found.st_size
                    good = _hash(path, found.st_size) == digest[7:].rstrip("=")
            except (OSError, ValueError):
                good = False
            if not good:
                wrong.append(name[:300])
        return wrong[:100]


def _hash(path: Path, size: int) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(size)).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def site_packages(venv: Path) -> Path:
    """Return the environment's folder of modules."""
    return next(iter(sorted(venv.glob("lib/python3*/site-packages"))), venv / "lib/python3/site-packages")


def find(venv: Path, name: str) -> Installed | None:
    """Return the installed distribution of that name."""
    site = site_packages(venv)
    for entry in sorted(path.name for path in site.iterdir()) if site.is_dir() else ():
        if entry.endswith(".dist-info") and normalize(entry.split("-")[0]) == normalize(name):
            return Installed(site, site / entry, _record(site / entry / "RECORD"))
    return None


def _record(path: Path) -> tuple[tuple[str, str, str], ...]:
    if not path.is_file() or path.is_symlink():
        return ()
    try:
        with path.open("rb") as file:
            text = file.read(MAX_RECORD).decode("utf-8", "replace")
        return tuple(
            (row[0], row[1] if len(row) > 1 else "", row[2] if len(row) > 2 else "")
            for row in csv.reader(io.StringIO(text))
            if row and row[0]
        )
    except (OSError, csv.Error):
        return ()


def files_below(folder: Path) -> frozenset[str]:
    """Every file below ``folder``, compiled bytecode left out."""
    found: set[str] = set()
    for base, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        found.update(f"{base}/{name}" for name in files if name != INSTALLERS_LOCK)
        if len(found) > MAX_LISTED:
            break
    return frozenset(found)


def modules_of(names: Iterable[str]) -> list[str]:
    """Return the importable modules among recorded files, parents before children; tests and scripts left out."""
    found = set()
    for name in names:
        if name.startswith(("../", "/")):
            continue
        if name.endswith(".py"):
            stem = name.removesuffix(".py")
        elif EXTENSION.search(name):
            stem = EXTENSION.sub("", name)
        else:
            continue
        parts = stem.split("/")
        if parts[-1] == "__init__" and len(parts) > 1:
            parts.pop()
        if all(part.isidentifier() for part in parts) and not _SKIPPED_PARTS.intersection(parts):
            found.add(tuple(parts))
    return [".".join(parts) for parts in sorted(found, key=lambda parts: (len(parts), parts))]
