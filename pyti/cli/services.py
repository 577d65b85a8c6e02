"""``pyti master`` and ``pyti slave``: the long-running services."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AbstractAsyncContextManager
from typing import Any

import structlog

from pyti.cli.logs import configure_logs
from pyti.cli.options import Config, settings_from
from pyti.config import Settings
from pyti.errors import ConfigError
from pyti.roles import Blocked, Master, Slave, keep_collections_short, loop_probe

__all__ = ["master", "slave"]

log = structlog.get_logger(__name__)


def master(*, config: Config = None) -> int:
    """Run a master until SIGTERM: it hears of releases, dispatches jobs and evaluates what comes back."""
    settings = _service_settings(config)
    return asyncio.run(_serve(Master(settings), None, settings))


def slave(*, config: Config = None) -> int:
    """Run a slave until SIGTERM: it takes jobs, runs them in fresh machines and hands back raw data.

    The first SIGTERM or SIGINT drains: no more jobs are taken, and those that run may finish within the grace time.
    A second one ends at once; jobs are handed back.
    """
    settings = _service_settings(config)
    role = Slave(settings)
    return asyncio.run(_serve(role, role, settings))


def _service_settings(config: Config) -> Settings:
    configure_logs(os.environ.get("PYTI_LOG") or "info")
    settings = settings_from(config)
    if settings.bus.url.startswith("inprocess:"):
        raise ConfigError(
            "a service of its own needs a broker, but [bus] url is the in-process transport",
            remedy="Set url in [bus] to an amqp:// URL; `pyti test` needs no broker.",
        )
    return settings


def _blocked(blocked: Blocked) -> None:
    log.warning("event_loop_blocked", seconds=round(blocked.seconds, 3), stack=blocked.stack)


async def _serve(role: AbstractAsyncContextManager[object], drained: Slave | None, settings: Settings) -> int:
    """Run until the first signal; with a slave, drain then, unless a second signal comes."""
    loop = asyncio.get_running_loop()
    signals: asyncio.Queue[int] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signals.put_nowait, number)
    async with loop_probe(_blocked), role:
        keep_collections_short()
        waits: set[asyncio.Task[Any]] = {asyncio.create_task(signals.get(), name="signal")}
        if drained is not None:
            waits.add(asyncio.create_task(drained.draining.wait(), name="drain command"))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if drained is not None:
                log.info("draining", grace_s=settings.slave.grace_s)
                ends: set[asyncio.Task[Any]] = {
                    asyncio.create_task(drained.drain(), name="drain"),
                    asyncio.create_task(signals.get(), name="second signal"),
                }
                waits |= ends
                await asyncio.wait(ends, timeout=settings.slave.grace_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()
    log.info("stopped")
    return 0
