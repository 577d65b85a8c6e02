"""Finding and removing what machines leave, with real processes and libvirt's real answers."""

import subprocess

import pytest

from pyti.machines import Hypervisor
from pyti.machines.remains import find_processes, remains_of, remove_remains

pytestmark = pytest.mark.machine

NAME = "pyti-nobody-00000000"


@pytest.fixture
def process(tmp_path):
    """A process that looks like QEMU to whoever reads its command line; libvirt knows nothing of it."""
    program = tmp_path / "qemu-system-x86_64"
    program.symlink_to("/bin/sh")
    argv = [program, "-c", "read line", "-name", f"guest={NAME},debug-threads=on"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE) as started:
        yield started
        started.kill()


def test_a_process_is_found_by_its_whole_name_only(process):
    assert find_processes(NAME) == [process.pid]
    assert find_processes(NAME[:-1]) == []
    assert find_processes(NAME + "0") == []


async def test_everything_is_named_and_then_removed(tiny_settings, tiny_image, owner, process, tmp_path):
    folder = tmp_path / "machine"
    folder.mkdir()
    async with Hypervisor.open(tiny_settings, owner=owner) as hypervisor:
        connection = hypervisor._connection
        left = await remains_of(connection, NAME, folder)
        assert left == [f"the process {process.pid} of {NAME}", f"the folder {folder}"]
        await remove_remains(connection, NAME, folder)
        process.wait()
        assert await remains_of(connection, NAME, folder) == []
        await remove_remains(connection, NAME, folder)
