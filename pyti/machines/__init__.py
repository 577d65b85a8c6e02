"""Isolated virtual machines: an image, a memory template of it, clones of the template, and a pool of clones.

``ImageStore`` builds and checks images. ``Hypervisor.open`` connects to libvirt for one owner; its ``template`` boots a
guest once and keeps it on disk, its ``clone`` continues that guest in a fresh machine within half a second, and
``Machine.destroy`` ends it and proves that nothing is left. ``MachinePool`` leases fresh machines, some kept warm.
``Hypervisor.sweep`` removes what a crashed owner left. Machines have no network card: ``Machine.address`` tells how to
reach the guest's SSH server over a UNIX socket.
"""

from __future__ import annotations

from pyti.machines.hypervisor import Hypervisor
from pyti.machines.image import Image, ImageFile
from pyti.machines.image_store import ImageStore
from pyti.machines.machine import Destroyed, Machine
from pyti.machines.pool import Leased, MachinePool
from pyti.machines.probe import Accelerator
from pyti.machines.sweep import Swept
from pyti.machines.template import Template

__all__ = [
    "Accelerator",
    "Destroyed",
    "Hypervisor",
    "Image",
    "ImageFile",
    "ImageStore",
    "Leased",
    "Machine",
    "MachinePool",
    "Swept",
    "Template",
]
