"""Real machines: what a clone is, and that its end leaves nothing."""

import asyncio
import os
import signal
import socket
from contextlib import asynccontextmanager

import asyncssh
import pytest

from pyti.errors import LeftBehind
from pyti.machines import remains

pytestmark = pytest.mark.machine


@asynccontextmanager
async def ssh(address):
    """An SSH connection to a guest, with both keys pinned."""
    stream = socket.socket(socket.AF_UNIX)
    stream.setblocking(False)
    stream.connect(str(address.socket))
    known = ([asyncssh.import_public_key(address.host_key)], [], [])
    connection = await asyncssh.connect(
        sock=stream,
        host="guest",
        username=address.user,
        client_keys=[str(address.client_key)],
        known_hosts=known,
        config=None,
        agent_path=None,
        login_timeout=60,
    )
    async with connection:
        yield connection


async def output(connection, command):
    return (await connection.run(command, check=True, timeout=60)).stdout.strip()


def processes_of(machine):
    return remains.find_processes(machine.name)


async def test_a_clone_answers_over_ssh_and_is_what_it_should_be(hypervisor, template):
    assert not template.cold_boot, template.cold_reason
    async with await hypervisor.clone(template, label="t", job="job-1") as machine, ssh(machine.address) as guest:
        assert await output(guest, "systemctl is-active pyti-agent") == "active"
        assert await output(guest, "ls /sys/class/net") == "lo"
        assert "127.0.0.1" in await output(guest, "ip -br -4 addr")
        assert await output(guest, "id -u tester") == "1000"
        assert (
            await output(guest, "stat -c %U /home/tester/venv/bin/python3 -L; stat -c %U /home/tester/venv")
            == "root\ntester"
        )
        assert "memory" in await output(guest, "cat /sys/fs/cgroup/cgroup.controllers")
        secret = template.image.client_key.read_text().splitlines()[2]
        assert await output(guest, f"grep -rlF {secret} /root /etc /home /var/lib/pyti || true") == ""
        assert "/opt/pyti/tools" in await output(
            guest, "/opt/pyti/tools/bin/python -c 'import pytest;print(pytest.__file__)'"
        )
        assert (await output(guest, "/opt/pyti/tools/bin/uv --version")).startswith("uv ")
    assert machine.accel == template.accel
    assert not machine.cold_boot


async def test_the_target_in_the_manifest_is_the_guests_interpreter(hypervisor, template, image):
    async with await hypervisor.clone(template) as machine, ssh(machine.address) as guest:
        assert await output(guest, "uname -r") == image.target["markers"]["platform_release"] == image.kernel_release
        assert await output(guest, "uname -v") == image.target["markers"]["platform_version"]
        version = await output(guest, "python3 -c 'import platform;print(platform.python_version())'")
        assert version == image.target["python_full_version"]
    assert "cp311-cp311-manylinux_2_36_x86_64" in image.target["tags"]
    assert image.target["tags"][-1] == "py30-none-any"


async def test_nothing_passes_from_one_machine_to_the_next(hypervisor, template):
    async with await hypervisor.clone(template) as first, ssh(first.address) as guest:
        await output(guest, "echo secret >/root/left && sync && echo secret >/run/left")
    async with await hypervisor.clone(template) as second, ssh(second.address) as guest:
        assert await output(guest, "ls /root/left /run/left 2>/dev/null | wc -l") == "0"


async def test_destroy_proves_that_nothing_is_left_and_can_be_called_again(hypervisor, template):
    machine = await hypervisor.clone(template)
    assert processes_of(machine)
    assert machine.folder.is_dir()
    first, second = await asyncio.gather(machine.destroy(), machine.destroy())
    assert first is second
    assert await machine.destroy() is first
    assert not processes_of(machine)
    assert not machine.folder.exists()
    assert hypervisor.machines == ()


async def test_what_cannot_be_removed_is_named(hypervisor, template, monkeypatch):
    machine = await hypervisor.clone(template)
    monkeypatch.setattr(remains, "remove_tree", lambda _folder: None)
    with pytest.raises(LeftBehind, match=machine.id):
        await machine.destroy()
    monkeypatch.undo()
    await machine.destroy()
    assert not machine.folder.exists()


async def test_a_machine_that_dies_by_itself_is_lost_and_says_so(hypervisor, template):
    async with await hypervisor.clone(template) as machine:
        for process in processes_of(machine):
            os.kill(process, signal.SIGKILL)
        async with asyncio.timeout(30):
            assert "stopped" in await machine.lost


async def test_a_clone_that_is_cancelled_half_way_leaves_nothing(hypervisor, template):
    for pause in (0.0, 0.02, 0.1, 0.2, 0.3):
        task = asyncio.create_task(hypervisor.clone(template))
        await asyncio.sleep(pause)
        task.cancel()
        try:
            machine = await task
        except asyncio.CancelledError:
            continue
        await machine.destroy()
    assert hypervisor.machines == ()
    swept = await hypervisor.sweep()
    assert swept.domains == []
    assert swept.folders == []


async def test_a_cancelled_destroy_destroys_all_the_same(hypervisor, template):
    machine = await hypervisor.clone(template)
    task = asyncio.create_task(machine.destroy())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await machine.destroy()
    assert not machine.folder.exists()
