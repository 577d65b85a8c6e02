"""Real templates of a tiny guest: made once, mended, held, and given up for a while when they cannot be made."""

import asyncio
import shutil
import subprocess
import sys
import time

import msgspec
import pytest

from pyti.errors import ImageDamaged, MachineError, TimeLimitExceeded
from pyti.machines import Hypervisor, ImageStore, remains, template_store
from pyti.machines.layout import Layout
from pyti.machines.locks import FileLock
from pyti.machines.template_store import TemplateStore

pytestmark = pytest.mark.machine

SIZE = {"cpus": 1, "memory_mib": 128}

MAKE = """
import asyncio, sys
from pathlib import Path
from pyti.config import MachinesSettings, Settings
from pyti.machines import Hypervisor, ImageStore

async def main(home, owner):
    machines = MachinesSettings(image="tiny", accel="tcg", min_free_bytes=1)
    async with Hypervisor.open(Settings(home=home, machines=machines), owner=owner) as hypervisor:
        template = await hypervisor.template(ImageStore(home).get("tiny"), cpus=1, memory_mib=128)
        print(template.cold_reason or template.ram.stat().st_ino, flush=True)

asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""


def impatient(settings, seconds):
    return msgspec.structs.replace(
        settings, machines=msgspec.structs.replace(settings.machines, boot_timeout_s=seconds)
    )


async def test_two_processes_that_want_the_same_template_make_it_once_and_a_damaged_one_is_made_anew(
    tiny_settings, tiny_image, owner
):
    home = tiny_settings.home
    argv = [sys.executable, "-c", MAKE, home]
    with (
        subprocess.Popen([*argv, f"{owner}a"], stdout=subprocess.PIPE, text=True) as one,  # noqa: ASYNC220
        subprocess.Popen([*argv, f"{owner}b"], stdout=subprocess.PIPE, text=True) as two,  # noqa: ASYNC220
    ):
        try:
            lines = await asyncio.gather(*(asyncio.to_thread(p.communicate, timeout=100) for p in (one, two)))
        finally:
            one.kill()
            two.kill()
    assert lines[0] == lines[1]
    inode = int(lines[0][0])
    folders = list((home / "templates").iterdir())
    assert [folder.stat().st_mode & 0o777 for folder in folders] == [0o711]
    assert (folders[0] / "ram").stat().st_ino == inode
    (folders[0] / "state").write_bytes(b"damaged")
    async with Hypervisor.open(tiny_settings, owner=owner) as hypervisor:
        mended = await hypervisor.template(tiny_image, **SIZE)
        assert mended.state != b"damaged"
        async with await hypervisor.clone(mended) as machine:
            assert remains.find_processes(machine.name)
        assert await hypervisor.template(tiny_image, **SIZE) is mended
        shutil.rmtree(mended.folder)
        again = await hypervisor.template(tiny_image, **SIZE)
        assert again is not mended
        assert again.ram.exists()


async def test_a_guest_that_does_not_boot_in_time_leaves_machines_that_boot_and_the_reason(
    tiny_settings, tiny_image, owner
):
    async with Hypervisor.open(impatient(tiny_settings, 0.3), owner=owner) as hypervisor:
        template = await hypervisor.template(tiny_image, **SIZE)
        assert template.cold_boot
        assert "not ready after" in template.cold_reason
        assert list((tiny_settings.home / "templates").iterdir()) == []
        assert await hypervisor.template(tiny_image, **SIZE) is template
        with pytest.raises(TimeLimitExceeded, match="not ready") as caught:
            await hypervisor.clone(template)
        assert "boot_timeout_s" in caught.value.remedy
        assert hypervisor.machines == ()
    assert list((tiny_settings.home / "machines").iterdir()) == []


async def test_after_a_while_another_attempt_is_made(tiny_settings, tiny_image, owner):
    now = time.monotonic()
    async with Hypervisor.open(tiny_settings, owner=owner) as hypervisor:
        store = TemplateStore(
            hypervisor._connection,
            Layout(tiny_settings.home),
            owner,
            impatient(tiny_settings, 0.1).machines,
            identity=hypervisor._identity,
            qemu=hypervisor.qemu_version,
            clock=lambda: now,
        )
        first = await store.get(tiny_image, accel="tcg", **SIZE)
        assert await store.get(tiny_image, accel="tcg", **SIZE) is first
        now += template_store.RETRY_AFTER_S
        store._settings = tiny_settings.machines
        second = await store.get(tiny_image, accel="tcg", **SIZE)
        assert first.cold_boot
        assert not second.cold_boot
        store.close()


async def test_an_image_in_use_outlives_its_replacement_even_where_machines_boot(tiny_settings, tiny_image, owner):
    machines = msgspec.structs.replace(tiny_settings.machines, cold_boot=True)
    settings = msgspec.structs.replace(tiny_settings, machines=machines)
    newer = msgspec.structs.replace(tiny_image, folder=tiny_image.folder.with_name("tiny-2"))
    store = ImageStore(settings.home)
    async with Hypervisor.open(settings, owner=owner) as hypervisor:
        assert (await hypervisor.template(tiny_image, **SIZE)).cold_reason == "asked for by settings"
        store._remove_unused("tiny", newer, settings.home / "cache")
        assert tiny_image.disk.exists()
    store._remove_unused("tiny", newer, settings.home / "cache")
    assert not tiny_image.folder.exists()
    assert list((settings.home / "locks").glob("use-*")) == []


async def test_an_image_that_is_just_being_removed_is_not_used(tiny_settings, tiny_image, owner):
    remover = FileLock(Layout(tiny_settings.home).use_lock(tiny_image.folder.name))
    assert remover.acquire()
    async with Hypervisor.open(tiny_settings, owner=owner) as hypervisor:
        with pytest.raises(MachineError, match="replaced"):
            await hypervisor.template(tiny_image, **SIZE)
        remover.release(remove=True)
        shutil.rmtree(tiny_image.folder)
        with pytest.raises(MachineError, match="replaced"):
            await hypervisor.template(tiny_image, **SIZE)


async def test_an_image_of_other_guest_code_is_refused_with_the_remedy(tiny_settings, tiny_image, owner):
    async with Hypervisor.open(tiny_settings, owner=owner) as hypervisor:
        with pytest.raises(ImageDamaged) as caught:
            await hypervisor.template(msgspec.structs.replace(tiny_image, guest_digest="other"), **SIZE)
        assert "pyti image build" in caught.value.remedy
