"""The rooms that a slave works in, opened once and shared by all of its jobs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pyti.config import Settings
from pyti.errors import ImageDamaged
from pyti.index import Downloads, IndexClient
from pyti.machines import Accelerator, Hypervisor, Image, ImageStore, MachinePool
from pyti.rawdata import GuestSession
from pyti.roles.folders import make_folder
from pyti.roles.guests import guest_pool
from pyti.roles.topology import capability
from pyti.store import Blobs

__all__ = ["SlaveRooms"]


@dataclass(frozen=True)
class SlaveRooms:
    """Everything that a job's pipeline needs and does not own."""

    settings: Settings
    images: ImageStore
    hypervisor: Hypervisor
    accelerator: Accelerator
    pool: MachinePool[GuestSession]
    client: IndexClient
    downloads: Downloads
    blobs: Blobs
    spool: Path
    """Where a job's raw data lies until it is in the blob store."""
    capabilities: tuple[str, ...]
    """``<arch>.<image>`` of every image that was here when the slave started."""

    def image(self, name: str) -> Image:
        """The image of that name; raises ``ImageMissing``."""
        return self.images.get(name)

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, *, owner: str) -> AsyncIterator[SlaveRooms]:
        """Open all of them; what an earlier slave left behind is swept away first.

        Raises ``ImageMissing`` when the configured image was never built,
        ``ImageDamaged`` when it is out of date, and ``HypervisorUnavailable``.
        """
        spool = settings.home / "spool" / owner
        make_folder(spool, mode=0o700)
        images = ImageStore(settings.home)
        if await asyncio.to_thread(lambda: images.get(settings.machines.image).stale):
            raise ImageDamaged(
                f"the image {settings.machines.image} is out of date: the guest's code has changed since it was built",
                remedy="Run `pyti image build`; it takes seconds.",
            )
        async with AsyncExitStack() as stack:
            hypervisor = await stack.enter_async_context(Hypervisor.open(settings, owner=owner))
            await hypervisor.sweep()
            accelerator = await hypervisor.probe()
            pool = await stack.enter_async_context(
                guest_pool(hypervisor, slots=settings.slave.slots, warm=settings.machines.warm)
            )
            client = await stack.enter_async_context(IndexClient(settings.index, cache=settings.home / "cache"))
            blobs = await stack.enter_async_context(Blobs.open(settings.blobs_url))
            yield cls(
                settings=settings,
                images=images,
                hypervisor=hypervisor,
                accelerator=accelerator,
                pool=pool,
                client=client,
                downloads=Downloads(client, cache=settings.home / "cache", settings=settings.index),
                blobs=blobs,
                spool=spool,
                capabilities=tuple(sorted({capability(image.arch, image.name) for image in images.list()})),
            )
