"""QEMU's monitor, with a real QEMU whose tiny guest boots or has not begun to."""

from contextlib import asynccontextmanager

import msgspec
import pytest

from pyti.errors import MachineError, TimeLimitExceeded
from pyti.machines import Hypervisor, monitor
from pyti.machines.monitor import Monitor

pytestmark = pytest.mark.machine


@asynccontextmanager
async def running(settings, image, owner):
    """A machine that boots, and its monitor."""
    machines = msgspec.structs.replace(settings.machines, cold_boot=True)
    async with Hypervisor.open(msgspec.structs.replace(settings, machines=machines), owner=owner) as hypervisor:
        template = await hypervisor.template(image, cpus=1, memory_mib=128)
        async with await hypervisor.clone(template, wait=False) as machine:
            connection = hypervisor._connection
            yield machine, Monitor(connection, await connection.call(connection.raw.lookupByName, machine.name))


async def test_what_qemu_says_no_to_is_an_error_with_its_words(tiny_settings, tiny_image, owner):
    async with running(tiny_settings, tiny_image, owner) as (machine, qemu):
        assert (await qemu.execute("query-status"))["status"] == "running"
        with pytest.raises(MachineError, match=r"QEMU refused no-such-command: .*has not been found"):
            await qemu.execute("no-such-command")
        with pytest.raises(MachineError, match="migrate-incoming"):
            await qemu.load_state(machine.folder / "state", b"", limit_s=20)


async def test_a_state_that_holds_ram_is_refused(tiny_settings, tiny_image, owner, monkeypatch):
    monkeypatch.setattr(monitor, "MAX_STATE_BYTES", 100_000)
    async with running(tiny_settings, tiny_image, owner) as (machine, qemu):
        with pytest.raises(MachineError, match="far larger"):
            await qemu.save_state(machine.folder / "state", limit_s=60)
        assert not (machine.folder / "state").exists()


async def test_saving_that_takes_too_long_ends(tiny_settings, tiny_image, owner):
    async with running(tiny_settings, tiny_image, owner) as (machine, qemu):
        with pytest.raises(TimeLimitExceeded, match="device state"):
            await qemu.save_state(machine.folder / "state", limit_s=0.001)
        assert not (machine.folder / "state").exists()
