"""libvirt's description of a machine, as pure functions of its specification.

The device model must be the same in the template and in its clones, or the device state cannot be loaded: both come
from ``domain_xml`` and differ only in how the RAM is mapped, where the console goes and how QEMU starts.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["METADATA_URI", "SSH_PORT", "Boot", "DomainSpec", "Mark", "domain_xml", "read_mark"]

SSH_PORT = "org.pyti.ssh.0"
"""The virtio-serial port that the guest's SSH server serves."""

METADATA_URI = "urn:pyti:machine:1"
"""The name space of the mark that says whose machine a domain is."""

QEMU_URI = "http://libvirt.org/schemas/domain/qemu/1.0"
"""libvirt's own name space for passing arguments to QEMU."""

KERNEL_ARGUMENTS = (
    "root=/dev/vda rw rootfstype=ext4 console=ttyS0 quiet loglevel=3 systemd.show_status=no "
    "mitigations=off audit=0 fsck.mode=skip net.ifnames=0 panic=-1 random.trust_bootloader=on"
)
"""``mitigations=off``: a guest holds one job and nothing worth stealing from it, and TCG pays for every mitigation."""

MACHINE_TYPE = "pc-q35-7.2"
"""Fixed, so that the device state means the same in every process; every QEMU from 7.2 on has it."""

TCG_CPU = "Nehalem"
"""x86-64-v2, which current wheels require; with no AVX, whose emulation is slower than the code it replaces."""

CPU_INQUIRY = "cpu-unavailable-features"
"""libvirt's name of a QEMU capability that is denied here. With it, libvirt asks QEMU for each of some 400 properties
of the CPU whenever a machine starts, and QEMU reads every question byte by byte: 0.25 s of a start's 0.45 s.
Without it, libvirt asks once for all features; PyTI fixes the CPU's model and compares nothing."""

Boot = Literal["cold", "template", "clone"]


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Whose machine a domain is: written into its metadata, read back by the sweep."""

    home: Path
    owner: str
    machine: str
    job: str


@dataclass(frozen=True, kw_only=True)
class DomainSpec:
    """One machine: what it is made of and how it starts.

    ``cold`` boots with RAM of its own; ``template`` boots with its RAM in the shared file ``ram``; ``clone`` maps
    ``ram`` privately and waits for the device state.
    """

    name: str
    mark: Mark
    boot: Boot
    accel: Literal["kvm", "tcg"]
    cpus: int
    memory_mib: int
    kernel: Path
    initrd: Path
    disk: Path
    ssh_socket: Path
    ram: Path | None = None
    console: Path | None = None
    kernel_arguments: str = KERNEL_ARGUMENTS


def domain_xml(spec: DomainSpec) -> str:
    """The XML for ``virDomainCreateXML``. No network card, no USB, no balloon, no graphics."""
    ET.register_namespace("qemu", QEMU_URI)
    ET.register_namespace("pyti", METADATA_URI)
    domain = ET.Element("domain", {"type": "kvm" if spec.accel == "kvm" else "qemu"})
    _text(domain, "name", spec.name)
    mark = ET.SubElement(ET.SubElement(domain, "metadata"), f"{{{METADATA_URI}}}machine")
    mark.attrib.update(home=str(spec.mark.home), owner=spec.mark.owner, machine=spec.mark.machine, job=spec.mark.job)
    _text(domain, "memory", str(spec.memory_mib), unit="MiB")
    _text(domain, "vcpu", str(spec.cpus))
    domain.append(_cpu(spec.accel))
    system = ET.SubElement(domain, "os")
    _text(system, "type", "hvm", arch="x86_64", machine=MACHINE_TYPE)
    if spec.boot != "clone":  # a clone's kernel is in its RAM already; QEMU would read it again, 15 MiB for nobody
        _text(system, "kernel", str(spec.kernel))
        _text(system, "initrd", str(spec.initrd))
        _text(system, "cmdline", spec.kernel_arguments)
    features = ET.SubElement(domain, "features")
    ET.SubElement(features, "acpi")
    ET.SubElement(domain, "clock", {"offset": "utc"})
    for event in ("on_poweroff", "on_reboot", "on_crash"):
        _text(domain, event, "destroy")
    domain.append(_devices(spec))
    if arguments := _qemu_arguments(spec):
        commandline = ET.SubElement(domain, f"{{{QEMU_URI}}}commandline")
        for argument in arguments:
            ET.SubElement(commandline, f"{{{QEMU_URI}}}arg", {"value": argument})
    capabilities = ET.SubElement(domain, f"{{{QEMU_URI}}}capabilities")
    ET.SubElement(capabilities, f"{{{QEMU_URI}}}del", {"capability": CPU_INQUIRY})
    return ET.tostring(domain, encoding="unicode")


def read_mark(xml: str) -> Mark | None:
    """The mark of a domain, or ``None`` where the domain is not PyTI's."""
    try:
        found = ET.fromstring(xml).find(f"metadata/{{{METADATA_URI}}}machine")  # noqa: S314 (libvirt's own text)
    except ET.ParseError:
        return None
    if found is None:
        return None
    return Mark(
        home=Path(found.get("home", "")),
        owner=found.get("owner", ""),
        machine=found.get("machine", ""),
        job=found.get("job", ""),
    )


def _cpu(accel: str) -> ET.Element:
    if accel == "kvm":
        return ET.Element("cpu", {"mode": "host-passthrough", "migratable": "on"})
    cpu = ET.Element("cpu", {"mode": "custom", "match": "exact", "check": "none"})
    _text(cpu, "model", TCG_CPU, fallback="forbid")
    return cpu


def _devices(spec: DomainSpec) -> ET.Element:
    devices = ET.Element("devices")
    disk = ET.SubElement(devices, "disk", {"type": "file", "device": "disk"})
    ET.SubElement(disk, "driver", {"name": "qemu", "type": "qcow2", "cache": "unsafe", "discard": "unmap"})
    ET.SubElement(disk, "source", {"file": str(spec.disk)})
    ET.SubElement(disk, "target", {"dev": "vda", "bus": "virtio"})
    ET.SubElement(devices, "controller", {"type": "usb", "model": "none"})
    if spec.console is None:
        serial = ET.SubElement(devices, "serial", {"type": "null"})
    else:
        serial = ET.SubElement(devices, "serial", {"type": "file"})
        ET.SubElement(serial, "source", {"path": str(spec.console), "append": "off"})
    ET.SubElement(serial, "target", {"type": "isa-serial", "port": "0"})
    channel = ET.SubElement(devices, "channel", {"type": "unix"})
    ET.SubElement(channel, "source", {"mode": "bind", "path": str(spec.ssh_socket)})
    ET.SubElement(channel, "target", {"type": "virtio", "name": SSH_PORT})
    ET.SubElement(devices, "memballoon", {"model": "none"})
    return devices


def _qemu_arguments(spec: DomainSpec) -> list[str]:
    if spec.boot == "cold" or spec.ram is None:
        return []
    share = "on" if spec.boot == "template" else "off"
    memory = f"memory-backend-file,id=pyti.ram,size={spec.memory_mib}M,mem-path={_qemu_value(spec.ram)},share={share}"
    arguments = ["-object", memory, "-machine", "memory-backend=pyti.ram"]
    return [*arguments, "-incoming", "defer"] if spec.boot == "clone" else arguments


def _qemu_value(path: Path) -> str:
    return re.sub(",", ",,", str(path))


def _text(parent: ET.Element, tag: str, text: str, **attributes: str) -> None:
    ET.SubElement(parent, tag, attributes).text = text
