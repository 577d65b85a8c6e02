"""Starts domains: a cold boot up to the agent's first word, or a clone that goes on where the template stopped."""

from __future__ import annotations

import asyncio
import os
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import libvirt

from pyti.errors import MachineError, TimeLimitExceeded
from pyti.machines.commands import run
from pyti.machines.connection import Connection
from pyti.machines.domain_xml import DomainSpec, domain_xml
from pyti.machines.monitor import Monitor

__all__ = [
    "READY",
    "make_overlay",
    "open_to_qemu",
    "qemu_identity",
    "resume_clone",
    "start_paused",
    "wait_until_ready",
    "wait_until_settled",
]

READY = b"PYTI-AGENT-READY"
"""What the guest's agent writes on the console when it polls its inbox."""

CONSOLE_TAIL = 1500
"""Characters of the console in an error message."""

MAX_CONSOLE_BYTES = 4 * 1024 * 1024
"""A quiet boot writes some hundred bytes."""

LOAD_LIMIT_S = 60.0
"""Measured: 0.03 s alone, seconds when dozens of clones start at once."""

POLL_S = 0.1

QUIET_SHARE = 0.25
"""A guest counts as settled when it used less than this share of one CPU over ``QUIET_S``."""

QUIET_S = 1.0
SETTLE_LIMIT_S = 30.0


def qemu_identity(capabilities: str) -> tuple[int, int]:
    """Return user and group of libvirt's QEMU, from ``virConnectGetCapabilities``; ours where it says none."""
    for model in ET.fromstring(capabilities).iterfind("host/secmodel"):  # noqa: S314 (libvirt's own text)
        if model.findtext("model") == "dac":
            label = model.findtext("baselabel") or ""
            user, _, group = label.replace("+", "").partition(":")
            if user.isdigit() and group.isdigit():
                return int(user), int(group)
    return os.geteuid(), os.getegid()


def open_to_qemu(path: Path, identity: tuple[int, int], mode: int) -> None:
    """Give ``path`` to QEMU's user (blocking); without root, QEMU runs as ourselves and nothing is to do."""
    if os.geteuid() == 0:
        os.chown(path, *identity)
    path.chmod(mode)


async def make_overlay(overlay: Path, backing: Path) -> None:
    """Make a qcow2 disk that holds only what differs from ``backing``."""
    argv: list[str | Path] = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", backing, overlay]
    await run(argv, limit_s=60)


async def start_paused(connection: Connection, spec: DomainSpec) -> Any:
    """Create the domain, not running yet; libvirt destroys it when this process's connection ends."""
    flags = libvirt.VIR_DOMAIN_START_PAUSED | libvirt.VIR_DOMAIN_START_AUTODESTROY
    return await connection.call(connection.raw.createXML, domain_xml(spec), flags)


async def resume_clone(connection: Connection, domain: Any, state_socket: Path, state: bytes) -> None:
    """Load the template's device state into ``domain`` and let it run."""
    monitor = Monitor(connection, domain)
    await monitor.leave_ram_out()
    await monitor.load_state(state_socket, state, limit_s=LOAD_LIMIT_S)
    await connection.call(domain.resume)


async def wait_until_ready(connection: Connection, domain: Any, console: Path, *, limit_s: float) -> float:
    """Wait for the agent's word on the console; returns the seconds it took. Raises with the console's last lines."""
    begun = time.monotonic()
    while True:
        text = await asyncio.to_thread(_read, console)
        if READY in text:
            return time.monotonic() - begun
        if not await connection.call(domain.isActive):
            raise MachineError(f"the guest stopped while it booted; its console ends:\n{_tail(text)}")
        if time.monotonic() - begun > limit_s:
            raise TimeLimitExceeded(
                f"the guest's agent was not ready after {limit_s:.0f} s; the console ends:\n{_tail(text)}",
                remedy="Raise machines.boot_timeout_s, or build the image anew: pyti image build",
            )
        await asyncio.sleep(POLL_S)


async def wait_until_settled(connection: Connection, domain: Any) -> None:
    """Wait until the guest hardly uses its CPU (or ``SETTLE_LIMIT_S``): what it still does, every clone would redo."""
    ends = time.monotonic() + SETTLE_LIMIT_S
    while time.monotonic() < ends:
        before, begun = await connection.call(_cpu_ns, domain), time.monotonic()
        await asyncio.sleep(QUIET_S)
        used = (await connection.call(_cpu_ns, domain) - before) / 1e9
        if used < QUIET_SHARE * (time.monotonic() - begun):
            return


def _cpu_ns(domain: Any) -> int:
    return int(domain.getCPUStats(True)[0]["cpu_time"])


def _read(console: Path) -> bytes:
    try:
        with console.open("rb") as stream:
            return stream.read(MAX_CONSOLE_BYTES)
    except FileNotFoundError:
        return b""


def _tail(text: bytes) -> str:
    clean = "".join(c for c in text.decode(errors="replace") if c.isprintable() or c == "\n")
    return clean[-CONSOLE_TAIL:] or "(nothing was written)"
