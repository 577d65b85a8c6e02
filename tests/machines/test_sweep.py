"""Sweeps of real folders and locks; test_hypervisor.py kills a real owner."""

import pytest

from pyti.machines import Hypervisor
from pyti.machines.layout import Layout
from pyti.machines.locks import FileLock
from pyti.machines.sweep import _owners_on_disk, _running_names

pytestmark = pytest.mark.machine


async def test_the_dead_are_swept_and_the_living_are_not(tiny_settings, tiny_image, owner):
    layout = Layout(tiny_settings.home)
    for name in ("dead", "living"):
        layout.machine(name, "00000001").mkdir(parents=True)
    living = FileLock(layout.owners / "living.lock")
    assert living.acquire()
    async with Hypervisor.open(tiny_settings, owner=owner) as hypervisor:
        swept = await hypervisor.sweep()
        assert (swept.owners, swept.folders) == (["dead"], [layout.machine("dead", "00000001")])
        assert layout.machine("living", "00000001").is_dir()
        assert (await hypervisor.sweep()).owners == []
    living.release()


async def test_a_half_made_template_is_swept_when_its_maker_is_gone(tiny_settings, tiny_image, owner):
    layout = Layout(tiny_settings.home)
    (layout.templates / ".k").mkdir()
    maker = FileLock(layout.lock("template-k"))
    assert maker.acquire()
    async with Hypervisor.open(tiny_settings, owner=owner) as hypervisor:
        assert (await hypervisor.sweep()).folders == []
        maker.release()
        assert (await hypervisor.sweep()).folders == [layout.templates / ".k"]
    assert not (layout.templates / ".k").exists()


async def test_what_cannot_be_removed_is_named_with_the_reason(tiny_settings, tiny_image, owner):
    layout = Layout(tiny_settings.home)
    (layout.machines / "dead").mkdir()
    layout.machine("dead", "00000001").write_bytes(b"not a folder")
    async with Hypervisor.open(tiny_settings, owner=owner) as hypervisor:
        swept = await hypervisor.sweep()
    assert swept.folders == []
    assert "pyti-dead-00000001" in swept.failed[0]


def test_owners_are_found_by_their_locks_and_by_their_folders(tmp_path):
    layout = Layout(tmp_path)
    layout.prepare()
    (layout.owners / "a.lock").touch()
    (layout.machines / "b").mkdir()
    (layout.machines / "file").touch()
    assert _owners_on_disk(layout) == {"a", "b"}


def test_no_process_belongs_to_an_owner_without_machines(tmp_path):
    assert _running_names("nobody", tmp_path) == set()
