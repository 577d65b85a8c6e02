"""The machines of one job: cloned ahead while files are still being fetched, connected, used once, destroyed."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from pyti.errors import MachineError
from pyti.machines import Hypervisor, Image, Machine, MachinePool
from pyti.messages import JobRun
from pyti.rawdata import GuestSession
from pyti.roles.stopwatch import Stopwatch

__all__ = ["Guest", "GuestSupply", "guest_pool"]

CONNECT_LIMIT_S = 60.0
"""An SSH handshake takes 0.6 s in one emulated guest and 17 s when 32 compete for two cores (measured)."""

DESTROY_LIMIT_S = 60.0

SEED_BYTES = 64
"""Fresh randomness for each clone: clones share the template's random pool."""


def guest_pool(hypervisor: Hypervisor, *, slots: int, warm: int) -> MachinePool[GuestSession]:
    """Make a pool whose machines come connected and awake: with the right time, their own name and randomness."""
    return MachinePool(hypervisor, slots=slots, warm=warm, prepare=_connect, dispose=GuestSession.close)


async def _connect(machine: Machine) -> GuestSession:
    session = await GuestSession.connect(machine.address, timeout_s=CONNECT_LIMIT_S)
    try:
        await session.wake(seed=os.urandom(SEED_BYTES), hostname=machine.name[:63], at=time.time())
    except BaseException:
        await session.close()
        raise
    return session


@dataclass(frozen=True)
class Guest:
    """A running machine and the open session to it."""

    machine: Machine
    session: GuestSession
    _stack: AsyncExitStack

    async def close(self) -> None:
        """End the session and destroy the machine; raises ``MachineError``, which may be ``LeftBehind``."""
        try:
            async with asyncio.timeout(DESTROY_LIMIT_S):
                await self._stack.aclose()
        except TimeoutError:
            raise MachineError(f"{self.machine.name} was not destroyed within {DESTROY_LIMIT_S:.0f} s") from None


class GuestSupply:
    """Hands a job its machines, one at a time, with the next one being cloned ahead of need.

    A job never holds more than one machine, so the pool's slots cannot be exhausted by jobs that wait for a second.
    """

    def __init__(self, pool: MachinePool[GuestSession], image: Image, run: JobRun, stopwatch: Stopwatch) -> None:
        self._pool = pool
        self._image = image
        self._run = run
        self._stopwatch = stopwatch
        self._ahead: asyncio.Task[Guest] | None = None

    async def __aenter__(self) -> Self:
        self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if (ahead := self._ahead) is None:
            return
        self._ahead = None
        ahead.cancel()
        await asyncio.wait({ahead})
        if not ahead.cancelled() and ahead.exception() is None:
            await ahead.result().close()

    @asynccontextmanager
    async def guest(self, *, more: bool = False) -> AsyncIterator[Guest]:
        """Lend a fresh guest; it is destroyed afterwards. With ``more`` the next one is then cloned ahead."""
        guest = await (self._ahead or self._start())
        self._ahead = None
        failed = True
        try:
            yield guest
            failed = False
        finally:
            with self._stopwatch.part("destroy"):
                try:
                    # Shielded: a cancelled job must not leave its machine; bounded by DESTROY_LIMIT_S.
                    await asyncio.shield(asyncio.ensure_future(guest.close()))
                except MachineError:
                    if not failed:
                        raise
        if more:
            self._start()

    def _start(self) -> asyncio.Task[Guest]:
        self._ahead = asyncio.create_task(self._open(), name=f"clone for {self._run.job}")
        return self._ahead

    async def _open(self) -> Guest:
        wanted = self._run.machine
        with self._stopwatch.part("clone"):
            async with AsyncExitStack() as stack:
                leased = await stack.enter_async_context(
                    self._pool.lease(self._image, cpus=wanted.cpus, memory_mib=wanted.memory_mib, job=self._run.job)
                )
                return Guest(leased.machine, leased.prepared, stack.pop_all())
