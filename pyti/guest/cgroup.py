"""One control group (cgroup v2) per phase: limits, accounting, and a kill that nothing escapes.

Where the machine has no such controllers (tests on a host), ``Cgroup.create`` returns ``None`` and phases do with
resource limits alone.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from .job import Limits

__all__ = ["Cgroup", "Usage"]


@dataclass(frozen=True)
class Usage:
    """What a control group has used."""

    peak_bytes: int | None
    user_s: float
    system_s: float
    out_of_memory: bool
    out_of_pids: bool


@dataclass(frozen=True)
class Cgroup:
    """A control group that exists."""

    path: Path

    @classmethod
    def create(cls, base: Path, name: str, limits: Limits) -> Cgroup | None:
        """Return a fresh group below ``base``, or ``None`` where memory and process controllers are missing."""
        if not enable(base):
            return None
        path = base / name
        with contextlib.suppress(FileNotFoundError):
            path.rmdir()
        path.mkdir()
        for file, value in (
            ("memory.max", limits.memory_bytes),
            ("memory.swap.max", 0),
            ("memory.oom.group", 1),
            ("pids.max", limits.pids),
        ):
            with contextlib.suppress(FileNotFoundError):
                (path / file).write_text(str(value))
        return cls(path)

    @property
    def procs(self) -> Path:
        """The file that a process writes its id into to join."""
        return self.path / "cgroup.procs"

    def count(self) -> int:
        """Return how many processes are in the group now."""
        return len(self.procs.read_bytes().split())

    def kill(self) -> None:
        """Kill every process in the group, at once and for good."""
        (self.path / "cgroup.kill").write_text("1")

    def usage(self) -> Usage:
        """Account for the group's whole life."""
        cpu = self._pairs("cpu.stat")
        memory = self._pairs("memory.events")
        peak = self._text("memory.peak")
        return Usage(
            peak_bytes=int(peak) if peak.isdigit() else None,
            user_s=cpu.get("user_usec", 0) / 1e6,
            system_s=cpu.get("system_usec", 0) / 1e6,
            out_of_memory=memory.get("oom_kill", 0) > 0 or memory.get("oom", 0) > 0,
            out_of_pids=self._pairs("pids.events").get("max", 0) > 0,
        )

    def remove(self) -> None:
        """Remove the group, which must be empty."""
        with contextlib.suppress(OSError):
            self.path.rmdir()

    def _text(self, file: str) -> str:
        try:
            return (self.path / file).read_text().strip()
        except OSError:
            return ""

    def _pairs(self, file: str) -> dict[str, int]:
        return {key: int(value) for key, _, value in (line.partition(" ") for line in self._text(file).splitlines())}


def enable(base: Path) -> bool:
    """Make ``base`` a group whose children have memory and process limits; whether that worked."""
    try:
        available = (base.parent / "cgroup.controllers").read_text().split()
        if os.geteuid() != 0 or not {"memory", "pids"} <= set(available):
            return False
        base.mkdir(exist_ok=True)
        for folder in (base.parent, base):
            enabled = (folder / "cgroup.subtree_control").read_text().split()
            for controller in ("memory", "pids", "cpu"):
                if controller in available and controller not in enabled:
                    with contextlib.suppress(OSError):
                        (folder / "cgroup.subtree_control").write_text("+" + controller)
        return {"memory", "pids"} <= set((base / "cgroup.subtree_control").read_text().split())
    except OSError:
        return False
