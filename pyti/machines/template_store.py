"""Templates for one owner: found on disk or made, by one process at a time, and kept while in use."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from pyti.config import MachinesSettings
from pyti.errors import HypervisorUnavailable, MachineError, TimeLimitExceeded
from pyti.machines.connection import Connection
from pyti.machines.domain_xml import DomainSpec, Mark
from pyti.machines.image import Image
from pyti.machines.layout import Layout
from pyti.machines.locks import FileLock, locked
from pyti.machines.snapshot import make_template
from pyti.machines.template import Accel, Template, load_template, template_key, unchanged

__all__ = ["RETRY_AFTER_S", "TemplateStore"]

TEMPLATE_WORK_S = 180.0
"""What making a template takes besides the boot: settling, saving, and waiting for the CPU among others."""

RETRY_AFTER_S = 600.0
"""After an attempt that failed, machines boot for so long before the next attempt: a boot costs half a minute, an
attempt up to ``machines.boot_timeout_s``, and what made it fail (a busy host, most often) may have passed."""


class TemplateStore:
    """The templates that one owner uses. ``identity`` is QEMU's user and group, ``clock`` a monotonic one."""

    def __init__(
        self,
        connection: Connection,
        layout: Layout,
        owner: str,
        settings: MachinesSettings,
        *,
        identity: tuple[int, int],
        qemu: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._layout = layout
        self._owner = owner
        self._settings = settings
        self._identity = identity
        self._qemu = qemu
        self._clock = clock
        self._open: dict[str, Template] = {}
        self._gates: dict[str, asyncio.Lock] = {}
        self._retry_at: dict[str, float] = {}
        self._uses: dict[str, FileLock] = {}
        self._making: set[str] = set()

    @property
    def making(self) -> Collection[str]:
        """Names of the domains whose templates are being made now."""
        return frozenset(self._making)

    async def get(self, image: Image, *, accel: Accel, cpus: int, memory_mib: int) -> Template:
        """Return the template for such machines, as it is on disk now; made where it is missing, stale or damaged.

        Where it cannot be made, or settings ask for it, the answer is one whose machines boot; after ``RETRY_AFTER_S``
        the next call tries again. Raises ``MachineError`` where the image was replaced meanwhile, ``OutOfSpace``, and
        ``TimeLimitExceeded`` where another process has been making it for too long.
        """
        key = template_key(image, accel=accel, cpus=cpus, memory_mib=memory_mib, qemu=self._qemu)
        async with self._gates.setdefault(key, asyncio.Lock()):
            known = self._open.get(key)
            if known is not None and await asyncio.to_thread(self._still_good, known):
                return known
            await asyncio.to_thread(self._hold, image)
            cold = Template(digest=key, image=image, accel=accel, cpus=cpus, memory_mib=memory_mib)
            if self._settings.cold_boot:
                cold.cold_reason = "asked for by settings"
                template = cold
            else:
                template = await self._find_or_make(cold)
            if template.cold_boot:
                self._retry_at[key] = self._clock() + RETRY_AFTER_S
            self._open[key] = template
            return template

    def close(self) -> None:
        """Let the images go: from now on they may be removed."""
        for use in self._uses.values():
            use.release()
        self._uses.clear()
        self._open.clear()

    def _still_good(self, template: Template) -> bool:
        if template.folder is not None and template.record is not None:
            return unchanged(template.folder, template.record)
        return self._settings.cold_boot or self._clock() < self._retry_at[template.digest]

    def _hold(self, image: Image) -> None:
        """Keep the image, and so its templates, from being removed by an image build (blocking)."""
        if image.folder.name in self._uses:
            return
        use = FileLock(self._layout.use_lock(image.folder.name))
        if not use.acquire(shared=True) or not image.disk.exists():
            use.release()
            raise MachineError(
                f"the image {image.name} {image.digest[:12]} was just replaced by a newer one",
                remedy="Try again: the newer one is used then.",
            )
        self._uses[image.folder.name] = use

    async def _find_or_make(self, template: Template) -> Template:
        folder = self._layout.templates / template.digest
        limit_s = self._settings.boot_timeout_s + TEMPLATE_WORK_S
        lock = self._layout.lock(f"template-{template.digest}")
        async with locked(lock, limit_s=limit_s, what="making the same memory template"):
            found = await asyncio.to_thread(load_template, folder, template.image, qemu=self._qemu)
            if found is None:
                reason = await self._make(template, folder)
                if reason:
                    return replace(template, cold_reason=f"the memory template could not be made: {reason}")
                found = await asyncio.to_thread(load_template, folder, template.image, qemu=self._qemu)
        if found is None:
            return replace(template, cold_reason=f"the memory template in {folder} changed right after it was made")
        record, state = found
        return replace(template, folder=folder, record=record, state=state, boot_s=record.boot_s)

    async def _make(self, template: Template, folder: Path) -> str:
        """Make the template; the answer says why it could not be made, and is empty where it was."""
        name = f"pyti-{self._owner}-t{template.digest[:8]}"
        work = folder.with_name(f".{folder.name}")
        spec = DomainSpec(
            name=name,
            mark=Mark(home=self._layout.home, owner=self._owner, machine="", job=name),
            boot="template",
            accel=template.accel,
            cpus=template.cpus,
            memory_mib=template.memory_mib,
            kernel=template.image.kernel,
            initrd=template.image.initrd,
            disk=work / "disk.qcow2",
            ssh_socket=work / "ssh",
        )
        self._making.add(name)
        try:
            await make_template(
                self._connection,
                spec,
                template.image,
                folder,
                identity=self._identity,
                qemu=self._qemu,
                boot_limit_s=self._settings.boot_timeout_s,
            )
        except HypervisorUnavailable:
            raise  # machines could not boot either
        except (MachineError, TimeLimitExceeded) as error:
            return error.message
        finally:
            self._making.discard(name)
        return ""
