"""The raw data API: the inbox/outbox contract, and the stream between slave and guest.

A slave opens a ``GuestSession`` to a machine, wakes it, delivers a ``GuestJob`` with its files, and follows the raw
data while the guest produces it. ``FrameDecoder`` and ``RecordDecoder`` check every byte and every record that comes
out, without I/O; everything that breaks a bound is ``GuestMisbehaved``.
"""

from pyti.rawdata.contract import (
    MAX_DATA_BYTES,
    MAX_FILES,
    MAX_OUTBOX_BYTES,
    MAX_RECORD_BYTES,
    MAX_RECORDS,
    OUTBOX_PATH,
    TASKS,
    GuestAddress,
    GuestDistribution,
    GuestJob,
    JobFinished,
    JobStarted,
    Limits,
    Outcome,
    Phase,
    RawRecord,
    StreamReference,
    TaskFinished,
    TaskStarted,
)
from pyti.rawdata.frames import Frame, FrameDecoder
from pyti.rawdata.records import RecordDecoder
from pyti.rawdata.session import Completed, GuestSession

__all__ = [
    "MAX_DATA_BYTES",
    "MAX_FILES",
    "MAX_OUTBOX_BYTES",
    "MAX_RECORDS",
    "MAX_RECORD_BYTES",
    "OUTBOX_PATH",
    "TASKS",
    "Completed",
    "Frame",
    "FrameDecoder",
    "GuestAddress",
    "GuestDistribution",
    "GuestJob",
    "GuestSession",
    "JobFinished",
    "JobStarted",
    "Limits",
    "Outcome",
    "Phase",
    "RawRecord",
    "RecordDecoder",
    "StreamReference",
    "TaskFinished",
    "TaskStarted",
]
