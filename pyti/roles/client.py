"""How other processes ask a master: over the bus, or, where there is none, straight from the shared store."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from pyti import errors
from pyti.bus import Bus
from pyti.config import Settings
from pyti.errors import PytiError, RequestTimeout, Unroutable, UsageError
from pyti.messages import Message, Refusal, SubmitJobs
from pyti.roles.requests import answer
from pyti.roles.topology import Names, bus_options, client_topology, registry
from pyti.store import Blobs, Store

__all__ = ["Client", "open_client"]


class Client(Protocol):
    """Asks a master; a ``Refusal`` is raised as the error that it stands for."""

    async def ask(self, message: Message) -> Message:
        """Send one request and return its answer."""
        ...


class _BusClient:
    def __init__(self, settings: Settings, bus: Bus) -> None:
        self._settings = settings
        self._bus = bus

    async def ask(self, message: Message) -> Message:
        # Choosing files asks the index, which has its own, longer limits.
        patience = self._settings.index.timeout_s if isinstance(message, SubmitJobs) else 0.0
        try:
            reply = await self._bus.request(
                Names(self._settings.bus.namespace).ctl,
                "master",
                message,
                timeout_s=self._settings.bus.request_timeout_s + patience,
            )
        except (Unroutable, RequestTimeout) as error:
            raise type(error)(
                f"no master answers on the bus: {error.message}", remedy="Start one with `pyti master --config F`."
            ) from error
        return _checked(reply)


class _StoreClient:
    def __init__(self, store: Store, blobs: Blobs) -> None:
        self._store = store
        self._blobs = blobs

    async def ask(self, message: Message) -> Message:
        if isinstance(message, SubmitJobs):
            raise UsageError(
                "there is no bus to submit to",
                remedy="Set url in [bus] and start `pyti master` and `pyti slave`, or use `pyti test`.",
            )
        return _checked(await answer(message, self._store, self._blobs))


@asynccontextmanager
async def open_client(settings: Settings) -> AsyncIterator[Client]:
    """Open the client that fits the settings' bus."""
    if settings.bus.url.startswith("inprocess:"):
        async with Store.open(settings.database_url) as store, Blobs.open(settings.blobs_url) as blobs:
            yield _StoreClient(store, blobs)
    else:
        async with Bus.open(
            settings.bus.url,
            registry=registry(),
            topology=client_topology(settings.bus.namespace),
            name=f"client-{os.getpid()}",
            app="pyti",
            options=bus_options(settings.bus),
        ) as bus:
            yield _BusClient(settings, bus)


def _checked(reply: object) -> Message:
    if isinstance(reply, Refusal):
        kind = getattr(errors, reply.error, None)
        if not (isinstance(kind, type) and issubclass(kind, PytiError)):
            kind = UsageError
        raise kind(reply.message, remedy=reply.remedy)
    if not isinstance(reply, Message):
        raise errors.InvalidMessage(f"a master answered with {type(reply).__name__}")
    return reply
