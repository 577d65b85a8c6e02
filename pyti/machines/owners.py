"""Whose machines are whose: an owner lives for as long as some process holds its lock."""

from __future__ import annotations

import hashlib
import re

from pyti.errors import HypervisorUnavailable
from pyti.machines.layout import Layout
from pyti.machines.locks import FileLock

__all__ = ["MAX_OWNER", "Owner", "owner_key"]

MAX_OWNER = 16
"""Characters of an owner in paths and domain names; what is longer is shortened, with a hash to keep it unique."""


def owner_key(name: str) -> str:
    """Return ``name`` made safe for paths and domain names, at most ``MAX_OWNER`` characters."""
    safe = re.sub(r"[^a-z0-9-]", "-", name.lower()).strip("-") or "owner"
    if safe == name and len(safe) <= MAX_OWNER:
        return safe
    return f"{safe[: MAX_OWNER - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


class Owner:
    """This process's claim to be ``name``."""

    def __init__(self, layout: Layout, name: str) -> None:
        self.name = name
        self.key = owner_key(name)
        self._lock = FileLock(layout.owners / f"{self.key}.lock")

    def claim(self) -> None:
        """Take the name; raises ``HypervisorUnavailable`` while another process holds it."""
        if not self._lock.acquire():
            raise HypervisorUnavailable(
                f"another process already owns machines as {self.name!r}",
                remedy="Give this one another name, or end the other first.",
            )

    def give_up(self) -> None:
        """Let the name go, when no machine is left."""
        self._lock.release(remove=True)
