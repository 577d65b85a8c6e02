"""Which accelerator works here: decided by booting a kernel, because a device file that opens proves nothing."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Literal

import msgspec

from pyti.errors import PytiError
from pyti.machines.commands import run

__all__ = ["Accelerator", "booted", "probe_accelerator"]

KVM_DEVICE = Path("/dev/kvm")

PROBE_LIMIT_S = 20.0
"""A kernel that works under KVM gets through this boot in about a second."""

ARGUMENTS = "console=ttyS0 earlyprintk=serial,ttyS0 panic=-1 mitigations=off"
"""No root filesystem: a kernel that gets to the end of its boot panics for the lack of one, and QEMU ends."""


class Accelerator(msgspec.Struct, frozen=True, kw_only=True):
    """What machines run on, and why."""

    accel: Literal["kvm", "tcg"]
    reason: str


def booted(console: str) -> bool:
    """Tell whether a kernel's console shows that it began and got as far as looking for its root filesystem."""
    return "Linux version" in console and "Unable to mount root fs" in console


async def probe_accelerator(
    wanted: Literal["auto", "kvm", "tcg"], kernel: Path | None, cache: Path, *, qemu: str
) -> Accelerator:
    """Find out, or remember: the finding is kept in ``cache`` for this host kernel and this QEMU."""
    if wanted != "auto":
        return Accelerator(accel=wanted, reason="asked for by settings")
    if not os.access(KVM_DEVICE, os.R_OK | os.W_OK):
        return Accelerator(accel="tcg", reason=f"{KVM_DEVICE} is missing or may not be opened")
    if kernel is None:
        return Accelerator(accel="tcg", reason="not probed: there is no image to boot a kernel from")
    note = cache / f"accel-{platform.release()}-{qemu}.json"
    try:
        return msgspec.json.decode(note.read_bytes(), type=Accelerator)
    except (OSError, msgspec.MsgspecError):
        pass
    found = await _boot(kernel)
    new = note.with_suffix(f".{os.getpid()}")
    new.write_bytes(msgspec.json.encode(found))
    new.replace(note)
    return found


async def _boot(kernel: Path) -> Accelerator:
    argv: list[str | Path] = [
        "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-nic", "none",
        "-machine", "q35,accel=kvm", "-cpu", "host", "-m", "256", "-serial", "stdio",
        "-kernel", kernel, "-append", ARGUMENTS,
    ]  # fmt: skip
    try:
        console = await run(argv, limit_s=PROBE_LIMIT_S)
    except PytiError as error:
        return Accelerator(
            accel="tcg", reason=f"a kernel did not boot under KVM: {error.message.splitlines()[-1][:200]}"
        )
    if booted(console):
        return Accelerator(accel="kvm", reason="a kernel booted under KVM")
    return Accelerator(accel="tcg", reason="a kernel that was started under KVM did not get through its boot")
