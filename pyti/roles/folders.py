"""Folders below the home, made before anything is written to them."""

from __future__ import annotations

from pathlib import Path

from pyti.errors import OutOfSpace

__all__ = ["make_folder"]


def make_folder(folder: Path, *, mode: int = 0o777) -> None:
    """Make a folder with its parents, where it is not there; raises ``OutOfSpace`` when that is impossible."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=mode)
    except OSError as error:
        raise OutOfSpace(
            f"cannot make the folder {folder}: {error.strerror}",
            remedy="Free some space, or set PYTI_HOME to a folder that you may write to.",
        ) from error
