"""Profiles: named choices of tasks, and the limits of each task."""

from __future__ import annotations

from collections.abc import Sequence

from pyti.errors import UsageError
from pyti.messages import JobRun, MachineRequest
from pyti.rawdata.contract import TASKS, Limits

__all__ = ["PROFILES", "check_tasks", "limits_of", "task_limits", "tasks_of"]

MIB = 1024 * 1024

PROFILES: dict[str, tuple[str, ...]] = {
    "quick": ("metadata", "build", "install", "startup", "import", "entry-points"),
    "default": ("metadata", "build", "install", "startup", "import", "entry-points", "tests", "pep8", "uninstall"),
    "full": TASKS,
}
"""What each profile runs. ``pylint`` is in ``full`` alone: in an emulated guest it takes longer than all the others
together (73 s for a project of 18 modules, measured)."""

_WALL_S: dict[str, float] = {
    "metadata": 240.0,
    "build": 900.0,
    "install": 300.0,
    "startup": 60.0,
    "import": 300.0,
    "entry-points": 180.0,
    "tests": 900.0,
    "pylint": 600.0,
    "pep8": 180.0,
    "uninstall": 60.0,
}
"""Seconds that one phase of a task may take by the wall clock: about ten times what the slowest project of the system
tests needs in an emulated guest, where Python runs 12 times slower than on the host (measured)."""

GUEST_RESERVE_MIB = 192
"""Memory that the guest's own kernel, agent and SSH server need; tasks get the rest (63 MB private, measured, and room
for the page cache)."""


def check_tasks(profile: str, tasks: Sequence[str]) -> None:
    """Raise ``UsageError`` when the profile or one of the tasks is unknown."""
    if profile not in PROFILES:
        raise UsageError(f"there is no profile {profile!r}", remedy=f"Choose one of: {', '.join(PROFILES)}.")
    if unknown := [task for task in tasks if task not in TASKS]:
        raise UsageError(f"there is no task {unknown[0]!r}", remedy=f"Choose from: {', '.join(TASKS)}.")


def tasks_of(run: JobRun) -> tuple[str, ...]:
    """The tasks that a job asks for, in the order in which a guest runs them."""
    check_tasks(run.profile, run.tasks)
    wanted = run.tasks or PROFILES[run.profile]
    return tuple(task for task in TASKS if task in wanted)


def limits_of(machine: MachineRequest) -> Limits:
    """What any one phase may use on such a machine."""
    return Limits(memory_bytes=(machine.memory_mib - GUEST_RESERVE_MIB) * MIB)


def task_limits(machine: MachineRequest, tasks: Sequence[str]) -> dict[str, Limits]:
    """The limits of single tasks: as ``limits_of``, with each task's own wall-clock bound."""
    common = limits_of(machine)
    return {
        task: Limits(wall_s=min(_WALL_S[task], machine.time_limit_s), memory_bytes=common.memory_bytes)
        for task in tasks
    }
