"""``job.json`` as the agent needs it."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

__all__ = ["Job", "Limits", "read_job"]

JOB_ID = re.compile(r"[a-z0-9][a-z0-9-]{3,63}")
FILENAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,254}")


@dataclass(frozen=True)
class Limits:
    """What one phase may use; the contract's ``Limits``."""

    wall_s: float = 300.0
    memory_bytes: int = 768 * 1024 * 1024
    pids: int = 256
    output_bytes: int = 8 * 1024 * 1024
    trace_bytes: int = 64 * 1024 * 1024
    file_bytes: int = 2 * 1024 * 1024 * 1024


@dataclass(frozen=True)
class Job:
    """The contract's ``GuestJob``, and where its files lie."""

    job: str
    attempt: int
    name: str
    version: str
    filename: str
    kind: str
    folder: Path
    tasks: tuple[str, ...]
    extras: tuple[str, ...] = ()
    test_extras: tuple[str, ...] = ()
    test_requirements: tuple[str, ...] = ()
    limits: Limits = Limits()
    task_limits: dict[str, Limits] = field(default_factory=dict)
    time_limit_s: float = 1800.0
    trace: bool = True

    @property
    def dist(self) -> Path:
        """The file under test."""
        return self.folder / "dist" / self.filename

    @property
    def wheelhouse(self) -> Path:
        """Its dependencies and build requirements."""
        return self.folder / "wheelhouse"

    def limits_of(self, task: str) -> Limits:
        """Return the limits of every phase of a task."""
        return self.task_limits.get(task, self.limits)


def read_job(folder: Path) -> Job:
    """Read ``folder/job.json``; ``ValueError`` says what is wrong with it."""
    raw = json.loads((folder / "job.json").read_bytes())
    if not isinstance(raw, dict) or raw.get("v", 1) != 1 or raw.get("job") != folder.name:
        raise ValueError("not a version 1 job for this folder")
    dist = _object(raw.get("dist"))
    filename = str(dist.get("filename", ""))
    if not FILENAME.fullmatch(filename):
        raise ValueError(f"not a file name: {filename[:80]!r}")
    if dist.get("kind") not in ("wheel", "sdist"):
        raise ValueError(f"unknown kind of distribution: {dist.get('kind')!r}")
    return Job(
        job=folder.name,
        attempt=int(raw.get("attempt", 1)),
        name=str(dist.get("name", "")),
        version=str(dist.get("version", "")),
        filename=filename,
        kind=str(dist["kind"]),
        folder=folder,
        tasks=_texts(raw.get("tasks")),
        extras=_texts(dist.get("extras")),
        test_extras=_texts(dist.get("test_extras")),
        test_requirements=_texts(raw.get("test_requirements")),
        limits=_limits(raw.get("limits")),
        task_limits={task: _limits(value) for task, value in _object(raw.get("task_limits")).items()},
        time_limit_s=float(raw.get("time_limit_s", 1800.0)),
        trace=bool(raw.get("trace", True)),
    )


def _object(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError("an object was expected")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError("a list of texts was expected")
    return tuple(value)


def _limits(value: Any) -> Limits:
    given = _object(value)
    known = asdict(Limits())
    return replace(Limits(), **{key: type(known[key])(number) for key, number in given.items() if key in known})
