"""One machine: its address, its end, and the proof that nothing of it is left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from pyti.errors import LeftBehind, MachineError, TimeLimitExceeded
from pyti.machines.connection import Connection
from pyti.machines.remains import remains_of, remove_remains
from pyti.rawdata.contract import GuestAddress

__all__ = ["DESTROY_LIMIT_S", "Destroyed", "Machine"]

DESTROY_LIMIT_S = 60.0
"""All of ``destroy``; measured: 0.15 s on an idle machine."""


@dataclass(frozen=True, kw_only=True)
class Destroyed:
    """The proof: these were looked for after the end, and none was there."""

    machine: str
    seconds: float
    domain: str
    folder: Path


class Machine:
    """A running guest that belongs to one job.

    ``lost`` is done, with the reason as its result, when the machine dies by itself; it stays pending when ``destroy``
    ends it. ``template`` is the template's digest. Leaving ``async with`` destroys the machine.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        id: str,  # noqa: A002 (a machine's id is called id)
        name: str,
        label: str,
        job: str,
        folder: Path,
        template: str,
        accel: str,
        cold_boot: bool,
        address: GuestAddress,
        forget: Callable[[Machine], None],
    ) -> None:
        self._connection = connection
        self.id = id
        self.name = name
        self.label = label
        self.job = job
        self.folder = folder
        self.template = template
        self.accel = accel
        self.cold_boot = cold_boot
        self.address = address
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._forget = forget
        self._ending: asyncio.Task[Destroyed] | None = None
        connection.watch(name, self._died)

    def __repr__(self) -> str:
        return f"<Machine {self.name} of {self.job or 'no job'}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.destroy()

    async def destroy(self) -> Destroyed:
        """End the machine and prove that nothing is left; calling it again returns the same proof.

        The work is shielded: a caller that is cancelled leaves at once, the machine is destroyed all the same, and
        ``Hypervisor.open`` waits for it. Raises ``LeftBehind`` naming what is left, ``TimeLimitExceeded`` where libvirt
        or the kernel takes longer than ``DESTROY_LIMIT_S``. After a failure the next call tries again.
        """
        if self._ending is None or (self._ending.done() and self._failed(self._ending)):
            self._ending = asyncio.get_running_loop().create_task(self._destroy(), name=f"destroy {self.name}")
        return await asyncio.shield(self._ending)

    @staticmethod
    def _failed(task: asyncio.Task[Destroyed]) -> bool:
        return task.cancelled() or task.exception() is not None

    async def _destroy(self) -> Destroyed:
        begun = time.perf_counter()
        self._connection.unwatch(self.name)
        try:
            async with asyncio.timeout(DESTROY_LIMIT_S):
                await remove_remains(self._connection, self.name, self.folder)
                left = await remains_of(self._connection, self.name, self.folder)
        except TimeoutError:
            raise TimeLimitExceeded(f"{self.name} could not be destroyed in {DESTROY_LIMIT_S:.0f} s") from None
        except OSError as error:
            raise MachineError(f"{self.name} could not be removed: {error}") from error
        if left:
            raise LeftBehind(
                f"after its end, {self.name} left: {', '.join(left)}",
                remedy="Remove it by hand, or restart the slave: it sweeps when it starts.",
            )
        self._forget(self)
        return Destroyed(machine=self.id, seconds=time.perf_counter() - begun, domain=self.name, folder=self.folder)

    def _died(self, reason: str) -> None:
        if not self.lost.done():
            self.lost.set_result(reason)
