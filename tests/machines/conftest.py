"""A tiny guest: the image's real kernel with a program of a hundred bytes, so that templates are cheap to make."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

import pytest

from pyti.config import MachinesSettings, Settings
from pyti.machines.image import FORMAT, ImageFile, Manifest, current_guest_digest, current_recipe_digest, hash_file
from pyti.machines.image import write_manifest as write_image_manifest
from pyti.machines.image_store import ImageStore
from pyti.machines.layout import Layout

SAYS = b"PYTI-AGENT-READY\n"


def program(says=SAYS):
    """An ELF file for x86-64: ``write(1, says)``, then ``pause()`` for ever."""
    code = b"\xb8\x01\x00\x00\x00\xbf\x01\x00\x00\x00"  # mov eax, 1 (write); mov edi, 1
    rest = (
        b"\x0f\x05" + b"\xb8\x22\x00\x00\x00\x0f\x05\xeb\xf7"
    )  # syscall; again: mov eax, 34 (pause); syscall; jmp again
    code += b"\x48\x8d\x35" + struct.pack("<i", 5 + len(rest))  # lea rsi, [rip + ...]
    code += b"\xba" + struct.pack("<I", len(says)) + rest + says  # mov edx, length
    base, start = 0x400000, 64 + 56
    size = start + len(code)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 62, 1, base + start, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    return header + struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x1000) + code


def initial_ram_disk(init):
    """A cpio archive ("newc") that holds ``/init`` alone."""

    def member(name, mode, content):
        text = name.encode() + b"\0"
        fields = (1, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(text), 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + text
        return head + b"\0" * (-len(head) % 4) + content + b"\0" * (-len(content) % 4)

    return member("init", 0o100755, init) + member("TRAILER!!!", 0, b"")


def _write_image(home, kernel, name="tiny", says=SAYS):
    """Write a whole image with a right manifest below ``home`` and return it."""
    Layout(home).prepare()
    folder = home / "images" / f"{name}-1"
    folder.mkdir(mode=0o711)
    shutil.copyfile(kernel, folder / "vmlinuz")
    (folder / "initrd").write_bytes(initial_ram_disk(program(says)))
    (folder / "client_key").write_bytes(b"")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", folder / "disk.qcow2", "1M"], check=True, timeout=60)
    for path in folder.iterdir():
        path.chmod(0o644)
    manifest = Manifest(
        format=FORMAT,
        name=name,
        arch="x86_64",
        created=1.0,
        kernel_release="6.1",
        host_key="ssh-ed25519 AAAA",
        guest_digest=current_guest_digest(),
        recipe_digest=current_recipe_digest(name),
        target={},
        tools={},
        packages={},
        files={p.name: ImageFile(size=p.stat().st_size, sha256=hash_file(p)) for p in sorted(folder.iterdir())},
    )
    write_image_manifest(folder, manifest)
    (home / "images" / name).symlink_to(folder.name)
    return ImageStore(home).get(name)


@pytest.fixture
def short_home():
    """A home with a short path that QEMU's user may walk through; removed afterwards."""
    home = Path(tempfile.mkdtemp(prefix="pyti-", dir="/var/tmp"))
    home.chmod(0o711)
    yield home
    shutil.rmtree(home)


@pytest.fixture
def tmpfs(short_home):
    """Mount a real tmpfs at a short path; the fixture is a function of its size in MiB."""
    mounted = []

    def mount(mib):
        folder = short_home / "t"
        folder.mkdir()
        options = f"size={mib}m,mode=0711"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True, timeout=20)
        mounted.append(folder)
        return folder

    assert os.geteuid() == 0, "mounting needs root, as building an image does"
    yield mount
    for folder in mounted:
        subprocess.run(["umount", folder], check=True, timeout=20)


@pytest.fixture
def write_image():
    """The function that writes the tiny image into a home."""
    return _write_image


@pytest.fixture
def tiny_image(short_home, image):
    """The tiny image in a home of its own, booted with the real image's kernel."""
    return _write_image(short_home, image.kernel)


@pytest.fixture
def tiny_settings(short_home):
    """Settings for the tiny image; emulation always, because it is the same everywhere."""
    return Settings(home=short_home, machines=MachinesSettings(image="tiny", accel="tcg", min_free_bytes=1))
