"""``pyti doctor``: can this host test distributions, and if not, what is to be done."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Literal

import msgspec
from rich.console import Console
from rich.text import Text

from pyti.bus import Bus
from pyti.cli.options import Config, Json, settings_from
from pyti.config import Settings
from pyti.errors import ExitStatus, PytiError
from pyti.index import IndexClient, index_url, without_secrets
from pyti.machines import Hypervisor, ImageStore
from pyti.reports import neutral_text
from pyti.roles import bus_options, client_topology, registry
from pyti.store import Blobs, Store

__all__ = ["Check", "doctor"]

PROBE_PROJECT = "pip"
"""A project that every index of Python packages has."""

_STYLES = {"ok": "green", "warning": "yellow", "failed": "red"}


@dataclass(frozen=True)
class Check:
    """What one look at this host found."""

    name: str
    state: Literal["ok", "warning", "failed"]
    detail: str
    remedy: str = ""


def doctor(*, json: Json = False, config: Config = None) -> int:
    """Check everything that a job needs on this host: KVM by booting, libvirt, image, disk, index, store and bus."""
    settings = settings_from(config)
    checks = asyncio.run(_gather(settings, show=not json))
    if json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(checks), indent=2).decode() + "\n")
    return ExitStatus.INCONCLUSIVE if any(check.state == "failed" for check in checks) else ExitStatus.PASSED


async def _gather(settings: Settings, *, show: bool) -> list[Check]:
    console = Console(highlight=False)
    found = []
    async for check in _checks(settings):
        found.append(check)
        if show:
            mark = {"ok": "✓", "warning": "!", "failed": "✗"}[check.state]
            console.print(
                Text(f"{mark} {check.state:<8}", style=_STYLES[check.state])
                + Text(f"{check.name}: {neutral_text(check.detail)}", style="")
            )
            if check.remedy:
                console.print(Text(f"           {neutral_text(check.remedy)}", style="bold"))
    return found


async def _checks(settings: Settings) -> AsyncIterator[Check]:
    yield _disk(settings)
    yield await asyncio.to_thread(_image, settings)
    async for check in _hypervisor(settings):
        yield check
    yield await _index(settings)
    yield await _store(settings)
    yield await _bus(settings)


def _disk(settings: Settings) -> Check:
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(settings.home).free
    except OSError as error:
        return Check(
            "home", "failed", f"cannot use {settings.home}: {error.strerror}", "Set PYTI_HOME to another folder."
        )
    detail = f"{settings.home}, {free / 2**30:.1f} GiB free"
    if free < settings.machines.min_free_bytes:
        return Check("home", "failed", detail, "Free some space, or set PYTI_HOME to another folder.")
    if not os.access(settings.home, os.W_OK):
        return Check("home", "failed", f"{settings.home} is read-only", "Set PYTI_HOME to another folder.")
    return Check("home", "ok", detail)


def _image(settings: Settings) -> Check:
    try:
        image = ImageStore(settings.home).get(settings.machines.image)
    except PytiError as error:
        return Check("image", "failed", error.message, error.remedy)
    if image.stale:
        return Check("image", "failed", f"{image.name} is out of date", "Run `pyti image build`.")
    return Check("image", "ok", f"{image.name} {image.digest[:12]}, Python {image.target.get('python_full_version')}")


async def _hypervisor(settings: Settings) -> AsyncIterator[Check]:
    try:
        async with AsyncExitStack() as stack:
            hypervisor = await stack.enter_async_context(Hypervisor.open(settings, owner=f"doctor-{os.getpid()}"))
            yield Check("libvirt", "ok", f"answers at {settings.libvirt_uri}")
            accelerator = await hypervisor.probe()
            yield Check(
                "acceleration",
                "ok" if accelerator.accel == "kvm" else "warning",
                f"{accelerator.accel}: {accelerator.reason}",
            )
    except PytiError as error:
        yield Check("libvirt", "failed", error.message, error.remedy)


async def _index(settings: Settings) -> Check:
    try:
        async with IndexClient(settings.index, cache=settings.home / "cache") as client:
            page = await client.project(PROBE_PROJECT)
    except PytiError as error:
        return Check("index", "failed", error.message, error.remedy)
    return Check(
        "index",
        "ok",
        f"{without_secrets(index_url(settings.index))} answers ({len(page.files)} files of {PROBE_PROJECT})",
    )


async def _store(settings: Settings) -> Check:
    try:
        async with Store.open(settings.database_url) as store, Blobs.open(settings.blobs_url):
            jobs = await store.jobs(1)
    except PytiError as error:
        return Check("store", "failed", error.message, error.remedy)
    return Check("store", "ok", "jobs and blobs can be kept" + ("" if jobs else "; no job yet"))


async def _bus(settings: Settings) -> Check:
    if settings.bus.url.startswith("inprocess:"):
        return Check("bus", "ok", "in-process; no broker is needed")
    try:
        async with Bus.open(
            settings.bus.url,
            registry=registry(),
            topology=client_topology(settings.bus.namespace),
            name="doctor",
            app="pyti",
            options=bus_options(settings.bus),
        ):
            return Check("bus", "ok", "the broker answers")
    except PytiError as error:
        return Check("bus", "failed", error.message, error.remedy)
