"""What the tasks of one job share: the job, the machine, and what earlier tasks found out."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from .environment import task_environment
from .job import Job
from .layout import Account, Layout
from .outbox import Outbox
from .phase import Phase, PhaseRunner

if TYPE_CHECKING:
    from .buildenv import BuildEnvironment
    from .metadata import Metadata
    from .warmup import Warmth

__all__ = ["MAX_PHASES", "Context", "Tampered"]

MAX_PHASES = 16
"""As in the raw data contract."""
MAX_RESULT_BYTES = 8 * 1024 * 1024
"""Most bytes of a probe's result that are read."""


class Tampered(Exception):
    """The package changed what root is about to use."""


@dataclass
class Context:
    """One job under way."""

    job: Job
    layout: Layout
    account: Account
    outbox: Outbox
    runner: PhaseRunner
    warmth: Warmth
    deadline: float
    """Monotonic time at which the job's time limit ends."""
    task: str = ""
    phases: list[Phase] = field(default_factory=list)
    """Those of the current task."""
    wheel: Path | None = None
    """What ``install`` installs."""
    metadata: Metadata | None = None
    """Of the distribution under test."""
    source: Path | None = None
    """The sdist's unpacked tree."""
    build: BuildEnvironment | None = None
    before: frozenset[str] = frozenset()
    """Files of the environment before the distribution itself was installed."""
    after: frozenset[str] = frozenset()
    """Files of the environment right after that."""

    def begin(self, task: str) -> None:
        """Turn to the next task."""
        self.task = task
        self.phases = []

    def folder(self, name: str) -> Path:
        """Return a fresh working folder, owned by the unprivileged user."""
        path = self.layout.work / self.job.job / f"{self.task}-{name}"
        self.untouched(path.parent)
        if path.exists():
            shutil.rmtree(path)
        path.mkdir(parents=True)
        self.give(path)
        return path

    def untouched(self, path: Path) -> None:
        """Raise ``Tampered`` unless ``path`` still leads where it did: the package may have put links in the way."""
        if os.path.realpath(path) != str(path):
            raise Tampered(f"the package put a link in the place of {path}")

    def give(self, path: Path) -> None:
        """Make the unprivileged user the owner."""
        if os.geteuid() == 0:
            os.chown(path, self.account.uid, self.account.gid, follow_symlinks=False)

    def give_tree(self, path: Path) -> None:
        """Make the unprivileged user the owner of everything below ``path``, too."""
        self.give(path)
        if os.geteuid() == 0:
            for folder, folders, files in os.walk(path):
                for name in (*folders, *files):
                    os.chown(os.path.join(folder, name), self.account.uid, self.account.gid, follow_symlinks=False)  # noqa: PTH118 - speed

    def run(
        self,
        phase: str,
        argv: Sequence[str],
        *,
        cwd: Path | None = None,
        venv: Path | None = None,
        trace: bool = True,
        share: float = 1.0,
    ) -> Phase:
        """Run one phase under the task's limits (``share`` of its time) and what is left of the job's time."""
        limits = self.job.limits_of(self.task)
        left = max(0.1, min(limits.wall_s * share, self.deadline - time.monotonic()))
        result = self.runner.run(
            self.outbox,
            self.task,
            phase,
            argv,
            cwd=cwd or self.folder(phase),
            env=task_environment(self.layout, self.account, venv),
            limits=replace(limits, wall_s=left),
            trace=trace and self.job.trace,
        )
        self.phases.append(result)
        return result

    def python(self, script: str, *arguments: str, python: Path | None = None, isolated: bool = False) -> list[str]:
        """Return the argv that runs a probe in the target's interpreter, its own folder off ``sys.path``."""
        interpreter = str(python or self.layout.venv / "bin/python")
        return [interpreter, "-I" if isolated else "-P", str(self.layout.probes / script), *arguments]

    def uv(self, *arguments: str) -> list[str]:
        """Return the argv that runs the installer against the wheelhouse alone."""
        return [str(self.layout.uv), *arguments]

    def uv_install(self, python: Path, *requirements: str) -> list[str]:
        """Return the argv that installs from the wheelhouse into the environment of ``python``."""
        return self.uv(
            "pip",
            "install",
            "--offline",
            "--no-index",
            "--find-links",
            str(self.job.wheelhouse),
            "--python",
            str(python),
            *requirements,
        )

    def result(self, path: Path) -> bytes:
        """Return what a probe wrote, which the package may have forged: bounded, never through a link."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return b""
        with open(descriptor, "rb") as file:  # noqa: PTH123 - an open descriptor
            return file.read(MAX_RESULT_BYTES)
