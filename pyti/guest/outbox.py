"""One job's outbox: append-only records, streams and artefacts, and a bell that rings when they grow.

Writers run in the agent's main thread; any number of followers read the sizes from theirs. A follower that takes a
``snapshot`` and sends the streams first never sends a record before the bytes that the record refers to.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO, Self

__all__ = ["Outbox", "Outboxes", "StreamWriter"]

RECORDS = "records.jsonl"
MAX_OUTBOX_BYTES = 256 * 1024 * 1024
"""As in the raw data contract."""
RECORDS_RESERVE = 32 * 1024 * 1024
"""Part of the outbox that streams may not use, so that records always fit."""
MAX_FILES = 480
"""A little below the contract's bound."""
MAX_DATA_BYTES = 768 * 1024
"""As in the raw data contract."""
GATHER_S = 0.2
"""How long a follower lets streams grow before it sends what is new."""
MAX_DETAIL = 4000
"""Characters of a detail; the contract takes 8192."""


class Outboxes:
    """All the jobs that this agent has seen, by id."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._jobs: dict[str, Outbox] = {}
        self._bell = threading.Condition()

    def open(self, job: str, attempt: int) -> Outbox:
        """Return a new outbox; ``FileExistsError`` when the job has had one."""
        outbox = Outbox(self._folder / job, job, attempt, self._bell)
        with self._bell:
            self._jobs[job] = outbox
            self._bell.notify_all()
        return outbox

    def find(self, job: str, timeout: float) -> Outbox | None:
        """Return the job's outbox; waits up to ``timeout`` seconds for the job to start."""
        with self._bell:
            self._bell.wait_for(lambda: job in self._jobs, timeout)
            return self._jobs.get(job)


class Outbox:
    """One job's outbox."""

    def __init__(self, folder: Path, job: str, attempt: int, bell: threading.Condition) -> None:
        folder.mkdir(mode=0o700)
        self.folder = folder
        self.job = job
        self.attempt = attempt
        self._bell = bell
        self._sizes: dict[str, int] = {}
        self._budget = MAX_OUTBOX_BYTES - RECORDS_RESERVE
        self._sequence = 0
        self._finished = False
        self._records = (folder / RECORDS).open("ab", buffering=0)
        self._sizes[RECORDS] = 0

    def record(self, kind: str, **fields: Any) -> None:
        """Append one record; ``data`` that is too large is replaced by a note that says so."""
        self._sequence += 1
        body: dict[str, Any] = {
            "type": kind,
            "seq": self._sequence,
            "at": time.time(),
            "job": self.job,
            "attempt": self.attempt,
            **fields,
        }
        if isinstance(detail := body.get("detail"), str):
            body["detail"] = detail[:MAX_DETAIL]
        if len(json.dumps(body.get("data", {}))) > MAX_DATA_BYTES:
            body["data"] = {"too_large": True}
        # file names may hold bytes that are no UTF-8: they leave as question marks
        line = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        self._records.write(line)
        with self._bell:
            self._sizes[RECORDS] += len(line)
            self._bell.notify_all()

    def finish(self) -> None:
        """Append the last record; nothing follows."""
        self.record("job.finished")
        self._records.close()
        with self._bell:
            self._finished = True
            self._bell.notify_all()

    def stream(self, path: str, limit: int) -> StreamWriter:
        """Return a new stream that keeps at most ``limit`` bytes."""
        return StreamWriter(self, path, limit)

    def artefact(self, task: str, name: str, content: bytes) -> dict[str, Any]:
        """Write one artefact and return its reference."""
        with self.stream(f"artefacts/{task}/{name}", len(content)) as stream:
            stream.write(content)
        return stream.reference()

    def grant(self, size: int) -> int:
        """How many of ``size`` bytes the outbox still has room for; they count as used."""
        granted = max(0, min(size, self._budget))
        self._budget -= granted
        return granted

    def full(self) -> bool:
        """Whether no further file may be opened."""
        return len(self._sizes) >= MAX_FILES

    def grew(self, path: str, size: int) -> None:
        """Tell the followers."""
        with self._bell:
            self._sizes[path] = size
            self._bell.notify_all()

    def snapshot(self) -> tuple[dict[str, int], bool]:
        """Return the sizes of all files now, the records last, and whether the job has finished."""
        with self._bell:
            sizes = dict(self._sizes)
            finished = self._finished
        sizes[RECORDS] = sizes.pop(RECORDS)
        return sizes, finished

    def wait_beyond(self, seen: dict[str, int], timeout: float) -> None:
        """Return soon after something differs from an earlier snapshot, or after ``timeout`` seconds.

        A new record is told at once; what streams bring is gathered for a moment, since it comes in small pieces.
        """
        with self._bell:
            if self._bell.wait_for(lambda: self._sizes != seen or self._finished, timeout):
                self._bell.wait_for(lambda: self._sizes[RECORDS] != seen[RECORDS] or self._finished, GATHER_S)


class StreamWriter:
    """An append-only file of the outbox, hashed while it grows."""

    def __init__(self, outbox: Outbox, path: str, limit: int) -> None:
        self.path = path
        self.size = 0
        self.total = 0
        self._limit = limit
        self._outbox = outbox
        self._digest = hashlib.sha256()
        self._file: BinaryIO | None = None
        if outbox.full():
            self._limit = 0
            return
        target = outbox.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        self._file = target.open("xb", buffering=0)
        outbox.grew(path, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, content: bytes) -> None:
        """Keep what fits, count the rest."""
        self.total += len(content)
        kept = content[: self._outbox.grant(min(len(content), self._limit - self.size))]
        if kept and self._file is not None:
            self._file.write(kept)
            self._digest.update(kept)
            self.size += len(kept)
            self._outbox.grew(self.path, self.size)

    def close(self) -> None:
        """Close the file; the reference stays valid."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def reference(self) -> dict[str, Any]:
        """Return the contract's StreamReference."""
        return {
            "path": self.path,
            "size": self.size,
            "sha256": self._digest.hexdigest(),
            "truncated": self.total > self.size,
            "total": self.total,
        }
