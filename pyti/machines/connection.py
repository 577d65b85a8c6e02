"""libvirt for asyncio: blocking calls in threads, events from one thread per process.

libvirt takes one event loop implementation per process and keeps it for ever, while a process may run many asyncio
loops (tests do, embedding programs do): so libvirt's own loop runs in a daemon thread, and each event is handed to the
asyncio loop that asked for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import libvirt

from pyti.errors import HypervisorUnavailable, MachineError, TimeLimitExceeded

__all__ = ["Connection", "describe"]

T = TypeVar("T")

CALL_LIMIT_S = 60.0
"""One libvirt call; the slowest that this room makes, creating a domain on a busy machine, takes single seconds."""

OPEN_LIMIT_S = 20.0

SERVICES = "libvirtd -d; virtlogd -d"

_started = threading.Lock()
_thread: threading.Thread | None = None


def _ignore_error(_context: object, _error: object) -> None:
    """Libvirt prints every error on stderr unless told otherwise; ours arrive as exceptions."""


def _start_events() -> None:
    global _thread  # noqa: PLW0603 (libvirt's event loop is one per process, by its own design)
    with _started:
        if _thread is not None:
            return
        libvirt.registerErrorHandler(_ignore_error, None)
        libvirt.virEventRegisterDefaultImpl()
        _thread = threading.Thread(target=_run_events, name="pyti-libvirt-events", daemon=True)
        _thread.start()


def _run_events() -> None:
    while True:
        with contextlib.suppress(libvirt.libvirtError):
            libvirt.virEventRunDefaultImpl()


def describe(error: libvirt.libvirtError) -> str:
    """Libvirt's message without its prefixes."""
    return str(error.get_error_message() or error)


class Connection:
    """One connection to libvirt. ``died`` callbacks run in the loop that opened the connection."""

    def __init__(self, raw: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.raw = raw
        self._loop = loop
        self._watchers: dict[str, Callable[[str], None]] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, uri: str) -> AsyncIterator[Connection]:
        """Connect; raises ``HypervisorUnavailable`` with the command that starts libvirt."""
        _start_events()
        try:
            async with asyncio.timeout(OPEN_LIMIT_S):
                raw = await asyncio.to_thread(libvirt.open, uri)
        except (libvirt.libvirtError, TimeoutError) as error:
            reason = (
                describe(error) if isinstance(error, libvirt.libvirtError) else f"no answer in {OPEN_LIMIT_S:.0f} s"
            )
            raise HypervisorUnavailable(
                f"cannot reach libvirt at {uri}: {reason}",
                remedy=f"As root, run: {SERVICES}   (with systemd: systemctl start libvirtd)",
            ) from error
        connection = cls(raw, asyncio.get_running_loop())
        event = libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE
        try:
            callback = await asyncio.to_thread(raw.domainEventRegisterAny, None, event, connection._lifecycle, None)
            await asyncio.to_thread(raw.registerCloseCallback, connection._closed, None)
            try:
                yield connection
            finally:
                await asyncio.shield(asyncio.to_thread(_close, raw, callback))
        except BaseException:
            with contextlib.suppress(libvirt.libvirtError):
                raw.close()
            raise

    async def call(self, function: Callable[..., T], *arguments: Any, limit_s: float = CALL_LIMIT_S) -> T:
        """Run one blocking libvirt call in a thread; ``libvirtError`` becomes ``MachineError``.

        A thread cannot be cancelled: a caller that is cancelled leaves when the call has returned (or its limit is
        reached), so that what it cleans up then cannot appear afterwards.
        """
        thread = asyncio.create_task(asyncio.to_thread(function, *arguments))
        try:
            await asyncio.wait({thread}, timeout=limit_s)
        except asyncio.CancelledError:
            await asyncio.wait({thread}, timeout=limit_s)
            if thread.done() and not thread.cancelled():
                thread.exception()  # looked at, so that asyncio does not report it as never retrieved
            raise
        if not thread.done():
            raise TimeLimitExceeded(f"a libvirt call did not return within {limit_s:.0f} s")
        try:
            return thread.result()
        except libvirt.libvirtError as error:
            raise MachineError(f"libvirt: {describe(error)}") from error

    def watch(self, name: str, died: Callable[[str], None]) -> None:
        """Call ``died(reason)`` once when the domain ``name`` stops or the connection is lost."""
        self._watchers[name] = died

    def unwatch(self, name: str) -> None:
        """Stop watching ``name``."""
        self._watchers.pop(name, None)

    def _lifecycle(self, _raw: Any, domain: Any, event: int, detail: int, _opaque: Any) -> None:
        if event in {libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_CRASHED}:
            self._hand_over(domain.name(), f"the domain stopped (libvirt event {event}, detail {detail})")

    def _closed(self, _raw: Any, reason: int, _opaque: Any) -> None:
        for name in tuple(self._watchers):
            self._hand_over(name, f"the connection to libvirt was lost (reason {reason})")

    def _hand_over(self, name: str, reason: str) -> None:
        with contextlib.suppress(RuntimeError):  # the loop may have closed a moment ago: then nobody listens
            self._loop.call_soon_threadsafe(self._notify, name, reason)

    def _notify(self, name: str, reason: str) -> None:
        if died := self._watchers.pop(name, None):
            died(reason)


def _close(raw: Any, callback: int) -> None:
    for step in (raw.unregisterCloseCallback, lambda: raw.domainEventDeregisterAny(callback), raw.close):
        with contextlib.suppress(libvirt.libvirtError):
            step()
