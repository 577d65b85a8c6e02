"""Where everything lies in a machine, below one root that tests may move."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Account", "Layout"]


@dataclass(frozen=True)
class Account:
    """The unprivileged user that runs everything that may execute code of the package."""

    name: str
    uid: int
    gid: int

    @classmethod
    def find(cls, name: str) -> Account:
        """Return the named user where this process may become it, else the current user."""
        entry = pwd.getpwnam(name) if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        return cls(entry.pw_name, entry.pw_uid, entry.pw_gid)


@dataclass(frozen=True)
class Layout:
    """The agent's folders and programs; all are absolute."""

    inbox: Path
    outbox: Path
    run: Path
    """Sockets and trace FIFOs; root only."""
    home: Path
    """The unprivileged user's home."""
    venv: Path
    """The environment that distributions are installed into."""
    tools: Path
    """Programs and modules baked into the image."""
    python: Path
    """The image's interpreter."""
    cgroup: Path
    manifest: Path
    """A JSON object of tool versions that the image's builder wrote."""

    @classmethod
    def below(
        cls,
        root: Path,
        *,
        tools: Path | None = None,
        python: Path | None = None,
        cgroup: Path | None = None,
    ) -> Layout:
        """Return the default layout below ``root`` (``/`` in a machine)."""
        return cls(
            inbox=root / "var/lib/pyti/inbox",
            outbox=root / "var/lib/pyti/outbox",
            run=root / "run/pyti",
            home=root / "home/tester",
            venv=root / "home/tester/venv",
            tools=tools or root / "opt/pyti/tools",
            python=python or Path("/usr/bin/python3"),
            cgroup=cgroup or Path("/sys/fs/cgroup/pyti"),
            manifest=root / "usr/lib/pyti/tools.json",
        )

    @property
    def work(self) -> Path:
        """Below it every phase gets its fresh working folder; writes there are a task's own business."""
        return self.home / "work"

    @property
    def uv(self) -> Path:
        """The installer."""
        return self.tools / "bin/uv"

    @property
    def tools_path(self) -> Path:
        """The folder of the tools' modules, which probes add to ``sys.path``."""
        return next(iter(sorted(self.tools.glob("lib/python3*/site-packages"))), self.tools)

    @property
    def probes(self) -> Path:
        """The scripts that run inside the target's interpreter."""
        return Path(__file__).parent / "probes"

    def prepare(self) -> None:
        """Create the agent's own folders."""
        for folder, mode in ((self.inbox, 0o755), (self.outbox, 0o700), (self.run, 0o700)):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(mode)
