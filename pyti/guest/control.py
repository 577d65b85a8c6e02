"""Gives a machine that was just cloned its own time, randomness and name.

Clones of a memory snapshot share the state of the kernel's random pool and stand at the time of the snapshot.
A client sends ``{"op": "wake", "seed": hex, "hostname": name, "machine_id": hex, "at": Unix time}`` and gets
``{"ok": true}`` or ``{"ok": false, "error": text}``. ``{"op": "ping"}`` is answered likewise.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import socket
import struct
import time
from pathlib import Path
from typing import Any

from .sockets import read_request

__all__ = ["Control"]

RNDADDENTROPY = 0x40085203
RNDRESEEDCRNG = 0x5207
"""ioctl numbers of ``linux/random.h``."""
MAX_SEED = 512


class Control:
    """Serves the control socket. ``etc`` is where the machine's names are kept."""

    def __init__(self, etc: Path = Path("/etc"), *, privileged: bool = True) -> None:
        self._etc = etc
        self._privileged = privileged

    def __call__(self, connection: socket.socket) -> None:
        """Answer one request."""
        try:
            self._obey(read_request(connection))
            answer: dict[str, Any] = {"ok": True}
        except (OSError, ValueError, KeyError, TypeError) as error:
            answer = {"ok": False, "error": f"{type(error).__name__}: {error}"[:500]}
        connection.sendall(json.dumps(answer).encode("ascii") + b"\n")

    def _obey(self, request: dict[str, Any]) -> None:
        match request.get("op"):
            case "ping":
                return
            case "wake":
                self._wake(
                    seed=bytes.fromhex(request["seed"]),
                    hostname=str(request["hostname"]),
                    machine_id=str(request["machine_id"]),
                    at=float(request["at"]),
                )
            case other:
                raise ValueError(f"unknown request {other!r}")

    def _wake(self, *, seed: bytes, hostname: str, machine_id: str, at: float) -> None:
        if not 16 <= len(seed) <= MAX_SEED:
            raise ValueError("a seed has 16 to 512 bytes")
        if not hostname.replace("-", "").isalnum() or len(hostname) > 63:
            raise ValueError("not a host name")
        if len(machine_id) != 32 or int(machine_id, 16) < 0:
            raise ValueError("a machine id has 32 hexadecimal digits")
        random.seed(seed)
        if self._privileged:
            time.clock_settime(time.CLOCK_REALTIME, at)
            _reseed(seed)
            socket.sethostname(hostname)
        (self._etc / "hostname").write_text(hostname + "\n", encoding="ascii")
        (self._etc / "machine-id").write_text(machine_id + "\n", encoding="ascii")


def _reseed(seed: bytes) -> None:
    pool = os.open("/dev/urandom", os.O_WRONLY)
    try:
        fcntl.ioctl(pool, RNDADDENTROPY, struct.pack("ii", len(seed) * 8, len(seed)) + seed)
        fcntl.ioctl(pool, RNDRESEEDCRNG)
    finally:
        os.close(pool)
