"""Room on the disk: asked before work that needs it, and told apart from other failures when it runs out."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyti.errors import OutOfSpace

__all__ = ["require_space", "space_errors"]

REMEDY = "Free some space, or set PYTI_HOME to a folder on a larger disk."


def require_space(folder: Path, needed: int, *, purpose: str) -> None:
    """Raise ``OutOfSpace`` where the disk below ``folder`` has fewer than ``needed`` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OutOfSpace(
            f"{purpose} needs {needed // 2**20} MiB free below {folder}, but there are {free // 2**20} MiB",
            remedy=REMEDY,
        )


@contextmanager
def space_errors(purpose: str) -> Iterator[None]:
    """Turn the system's "no space left" and "quota exceeded" into ``OutOfSpace``."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise OutOfSpace(f"the disk became full during {purpose}: {error.filename or ''}", remedy=REMEDY) from error
        raise
