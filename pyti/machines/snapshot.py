"""Makes a memory template: boots a guest with its RAM in a file, lets it idle, and keeps RAM, state and disk."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from pyti.errors import MachineError
from pyti.machines.base import remove_tree
from pyti.machines.connection import Connection
from pyti.machines.domain_xml import DomainSpec
from pyti.machines.image import Image
from pyti.machines.monitor import Monitor
from pyti.machines.remains import remove_remains
from pyti.machines.space import require_space, space_errors
from pyti.machines.start import make_overlay, open_to_qemu, start_paused, wait_until_ready, wait_until_settled
from pyti.machines.template import write_template

__all__ = ["make_template"]

SAVE_LIMIT_S = 120.0

DISK_BYTES = 512 * 2**20
"""What a booting guest writes to its disk, generously; the RAM file is added to it."""


async def make_template(
    connection: Connection,
    spec: DomainSpec,
    image: Image,
    folder: Path,
    *,
    identity: tuple[int, int],
    qemu: str,
    boot_limit_s: float,
) -> None:
    """Build the template in ``folder``, which appears only when it is complete; the caller holds its lock."""
    work = spec.ssh_socket.parent
    require_space(folder.parent, spec.memory_mib * 2**20 + DISK_BYTES, purpose="a memory template")
    await asyncio.to_thread(remove_tree, work)
    try:
        with space_errors("making a memory template"):
            await asyncio.to_thread(_prepare, work, spec.memory_mib, identity)
            await make_overlay(work / "disk.qcow2", image.disk)
            await asyncio.to_thread(open_to_qemu, work / "disk.qcow2", identity, 0o600)
            spec = replace(spec, ram=work / "ram", disk=work / "disk.qcow2", console=work / "console.log")
            domain = await start_paused(connection, spec)
            await connection.call(domain.resume)
            boot_s = await wait_until_ready(connection, domain, work / "console.log", limit_s=boot_limit_s)
            await wait_until_settled(connection, domain)
            await connection.call(domain.suspend)
            monitor = Monitor(connection, domain)
            await monitor.leave_ram_out()
            state = await monitor.save_state(work / "state.in", limit_s=SAVE_LIMIT_S)
            await remove_remains(connection, spec.name, None)
            await asyncio.to_thread(_finish, work, folder, spec, image, state, qemu, boot_s)
    finally:
        await asyncio.shield(_clean(connection, spec.name, work))


async def _clean(connection: Connection, name: str, work: Path) -> None:
    await remove_remains(connection, name, work)


def _prepare(work: Path, memory_mib: int, identity: tuple[int, int]) -> None:
    work.mkdir(mode=0o711)
    open_to_qemu(work, identity, 0o771)
    with (work / "ram").open("wb") as ram:
        ram.truncate(memory_mib * 2**20)
    open_to_qemu(work / "ram", identity, 0o600)


def _finish(work: Path, folder: Path, spec: DomainSpec, image: Image, state: bytes, qemu: str, boot_s: float) -> None:
    for socket in ("ssh", "state.in"):
        (work / socket).unlink(missing_ok=True)
    disk = work / "disk.qcow2"
    if disk.stat().st_size == 0:
        raise MachineError(f"the template's disk {disk} is empty")
    disk.chmod(0o444)
    write_template(
        work,
        image,
        state,
        accel=spec.accel,
        cpus=spec.cpus,
        memory_mib=spec.memory_mib,
        qemu=qemu,
        boot_s=boot_s,
    )
    work.chmod(0o711)
    remove_tree(folder)
    work.rename(folder)
