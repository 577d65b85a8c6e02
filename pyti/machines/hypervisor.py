"""The way into the room: opens libvirt for one owner, gives templates and machines, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from pyti.config import Settings
from pyti.errors import ImageDamaged, ImageMissing, PytiError
from pyti.machines.connection import Connection
from pyti.machines.domain_xml import DomainSpec, Mark
from pyti.machines.image import Image
from pyti.machines.image_store import ImageStore
from pyti.machines.layout import Layout
from pyti.machines.machine import Machine
from pyti.machines.owners import Owner
from pyti.machines.probe import Accelerator, probe_accelerator
from pyti.machines.space import require_space, space_errors
from pyti.machines.start import (
    make_overlay,
    open_to_qemu,
    qemu_identity,
    resume_clone,
    start_paused,
    wait_until_ready,
)
from pyti.machines.sweep import Swept, sweep
from pyti.machines.template import Template
from pyti.machines.template_store import TemplateStore
from pyti.rawdata.contract import GuestAddress

__all__ = ["Hypervisor"]

Ids = Callable[[], str]


def random_id() -> str:
    """Return a machine's id: 8 hexadecimal digits, enough to be unique among the machines of one host."""
    return secrets.token_hex(4)


class Hypervisor:
    """libvirt and QEMU for one owner; made by ``open``."""

    def __init__(
        self,
        settings: Settings,
        layout: Layout,
        owner: Owner,
        connection: Connection,
        ids: Ids,
        *,
        identity: tuple[int, int],
        qemu: str,
    ) -> None:
        self.settings = settings
        self._layout = layout
        self._owner = owner
        self._connection = connection
        self._ids = ids
        self._identity = identity
        self._qemu = qemu
        self._machines: dict[str, Machine] = {}
        self._accelerator: Accelerator | None = None
        self._templates = TemplateStore(connection, layout, owner.key, settings.machines, identity=identity, qemu=qemu)

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, *, owner: str, ids: Ids = random_id) -> AsyncIterator[Hypervisor]:
        """Claim ``owner`` and connect. On leaving, every machine that is left is destroyed.

        Raises ``HypervisorUnavailable`` where libvirt does not answer, where the home's path is too long for sockets,
        or while another process holds the same owner's name.
        """
        layout = Layout(settings.home)
        await asyncio.to_thread(layout.prepare)
        claim = Owner(layout, owner)
        layout.check_socket_paths(claim.key)
        claim.claim()
        try:
            async with Connection.open(settings.libvirt_uri) as connection:
                identity, qemu = await _look_around(connection)
                self = cls(settings, layout, claim, connection, ids, identity=identity, qemu=qemu)
                try:
                    yield self
                finally:
                    await self._close()
        finally:
            claim.give_up()

    @property
    def machines(self) -> tuple[Machine, ...]:
        """The machines that are not destroyed yet."""
        return tuple(self._machines.values())

    @property
    def qemu_version(self) -> str:
        """QEMU's version, as libvirt tells it."""
        return self._qemu

    async def probe(self) -> Accelerator:
        """Tell which accelerator works here: KVM only where a kernel really booted under it within a limit."""
        if self._accelerator is None:
            kernel: Path | None = None
            with contextlib.suppress(ImageMissing, ImageDamaged):
                kernel = (
                    await asyncio.to_thread(ImageStore(self._layout.home).get, self.settings.machines.image)
                ).kernel
            self._accelerator = await probe_accelerator(
                self.settings.machines.accel, kernel, self._layout.cache, qemu=self._qemu
            )
        return self._accelerator

    async def sweep(self) -> Swept:
        """Find and remove what owners that no longer live, or an earlier one of this name, left below this home."""
        living = {machine.name for machine in self.machines} | set(self._templates.making)
        return await sweep(self._connection, self._layout, own=self._owner.key, living=living)

    async def template(self, image: Image, *, cpus: int, memory_mib: int) -> Template:
        """Return the template for such machines: from disk where it is there and valid, else made now (some 20-30 s).

        One process makes it, others wait. Where the memory recipe fails, the answer is a template whose machines boot
        (``cold_boot``, ``cold_reason``). Raises ``ImageDamaged`` for an image whose guest code is out of date.
        """
        if await asyncio.to_thread(lambda: image.stale):
            raise ImageDamaged(
                f"the image {image.name} is out of date: PyTI's guest code or recipe changed since it was built",
                remedy="Run: pyti image build",
            )
        accel = (await self.probe()).accel
        return await self._templates.get(image, accel=accel, cpus=cpus, memory_mib=memory_mib)

    async def clone(self, template: Template, *, label: str = "", job: str = "", wait: bool = True) -> Machine:
        """Start a fresh machine from ``template``; it runs when this returns, and is the caller's to destroy.

        A clone's agent polls at once. A machine that boots is waited for until its agent does, unless not to ``wait``.
        Raises ``OutOfSpace`` where less than ``machines.min_free_bytes`` are free. A clone that is cancelled or fails
        half-way removes what it began.
        """
        purpose = "a machine"
        require_space(self._layout.machines, self.settings.machines.min_free_bytes, purpose=purpose)
        identity = self._ids()
        machine = self._machine(template, identity, label, job)
        self._machines[identity] = machine
        try:
            with space_errors(f"starting {purpose}"):
                await self._start(template, machine, wait=wait)
        except BaseException:
            await machine.destroy()
            raise
        return machine

    def _spec(self, template: Template, name: str, identity: str, folder: Path, job: str) -> DomainSpec:
        return DomainSpec(
            name=name,
            mark=Mark(home=self._layout.home, owner=self._owner.key, machine=identity, job=job),
            boot="cold" if template.cold_boot else "clone",
            accel=template.accel,
            cpus=template.cpus,
            memory_mib=template.memory_mib,
            kernel=template.image.kernel,
            initrd=template.image.initrd,
            disk=folder / "disk.qcow2",
            ssh_socket=folder / "ssh",
            ram=template.ram,
        )

    def _machine(self, template: Template, identity: str, label: str, job: str) -> Machine:
        folder = self._layout.machine(self._owner.key, identity)
        return Machine(
            self._connection,
            id=identity,
            name=f"pyti-{self._owner.key}-{identity}",
            label=label,
            job=job,
            folder=folder,
            template=template.digest,
            accel=template.accel,
            cold_boot=template.cold_boot,
            address=GuestAddress(
                socket=folder / "ssh", client_key=template.image.client_key, host_key=template.image.host_key
            ),
            forget=self._forget,
        )

    def _forget(self, machine: Machine) -> None:
        self._machines.pop(machine.id, None)

    async def _start(self, template: Template, machine: Machine, *, wait: bool) -> None:
        await asyncio.to_thread(self._prepare_folder, machine.folder)
        spec = self._spec(template, machine.name, machine.id, machine.folder, machine.job)
        await make_overlay(spec.disk, template.disk)
        await asyncio.to_thread(open_to_qemu, spec.disk, self._identity, 0o600)
        if template.state is None:
            console = machine.folder / "console.log"
            domain = await start_paused(self._connection, replace(spec, console=console))
            await self._connection.call(domain.resume)
            if wait:
                limit_s = self.settings.machines.boot_timeout_s
                await wait_until_ready(self._connection, domain, console, limit_s=limit_s)
        else:
            domain = await start_paused(self._connection, spec)
            await resume_clone(self._connection, domain, machine.folder / "state", template.state)

    def _prepare_folder(self, folder: Path) -> None:
        folder.parent.mkdir(mode=0o711, exist_ok=True)
        folder.mkdir(mode=0o711)
        open_to_qemu(folder, self._identity, 0o770)

    async def _close(self) -> None:
        ends = [asyncio.create_task(self._end(machine)) for machine in self.machines]
        errors = [error for error in await asyncio.shield(asyncio.gather(*ends)) if error is not None]
        self._templates.close()
        with contextlib.suppress(OSError):
            (self._layout.machines / self._owner.key).rmdir()
        if errors:
            raise errors[0]

    @staticmethod
    async def _end(machine: Machine) -> PytiError | None:
        try:
            await machine.destroy()
        except PytiError as error:
            return error
        return None


async def _look_around(connection: Connection) -> tuple[tuple[int, int], str]:
    """Return QEMU's user and group, and QEMU's version."""
    identity = qemu_identity(await connection.call(connection.raw.getCapabilities))
    version = await connection.call(connection.raw.getVersion)
    return identity, f"{version // 1000000}.{version // 1000 % 1000}.{version % 1000}"
