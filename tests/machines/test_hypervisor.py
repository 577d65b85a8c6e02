"""Real libvirt: owners, sweeps, templates shared between processes."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from pyti.config import MachinesSettings, Settings
from pyti.errors import HypervisorUnavailable, OutOfSpace
from pyti.machines import Hypervisor, remains
from pyti.rawdata import GuestSession

pytestmark = pytest.mark.machine

OWN = """
import asyncio, sys
from pathlib import Path
from pyti.config import Settings
from pyti.machines import Hypervisor, ImageStore

async def main(home, owner):
    async with Hypervisor.open(Settings(home=home), owner=owner) as hypervisor:
        image = ImageStore(home).get("bookworm")
        template = await hypervisor.template(image, cpus=1, memory_mib=1024)
        machine = await hypervisor.clone(template, job="job-of-the-dead")
        print(machine.name, machine.folder, flush=True)
        await asyncio.sleep(300)

asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""


async def test_no_libvirt_is_an_error_that_names_the_command(tmp_path):
    settings = Settings(home=tmp_path, machines=MachinesSettings(uri="qemu+unix:///system?socket=/nonexistent/socket"))
    with pytest.raises(HypervisorUnavailable) as caught:
        async with Hypervisor.open(settings, owner="o"):
            raise AssertionError
    assert "libvirtd -d; virtlogd -d" in caught.value.remedy


async def test_a_home_too_deep_for_sockets_is_refused_at_once(tmp_path):
    with pytest.raises(HypervisorUnavailable, match="too long"):
        async with Hypervisor.open(Settings(home=tmp_path / ("x" * 100)), owner="o"):
            raise AssertionError


async def test_one_owners_name_belongs_to_one_living_process(machine_settings, hypervisor, owner):
    with pytest.raises(HypervisorUnavailable, match=owner):
        async with Hypervisor.open(machine_settings, owner=owner):
            raise AssertionError


async def test_the_probe_says_why(hypervisor):
    found = await hypervisor.probe()
    assert found.accel in {"kvm", "tcg"}
    assert found.reason
    assert await hypervisor.probe() is found


async def test_a_sweep_takes_what_a_killed_owner_left_and_nothing_of_the_living(
    machine_settings, hypervisor, template, owner
):
    dead = f"{owner[:8]}-dead"
    argv = [sys.executable, "-c", OWN, machine_settings.home, dead]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:  # noqa: ASYNC220 (starting is quick)
        try:
            line = await asyncio.to_thread(process.stdout.readline)
            name, folder = line.split()
            async with await hypervisor.clone(template) as mine:
                assert (await hypervisor.sweep()).owners == []
                assert remains.find_processes(name)
                process.send_signal(signal.SIGKILL)
                process.wait()
                swept = await hypervisor.sweep()
                assert swept.owners == [dead]
                assert swept.folders == [Path(folder)]
                assert swept.failed == []
                assert not Path(folder).exists()
                assert not remains.find_processes(name)
                assert remains.find_processes(mine.name)
        finally:
            process.kill()
    assert not (machine_settings.home / "owners" / f"{dead}.lock").exists()


async def test_a_restarted_owner_sweeps_what_its_predecessor_left(machine_settings, hypervisor, owner):
    left = machine_settings.home / "machines" / owner / "deadbeef"
    left.mkdir(parents=True)
    (left / "disk.qcow2").write_bytes(b"")
    assert (await hypervisor.sweep()).folders == [left]
    assert not left.exists()


async def test_leaving_the_hypervisor_destroys_what_was_forgotten(machine_settings, image, owner):
    async with Hypervisor.open(machine_settings, owner=owner) as hypervisor:
        machine = await hypervisor.clone(await hypervisor.template(image, cpus=1, memory_mib=1024))
    assert not machine.folder.exists()
    assert not remains.find_processes(machine.name)


async def test_too_little_space_is_told_before_anything_is_made(machine_settings, image, owner):
    machines = msgspec.structs.replace(machine_settings.machines, min_free_bytes=2**60)
    settings = msgspec.structs.replace(machine_settings, machines=machines)
    async with Hypervisor.open(settings, owner=owner) as hypervisor:
        template = await hypervisor.template(image, cpus=1, memory_mib=1024)
        with pytest.raises(OutOfSpace) as caught:
            await hypervisor.clone(template)
        assert "Free some space" in caught.value.remedy
        assert hypervisor.machines == ()


async def test_a_disk_that_becomes_full_is_told_apart_and_the_machine_leaves_nothing(tmpfs, write_image, image, owner):
    home = tmpfs(24)
    tiny = write_image(home, image.kernel)
    machines = MachinesSettings(image="tiny", accel="tcg", min_free_bytes=1, cold_boot=True)
    async with Hypervisor.open(Settings(home=home, machines=machines), owner=owner) as hypervisor:
        template = await hypervisor.template(tiny, cpus=1, memory_mib=128)
        filler = home / "filler"
        with filler.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
            while stream.write(b"\0" * 4096):
                pass
        os.truncate(filler, filler.stat().st_size - 8192)
        with pytest.raises(OutOfSpace, match="full"):
            await hypervisor.clone(template)
        assert hypervisor.machines == ()
        assert (await hypervisor.sweep()).folders == []
        filler.unlink()


async def test_a_template_that_does_not_fit_is_refused_before_it_is_begun(tmpfs, write_image, image, owner):
    home = tmpfs(64)
    machines = MachinesSettings(image="tiny", accel="tcg", min_free_bytes=1)
    async with Hypervisor.open(Settings(home=home, machines=machines), owner=owner) as hypervisor:
        with pytest.raises(OutOfSpace, match="a memory template needs 640 MiB"):
            await hypervisor.template(write_image(home, image.kernel), cpus=1, memory_mib=128)
    assert list((home / "templates").iterdir()) == []


async def test_a_machine_that_boots_answers_over_ssh_as_a_clone_does(machine_settings, image, owner):
    machines = msgspec.structs.replace(machine_settings.machines, cold_boot=True)
    settings = msgspec.structs.replace(machine_settings, machines=machines)
    async with Hypervisor.open(settings, owner=owner) as hypervisor:
        template = await hypervisor.template(image, cpus=1, memory_mib=1024)
        async with (
            await hypervisor.clone(template, wait=False) as machine,
            await GuestSession.connect(machine.address, timeout_s=300) as guest,
        ):
            assert machine.cold_boot
            assert (await guest.run(["uname", "-r"])).stdout.decode().strip() == image.kernel_release
    assert not machine.folder.exists()
    assert not remains.find_processes(machine.name)
