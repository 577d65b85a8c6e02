"""The store: what outlives a process. Jobs and reports in SQL, blobs by content address, a slave's journal.

The master opens a ``Store`` (SQLite in a file, or PostgreSQL for several masters) and everybody the same
``Blobs`` (a folder, or ``s3://…`` for many hosts); each slave has a ``Journal`` of its own. What may happen to a job
is decided in ``job_state``, which is pure; the SQL writes down what it says. Opening a store upgrades its schema.
"""

from __future__ import annotations

from pyti.store.blobs import Blobs
from pyti.store.job_state import Standing
from pyti.store.journal import Acceptance, Journal
from pyti.store.records import CancelRequest, CursorUpdate, JobRecord, Upload
from pyti.store.store import Clock, Store

__all__ = [
    "Acceptance",
    "Blobs",
    "CancelRequest",
    "Clock",
    "CursorUpdate",
    "JobRecord",
    "Journal",
    "Standing",
    "Store",
    "Upload",
]
