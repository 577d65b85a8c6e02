"""Removes what owners that no longer live left behind: domains, QEMU processes, folders, half-made templates."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import libvirt

from pyti.errors import PytiError
from pyti.machines.base import remove_tree
from pyti.machines.connection import Connection
from pyti.machines.domain_xml import Mark, read_mark
from pyti.machines.layout import Layout
from pyti.machines.locks import FileLock
from pyti.machines.remains import remains_of, remove_remains

__all__ = ["Swept", "sweep"]


@dataclass(kw_only=True)
class Swept:
    """What a sweep found and removed; ``failed`` names what could not be removed, with the reason."""

    owners: list[str] = field(default_factory=list)
    domains: list[str] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


async def sweep(connection: Connection, layout: Layout, *, own: str, living: Collection[str]) -> Swept:
    """Remove everything below ``layout.home`` whose owner's lock nobody holds.

    ``own`` is the caller's own name, whose lock it holds: there everything is removed but the machines ``living``.
    """
    swept = Swept()
    domains = await connection.call(_marked_domains, connection.raw, layout.home)
    owners = {mark.owner for mark in domains.values()} | await asyncio.to_thread(_owners_on_disk, layout)
    for owner in sorted(owners):
        if owner == own:
            await _sweep_owner(connection, layout, owner, domains, swept, spare=living)
            continue
        lock = FileLock(layout.owners / f"{owner}.lock")
        if not lock.acquire():
            continue
        try:
            await _sweep_owner(connection, layout, owner, domains, swept, spare=())
        finally:
            lock.release(remove=True)
    await _sweep_unfinished(layout, swept)
    return swept


async def _sweep_owner(
    connection: Connection,
    layout: Layout,
    owner: str,
    domains: dict[str, Mark],
    swept: Swept,
    *,
    spare: Collection[str],
) -> None:
    folder = layout.machines / owner
    left: dict[str, Path | None] = {name: None for name, mark in domains.items() if mark.owner == owner}
    if folder.is_dir():
        left |= {f"pyti-{owner}-{machine.name}": machine for machine in folder.iterdir()}
    for name in await asyncio.to_thread(_running_names, owner, layout.home):
        left.setdefault(name, None)
    left = {name: machine for name, machine in left.items() if name not in spare}
    for name, machine in left.items():
        try:
            await remove_remains(connection, name, machine)
            rest = await remains_of(connection, name, machine)
        except (PytiError, OSError) as error:
            rest = [f"{name}: {error}"]
        swept.failed += rest
        if not rest:
            swept.domains += [name] if name in domains else []
            swept.folders += [machine] if machine else []
    if not spare and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
    if left:
        swept.owners.append(owner)


async def _sweep_unfinished(layout: Layout, swept: Swept) -> None:
    """Half-made templates, whose lock is free because their maker is gone."""
    for work in sorted(layout.templates.glob(".*")):
        lock = FileLock(layout.lock(f"template-{work.name[1:]}"))
        if lock.acquire():
            try:
                await asyncio.to_thread(remove_tree, work)
                swept.folders.append(work)
            finally:
                lock.release()


def _marked_domains(raw: Any, home: Path) -> dict[str, Mark]:
    found: dict[str, Mark] = {}
    for domain in raw.listAllDomains():
        try:
            mark = read_mark(domain.XMLDesc())
        except libvirt.libvirtError:
            continue  # it ended a moment ago
        if mark is not None and mark.home == home:
            found[domain.name()] = mark
    return found


def _owners_on_disk(layout: Layout) -> set[str]:
    locks = {path.stem for path in layout.owners.glob("*.lock")}
    return locks | {path.name for path in layout.machines.iterdir() if path.is_dir()}


def _running_names(owner: str, home: Path) -> set[str]:
    """Names of the QEMU processes of ``owner`` whose files lie below ``home``."""
    mark = re.compile(rf"guest=(pyti-{re.escape(owner)}-t?[0-9a-f]{{8}})(,|$)")
    found: set[str] = set()
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            words = Path(entry.path, "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        names = {match[1] for word in words if (match := mark.match(word))}
        if names and any(f"{home}/" in word for word in words):
            found |= names
    return found
