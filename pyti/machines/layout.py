"""Where the room keeps things below ``home``, and how long a path may be.

::

    images/<name>              a symbolic link to the image in use, replaced atomically
    images/<name>-<digest>/    one built image
    cache/base-<recipe>/       the expensive part of an image: root filesystem, kernel, facts
    templates/<key>/           one memory template: RAM file, device state, disk overlay
    machines/<owner>/<id>/     one running machine: disk overlay and sockets; gone when it is destroyed
    owners/<owner>.lock        held for as long as the owner lives
    locks/<what>.lock          one lock per thing that only one process may build at a time
    locks/use-<image>.lock     held by every process that uses an image or a template of it
"""

from __future__ import annotations

from pathlib import Path

from pyti.errors import HypervisorUnavailable

__all__ = ["MAX_SOCKET_PATH", "Layout"]

MAX_SOCKET_PATH = 107
"""Bytes that fit into ``sockaddr_un.sun_path`` with its end mark (unix(7))."""


class Layout:
    """The folders of one ``home``; ``prepare`` makes them so that QEMU's user can walk through, not list."""

    def __init__(self, home: Path) -> None:
        self.home = home.absolute()
        self.images = self.home / "images"
        self.cache = self.home / "cache"
        self.templates = self.home / "templates"
        self.machines = self.home / "machines"
        self.owners = self.home / "owners"
        self.locks = self.home / "locks"

    def prepare(self) -> None:
        """Make every folder."""
        self.home.mkdir(parents=True, exist_ok=True)
        for folder in (self.home, self.images, self.templates, self.machines, self.cache):
            folder.mkdir(exist_ok=True)
            mode = folder.stat().st_mode & 0o7777
            if mode & 0o011 != 0o011:
                folder.chmod(mode | 0o011)
        for folder in (self.owners, self.locks):
            folder.mkdir(mode=0o700, exist_ok=True)

    def check_socket_paths(self, owner: str) -> None:
        """Raise ``HypervisorUnavailable`` where the paths of this owner's sockets would be too long."""
        longest = self.machine(owner, "0" * 8) / "state"
        if len(str(longest).encode()) > MAX_SOCKET_PATH:
            raise HypervisorUnavailable(
                f"the path {self.home} is too long: sockets below it would exceed {MAX_SOCKET_PATH} bytes",
                remedy="Choose a shorter home, for example: export PYTI_HOME=/var/lib/pyti",
            )

    def machine(self, owner: str, machine: str) -> Path:
        """The folder of one machine of one owner."""
        return self.machines / owner / machine

    def lock(self, what: str) -> Path:
        """The lock file for ``what``."""
        return self.locks / f"{what}.lock"

    def use_lock(self, image_folder: str) -> Path:
        """The lock file that users of the image in ``images/<image_folder>`` share, and its remover holds alone."""
        return self.lock(f"use-{image_folder}")
