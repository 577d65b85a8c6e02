"""Which files of ``pyti.guest`` go into an image, and the digest that tells whether an image still has these."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath

__all__ = ["GUEST_FOLDER", "RECIPE_FOLDER", "digest_of", "guest_files", "recipe_files"]

GUEST_FOLDER = Path(__file__).parent.parent / "guest"
RECIPE_FOLDER = Path(__file__).parent / "recipe"


def guest_files(folder: Path = GUEST_FOLDER) -> dict[PurePosixPath, Path]:
    """Every Python file of the guest's package, by its path inside the package."""
    return {PurePosixPath(path.relative_to(folder)): path for path in sorted(folder.rglob("*.py"))}


def recipe_files(folder: Path = RECIPE_FOLDER) -> dict[PurePosixPath, Path]:
    """Every file of the recipe."""
    return {PurePosixPath(path.name): path for path in sorted(folder.iterdir()) if path.is_file()}


def digest_of(files: dict[PurePosixPath, Path], *more: str) -> str:
    """SHA-256 over names and contents; ``more`` is mixed in."""
    total = hashlib.sha256()
    for part in more:
        total.update(part.encode() + b"\0")
    for name, path in sorted(files.items()):
        content = path.read_bytes()
        total.update(f"{name}\0{len(content)}\0".encode())
        total.update(content)
    return total.hexdigest()
