"""What a machine may leave behind, how to find it and how to remove it: domain, process, folder, log."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Any

import libvirt

from pyti.machines.base import remove_tree
from pyti.machines.connection import Connection

__all__ = ["find_domain", "find_processes", "remains_of", "remove_remains"]

LOG_FOLDERS = (
    Path("/var/log/libvirt/qemu"),
    Path.home() / ".cache/libvirt/qemu/log",
)
"""Where libvirt writes one log for each domain (system and session), and never removes it."""

GONE_LIMIT_S = 20.0
"""For QEMU to end after SIGKILL: the kernel has its RAM to give back."""

POLL_S = 0.02


def find_domain(raw: Any, name: str) -> Any | None:
    """Return libvirt's domain of that name, or ``None`` (blocking)."""
    try:
        return raw.lookupByName(name)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise


def find_processes(name: str) -> list[int]:
    """Return the ids of the QEMU processes of the domain ``name``, by their command line (blocking)."""
    mark = f"guest={name},".encode()
    found: list[int] = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                line = Path(entry.path, "cmdline").read_bytes()
                if mark in line and b"qemu" in line.split(b"\0", 1)[0]:
                    found.append(int(entry.name))
    return found


def _end_domain(raw: Any, name: str) -> None:
    """Kill QEMU, then have libvirt clear the domain away: left to itself, libvirt first asks QEMU to end in peace."""
    _end_processes(name)
    domain = find_domain(raw, name)
    if domain is None:
        return
    try:
        domain.destroy()
    except libvirt.libvirtError as error:
        if error.get_error_code() not in {libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID}:
            raise


def _end_processes(name: str) -> None:
    for process in find_processes(name):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process, signal.SIGKILL)


async def remove_remains(connection: Connection, name: str, folder: Path | None) -> None:
    """End the domain ``name`` and its process, then remove its folder and its log. Nothing there is no error."""
    await connection.call(_end_domain, connection.raw, name)
    ends = time.monotonic() + GONE_LIMIT_S
    while await asyncio.to_thread(_still_there, connection.raw, name) and time.monotonic() < ends:
        await asyncio.to_thread(_end_processes, name)
        await asyncio.sleep(POLL_S)
    await asyncio.to_thread(_remove_files, name, folder)


def _still_there(raw: Any, name: str) -> bool:
    return bool(find_processes(name)) or find_domain(raw, name) is not None


def _remove_files(name: str, folder: Path | None) -> None:
    if folder is not None and folder.exists():
        remove_tree(folder)
    for logs in LOG_FOLDERS:
        with contextlib.suppress(OSError):
            (logs / f"{name}.log").unlink(missing_ok=True)


async def remains_of(connection: Connection, name: str, folder: Path | None) -> list[str]:
    """Name everything of the machine that is still there; an empty list is the proof that nothing is."""
    left: list[str] = []
    if await connection.call(find_domain, connection.raw, name) is not None:
        left.append(f"the domain {name}")
    left += [f"the process {process} of {name}" for process in await asyncio.to_thread(find_processes, name)]
    if folder is not None and await asyncio.to_thread(folder.exists):
        left.append(f"the folder {folder}")
    return left
