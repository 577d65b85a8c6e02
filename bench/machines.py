"""How fast machines are, cold boot and clone side by side in one run: ``python -m bench.machines --json [--runs N]``.

Keys of the JSON, all medians: ``clone_s`` and ``cold_boot_s`` from the request until the first command has answered
over SSH, neither waiting for the agent; ``ratio`` is their quotient; ``cold_boot_ready_s`` from the request until the
agent of a machine that boots is ready for a job, as the agent of a clone is from the start; ``clone_create_s`` the part
of a clone before SSH; ``destroy_s`` the proven end; ``eight_clones_s`` the time until eight clones begun at once have
each answered; ``private_mib`` the memory that one more clone costs (private pages of its QEMU after the first command).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import statistics
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import asyncssh
import libvirt

from pyti.config import Settings, default_home
from pyti.machines import Hypervisor, ImageStore, Machine, Template
from pyti.machines.remains import find_processes
from pyti.machines.start import READY
from pyti.rawdata import GuestSession

CPUS, MEMORY_MIB = 1, 1024
EIGHT = 8
POLL_S = 0.05


async def first_command(machine: Machine) -> None:
    """Connect as the slave does, and run ``true`` in the guest."""
    async with await GuestSession.connect(machine.address, timeout_s=120) as session:
        completed = await session.run(["true"])
        assert completed.exit_status == 0


def private_mib(machine: Machine) -> float:
    """Private memory of the machine's QEMU, in MiB."""
    total = 0
    for process in find_processes(machine.name):
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
        total += sum(int(kib) for kib in re.findall(r"^Private_(?:Clean|Dirty):\s+(\d+) kB", text, re.MULTILINE))
    return total / 1024


@dataclass(frozen=True, kw_only=True)
class Timed:
    """One machine's life in seconds: to its start, to its first command, to its agent (a boot only), and of its end."""

    created: float
    answered: float
    ready: float
    destroyed: float


async def timed(hypervisor: Hypervisor, template: Template) -> Timed:
    """Start one machine as ``template`` says, run its first command, wait for its agent, end it."""
    begun = time.perf_counter()
    async with await hypervisor.clone(template, job="bench-machines", wait=False) as machine:
        created = time.perf_counter() - begun
        await first_command(machine)
        answered = time.perf_counter() - begun
        if machine.cold_boot:
            while READY not in (machine.folder / "console.log").read_bytes():  # noqa: ASYNC110 (QEMU sets no event)
                await asyncio.sleep(POLL_S)
        ready = time.perf_counter() - begun
        destroyed = await machine.destroy()
    return Timed(created=created, answered=answered, ready=ready, destroyed=destroyed.seconds)


async def eight(hypervisor: Hypervisor, template: Template) -> tuple[float, float]:
    """Eight machines at once: seconds until all answered, and the median private memory of one."""

    async def one() -> Machine:
        machine = await hypervisor.clone(template, job="bench-machines")
        await first_command(machine)
        return machine

    begun = time.perf_counter()
    machines = await asyncio.gather(*(one() for _ in range(EIGHT)))
    seconds = time.perf_counter() - begun
    memory = statistics.median(private_mib(machine) for machine in machines)
    await asyncio.gather(*(machine.destroy() for machine in machines))
    return seconds, memory


async def measure(home: Path, runs: int) -> dict[str, Any]:
    """Run everything once (cold boots and clones ``runs`` times, taking turns) and return the figures."""
    image = ImageStore(home).get("bookworm")
    async with Hypervisor.open(Settings(home=home), owner="bench") as hypervisor:
        await hypervisor.sweep()
        template = await hypervisor.template(image, cpus=CPUS, memory_mib=MEMORY_MIB)
        if template.cold_boot:
            raise SystemExit(f"no clones here: {template.cold_reason}")
        cold = replace(template, folder=None, state=None, record=None)
        boots: list[Timed] = []
        clones: list[Timed] = []
        for _ in range(runs):
            boots.append(await timed(hypervisor, cold))
            clones += [await timed(hypervisor, template) for _ in range(3)]
        eight_s, memory = await eight(hypervisor, template)
        cold_s = statistics.median(boot.answered for boot in boots)
        clone_s = statistics.median(clone.answered for clone in clones)
        return {
            "cold_boot_s": round(cold_s, 2),
            "clone_s": round(clone_s, 2),
            "ratio": round(cold_s / clone_s, 1),
            "cold_boot_ready_s": round(statistics.median(boot.ready for boot in boots), 2),
            "clone_create_s": round(statistics.median(clone.created for clone in clones), 2),
            "destroy_s": round(statistics.median(clone.destroyed for clone in clones), 2),
            "eight_clones_s": round(eight_s, 2),
            "private_mib": round(memory, 1),
            "runs": {
                "cold_boot_s": [round(boot.answered, 2) for boot in boots],
                "cold_boot_ready_s": [round(boot.ready, 2) for boot in boots],
                "clone_s": [round(clone.answered, 2) for clone in clones],
            },
            "versions": {
                "qemu": hypervisor.qemu_version,
                "libvirt": libvirt.getVersion(),
                "python": platform.python_version(),
                "asyncssh": asyncssh.__version__,
                "guest_kernel": image.kernel_release,
            },
            "machine": {
                "accel": template.accel,
                "cpus": CPUS,
                "memory_mib": MEMORY_MIB,
                "host_cpus": len(os.sched_getaffinity(0)),
                "host_kernel": platform.release(),
            },
        }


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.machines", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    parser.add_argument("--runs", type=int, default=3, help="cold boots; three clones are timed for each")
    parser.add_argument("--home", type=Path, default=default_home())
    arguments = parser.parse_args()
    figures = asyncio.run(measure(arguments.home, arguments.runs))
    if arguments.json:
        print(json.dumps(figures, indent=1))
    else:
        for name, value in figures.items():
            print(f"{name:16} {value}")


if __name__ == "__main__":
    main()
