"""Images are sealed for real, from a base of a few kilobytes."""

import json
import struct
import subprocess
from pathlib import PurePosixPath

import pytest

from pyti.errors import MachineError, OutOfSpace
from pyti.machines import seal as seal_module
from pyti.machines.base import Base
from pyti.machines.guest_code import guest_files
from pyti.machines.image import check_hashes, current_recipe_digest, load_manifest
from pyti.machines.image_store import ImageStore
from pyti.machines.layout import Layout
from pyti.machines.seal import debugfs_script, kernel_version, seal

VERSION = b"6.1.0-1-cloud-amd64 (somebody@host) #1 SMP Debian 6.1"


def bzimage(version=VERSION):
    head = bytearray(0x400)
    head[0x202:0x206] = b"HdrS"
    head[0x20E:0x210] = struct.pack("<H", 0x200)
    return bytes(head) + version + b"\0"


def make_base(folder):
    root = folder / "root"
    for name in ("usr/lib/pyti/pyti/guest", "etc/ssh", "root/.ssh"):
        (root / name).mkdir(parents=True)
    argv = ["mke2fs", "-q", "-t", "ext4", "-O", "^orphan_file", "-d", root, folder / "rootfs.raw", "8M"]
    subprocess.run(argv, check=True, timeout=60)
    (folder / "vmlinuz").write_bytes(bzimage())
    (folder / "initrd").write_bytes(b"initrd")
    (folder / "target.json").write_text(json.dumps({"markers": {}, "python_full_version": "3.11.2", "tags": []}))
    (folder / "tools.json").write_text(json.dumps([{"name": "PyTest", "version": "9"}]))
    (folder / "packages.list").write_text("strace 6.1\nudev 252\n")
    (folder / "complete").touch()
    return Base(folder=folder)


async def in_disk(disk, raw, command):
    subprocess.run(["qemu-img", "convert", "-O", "raw", disk, raw], check=True, timeout=60)  # noqa: ASYNC221
    return subprocess.run(["debugfs", "-R", command, raw], check=True, timeout=60, capture_output=True).stdout  # noqa: ASYNC221


async def test_a_sealed_image_holds_the_guest_code_and_only_the_public_half_of_the_clients_key(tmp_path):
    (tmp_path / "base").mkdir()
    lines = []
    await seal("bookworm", make_base(tmp_path / "base"), tmp_path / "i", created=5.0, progress=lines.append)
    image = load_manifest(tmp_path / "i")
    check_hashes(image)
    assert lines == ["adding the guest agent and the keys", "packing the disk"]
    assert not image.stale
    assert image.kernel_release == image.target["markers"]["platform_release"] == "6.1.0-1-cloud-amd64"
    assert image.target["markers"]["platform_version"] == "#1 SMP Debian 6.1"
    assert (image.tools["pytest"], image.tools["strace"], image.created) == ("9", "6.1", 5.0)
    assert image.client_key.stat().st_mode & 0o077 == 0
    assert not (tmp_path / "i" / "host_key").exists()
    agent = await in_disk(image.disk, tmp_path / "raw", "cat /usr/lib/pyti/pyti/guest/agent.py")
    assert agent == guest_files()[PurePosixPath("agent.py")].read_bytes()
    authorized = await in_disk(image.disk, tmp_path / "raw", "cat /root/.ssh/authorized_keys")
    assert authorized == (tmp_path / "i" / "client_key.pub").read_bytes()
    assert b"Mode:  0600" in await in_disk(image.disk, tmp_path / "raw", "stat /etc/ssh/ssh_host_ed25519_key")


async def test_a_build_on_a_disk_that_fills_up_is_out_of_space_and_leaves_no_image(tmpfs, monkeypatch):
    monkeypatch.setattr(seal_module, "NEEDED_BYTES", 0)
    layout = Layout(tmpfs(1))
    layout.prepare()
    base = layout.cache / f"base-bookworm-{current_recipe_digest('bookworm')[:12]}"
    base.mkdir()
    make_base(base)
    with pytest.raises(OutOfSpace):
        await ImageStore(layout.home).build("bookworm")
    assert list(layout.images.iterdir()) == []


async def test_a_base_without_its_folders_is_an_error_and_not_a_broken_image(tmp_path):
    base = make_base(tmp_path)
    argv = ["debugfs", "-w", "-R", "rmdir /root/.ssh", base.rootfs]
    subprocess.run(argv, check=True, timeout=60)  # noqa: ASYNC221
    with pytest.raises(MachineError, match="debugfs could not write"):
        await seal("bookworm", base, tmp_path / "i", created=5.0, progress=lambda _line: None)


def test_folders_come_before_what_lies_in_them(tmp_path):
    lines = debugfs_script({PurePosixPath("a/b/c.py"): tmp_path / "c.py"}, tmp_path).splitlines()
    assert lines[:2] == ["mkdir /usr/lib/pyti/pyti/guest/a", "mkdir /usr/lib/pyti/pyti/guest/a/b"]
    assert lines[2] == f'write "{tmp_path}/c.py" /usr/lib/pyti/pyti/guest/a/b/c.py'


def test_the_kernels_version_is_read_from_its_header():
    assert kernel_version(bzimage()) == VERSION.decode()


@pytest.mark.parametrize("kernel", [b"", b"\x7fELF" + b"\0" * 2000, bzimage()[:0x300], bzimage()[:-1]])
def test_what_is_no_kernel_is_said_to_be_none(kernel):
    with pytest.raises(MachineError, match="not a bzImage"):
        kernel_version(kernel)
