"""Placeholder."""

from __future__ import annotations

from ..context import Context
from ..verdict import Verdict


def run(context: Context) -> Verdict:
    """Run."""
    return Verdict("error", "infrastructure", f"{context.task} is not in this image")
