"""Keeps the garbage collector's pauses short in a process that is PyTI's own."""

from __future__ import annotations

import gc

__all__ = ["keep_collections_short"]

THRESHOLDS = (50_000, 20, 100)
"""Allocations before a collection of the youngest generation, then of each older one by the one before it.

With CPython's defaults (700, 10, 10) a full collection over the objects of a large resolution took up to 125 ms, which
blocks the event loop (measured on two cores with 100 projects' pages in memory).
"""


def keep_collections_short() -> None:
    """Put what is there already out of the collector's sight, and collect the oldest generation seldom.

    Call it once, when everything is imported and opened. It changes the whole process, so programs that embed PyTI
    decide for themselves.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
