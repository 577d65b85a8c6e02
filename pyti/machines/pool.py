"""Leases of fresh machines: never more than the slots allow, never one for two jobs, some ready ahead of need."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from pyti.errors import PytiError
from pyti.machines.hypervisor import Hypervisor
from pyti.machines.image import Image
from pyti.machines.machine import Machine

__all__ = ["Leased", "MachinePool"]

T = TypeVar("T")

REFILL_PAUSE_S = 2.0
"""After a warm machine could not be made: the lease that needs one will meet the error itself."""

Kind = tuple[str, int, int]


@dataclass(frozen=True, kw_only=True)
class Leased(Generic[T]):
    """One machine on loan, with what the pool's ``prepare`` made of it (an SSH session, say)."""

    machine: Machine
    prepared: T
    warm: bool
    """Whether it was ready before it was asked for."""


class MachinePool(Generic[T]):
    """At most ``slots`` machines on loan at once, and up to ``warm`` ready ones for the kind asked for last.

    ``prepare`` runs for each machine right after its clone, ``dispose`` before its end, whatever happened; neither may
    keep the machine. Use as ``async with``: on leaving, no machine is left.
    """

    def __init__(
        self,
        hypervisor: Hypervisor,
        *,
        slots: int,
        warm: int = 0,
        prepare: Callable[[Machine], Awaitable[T]],
        dispose: Callable[[T], Awaitable[None]] | None = None,
    ) -> None:
        self._hypervisor = hypervisor
        self._prepare = prepare
        self._dispose = dispose
        self._free = asyncio.Semaphore(slots)
        self._warm = warm
        self._ready: deque[tuple[Kind, Leased[T]]] = deque()
        self._wanted: tuple[Kind, Image] | None = None
        self._wake = asyncio.Event()
        self._refill: asyncio.Task[None] | None = None

    async def __aenter__(self) -> MachinePool[T]:
        if self._warm:
            self._refill = asyncio.create_task(self._keep_warm(), name="warm machines")
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._refill is not None:
            self._refill.cancel()
            await asyncio.wait({self._refill})
        try:
            self._check_refill()
        finally:
            await self._end_ready()

    async def _end_ready(self) -> None:
        while self._ready:
            _kind, leased = self._ready.popleft()
            await self._end(leased)

    @property
    def ready(self) -> int:
        """Warm machines that wait for a lease."""
        return len(self._ready)

    def expect(self, image: Image, *, cpus: int, memory_mib: int) -> None:
        """Keep warm machines of this kind from now on, before the first lease asks for one."""
        self._wanted = ((image.digest, cpus, memory_mib), image)
        self._wake.set()

    @asynccontextmanager
    async def lease(self, image: Image, *, cpus: int, memory_mib: int, job: str) -> AsyncIterator[Leased[T]]:
        """Wait for a slot, then give a fresh machine; it is destroyed when the block ends, and the proof is checked.

        Raises what ``Hypervisor.template``, ``Hypervisor.clone``, ``prepare`` and ``Machine.destroy`` raise.
        """
        async with self._free:
            self._check_refill()
            self.expect(image, cpus=cpus, memory_mib=memory_mib)
            leased = await self._take((image.digest, cpus, memory_mib), image, job)
            self._wake.set()
            try:
                yield leased
            finally:
                await self._end(leased)

    def _check_refill(self) -> None:
        """Raise what ended the keeper of warm machines, if something did: it has no business ending."""
        if self._refill is not None and self._refill.done() and not self._refill.cancelled():
            self._refill.result()

    async def _take(self, kind: Kind, image: Image, job: str) -> Leased[T]:
        while self._ready:
            found, leased = self._ready.popleft()
            if found == kind and not leased.machine.lost.done():
                leased.machine.job = job
                return leased
            await self._end(leased)
        return await self._make(kind, image, job, warm=False)

    async def _make(self, kind: Kind, image: Image, job: str, *, warm: bool) -> Leased[T]:
        template = await self._hypervisor.template(image, cpus=kind[1], memory_mib=kind[2])
        machine = await self._hypervisor.clone(template, label=image.name, job=job)
        try:
            return Leased(machine=machine, prepared=await self._prepare(machine), warm=warm)
        except BaseException:
            await machine.destroy()
            raise

    async def _end(self, leased: Leased[T]) -> None:
        try:
            if self._dispose is not None:
                await self._dispose(leased.prepared)
        finally:
            await leased.machine.destroy()

    async def _keep_warm(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._wanted is not None and len(self._ready) < self._warm:
                kind, image = self._wanted
                try:
                    self._ready.append((kind, await self._make(kind, image, "", warm=True)))
                except PytiError:
                    await asyncio.sleep(REFILL_PAUSE_S)
                    break
