"""A memory template on disk: a booted guest's RAM, its device state and its disk, from which clones start.

::

    templates/<key>/template.json   what it was made from, and what its files must be
    templates/<key>/image           the folder name of the image below it
    templates/<key>/ram             the RAM, mapped privately by every clone
    templates/<key>/state           QEMU's device state, 0.4 MB
    templates/<key>/disk.qcow2      an overlay on the image's disk, as the guest left it
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from pyti.machines.image import Image

__all__ = ["Accel", "Template", "TemplateRecord", "load_template", "template_key", "unchanged", "write_template"]

FORMAT = 1
"""Raised when the device model or the way a snapshot is taken changes."""

Accel = Literal["kvm", "tcg"]


class TemplateRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The text of ``template.json``; ``*_mtime_ns`` show that a file was written to after it was complete."""

    format: int
    image: str
    qemu: str
    accel: str
    cpus: int
    memory_mib: int
    state_sha256: str
    ram_bytes: int
    ram_mtime_ns: int
    disk_bytes: int
    disk_mtime_ns: int
    boot_s: float


@dataclass(kw_only=True)
class Template:
    """What clones start from.

    ``digest`` names the template in reports. ``folder``, ``record`` and ``state`` are ``None`` where the memory recipe
    is not used: then every machine boots, and ``cold_reason`` says why.
    """

    digest: str
    image: Image
    accel: Accel
    cpus: int
    memory_mib: int
    folder: Path | None = None
    record: TemplateRecord | None = None
    state: bytes | None = None
    cold_reason: str = ""
    boot_s: float = 0.0

    @property
    def cold_boot(self) -> bool:
        """Whether machines boot instead of being cloned."""
        return self.folder is None

    @property
    def ram(self) -> Path | None:
        """The RAM file."""
        return self.folder / "ram" if self.folder else None

    @property
    def disk(self) -> Path:
        """The disk that a machine's overlay lies on."""
        return self.folder / "disk.qcow2" if self.folder else self.image.disk


def template_key(image: Image, *, accel: str, cpus: int, memory_mib: int, qemu: str) -> str:
    """Return the name of the template for these, the same in every process."""
    parts = "\0".join([str(FORMAT), image.digest, accel, str(cpus), str(memory_mib), qemu])
    return hashlib.sha256(parts.encode()).hexdigest()[:16]


def load_template(folder: Path, image: Image, *, qemu: str) -> tuple[TemplateRecord, bytes] | None:
    """Read the template in ``folder`` and check it; ``None`` where it is absent, stale or damaged."""
    try:
        record = msgspec.json.decode((folder / "template.json").read_bytes(), type=TemplateRecord)
        state = (folder / "state").read_bytes()
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    good = (
        record.format == FORMAT
        and record.image == image.digest
        and record.qemu == qemu
        and hashlib.sha256(state).hexdigest() == record.state_sha256
        and unchanged(folder, record)
    )
    return (record, state) if good else None


def unchanged(folder: Path, record: TemplateRecord) -> bool:
    """Tell whether RAM and disk are still the files that ``record`` describes: nobody replaced or wrote them."""
    try:
        ram = (folder / "ram").stat()
        disk = (folder / "disk.qcow2").stat()
    except OSError:
        return False
    return (ram.st_size, ram.st_mtime_ns) == (record.ram_bytes, record.ram_mtime_ns) and (
        disk.st_size,
        disk.st_mtime_ns,
    ) == (record.disk_bytes, record.disk_mtime_ns)


def write_template(
    folder: Path, image: Image, state: bytes, *, accel: str, cpus: int, memory_mib: int, qemu: str, boot_s: float
) -> None:
    """Write what describes the finished template, ``template.json`` last."""
    (folder / "image").write_text(image.folder.name)
    (folder / "state").write_bytes(state)
    ram = (folder / "ram").stat()
    disk = (folder / "disk.qcow2").stat()
    record = TemplateRecord(
        format=FORMAT,
        image=image.digest,
        qemu=qemu,
        accel=accel,
        cpus=cpus,
        memory_mib=memory_mib,
        state_sha256=hashlib.sha256(state).hexdigest(),
        ram_bytes=ram.st_size,
        ram_mtime_ns=ram.st_mtime_ns,
        disk_bytes=disk.st_size,
        disk_mtime_ns=disk.st_mtime_ns,
        boot_s=boot_s,
    )
    (folder / "template.json").write_bytes(msgspec.json.encode(record))
