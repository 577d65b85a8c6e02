"""Killing what a phase started where there is no control group: by walking the agent's descendants.

The agent is a subreaper, so whatever loses its parent becomes the agent's own child and stays in sight.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from pathlib import Path

__all__ = ["become_subreaper", "descendants", "kill_all", "reap"]

PR_SET_CHILD_SUBREAPER = 36


def become_subreaper() -> None:
    """From now on orphans below this process become its children."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants(of: int) -> set[int]:
    """Every living process below ``of``, zombies left out."""
    parents: dict[int, int] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                fields = Path(entry.path, "stat").read_text(errors="replace").rpartition(")")[2].split()
                if fields[0] not in "ZX":
                    parents[int(entry.name)] = int(fields[1])
    found = {of}
    while more := {pid for pid, parent in parents.items() if parent in found and pid not in found}:
        found |= more
    return found - {of}


def kill_all(of: int, spare: int) -> None:
    """Kill every descendant of ``of`` but ``spare``, until none is left that can fork again."""
    for _ in range(100):
        living = descendants(of) - {spare}
        if not living:
            return
        for pid in living:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def reap() -> None:
    """Collect the orphans that have ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
