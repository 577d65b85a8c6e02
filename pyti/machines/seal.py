"""The last, quick part of an image: keys and guest code go into a copy of the base, with no mounting."""

from __future__ import annotations

import asyncio
import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from pyti.errors import MachineError
from pyti.machines.base import Base
from pyti.machines.commands import run
from pyti.machines.guest_code import guest_files
from pyti.machines.image import (
    FORMAT,
    ImageFile,
    Manifest,
    current_guest_digest,
    current_recipe_digest,
    hash_file,
    write_manifest,
)
from pyti.machines.space import require_space, space_errors

__all__ = ["debugfs_script", "kernel_version", "seal"]

GUEST_HOME = PurePosixPath("/usr/lib/pyti/pyti/guest")

NEEDED_BYTES = 2 * 2**30
"""A copy of the root filesystem and the compact disk made of it, 0.75 GB each."""


async def seal(name: str, base: Base, folder: Path, *, created: float, progress: Callable[[str], None]) -> None:
    """Make the image's files in ``folder``, the manifest last."""
    require_space(folder.parent, NEEDED_BYTES, purpose="building an image")
    folder.mkdir(mode=0o711)
    raw = folder / "disk.raw"
    with space_errors("building an image"):
        progress("adding the guest agent and the keys")
        guest_digest = await asyncio.to_thread(current_guest_digest)
        await run(["cp", "--sparse=always", base.rootfs, raw], limit_s=300)
        for key in ("client_key", "host_key"):
            await run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "pyti", "-f", folder / key], limit_s=20)
        script = debugfs_script(guest_files(), folder)
        output = await run(["debugfs", "-w", "-f", "-", raw], stdin=script.encode(), limit_s=120)
        _check_debugfs(output)
        await run(["e2fsck", "-f", "-n", raw], limit_s=120)
        progress("packing the disk")
        await run(["qemu-img", "convert", "-O", "qcow2", raw, folder / "disk.qcow2"], limit_s=600)
        raw.unlink()
        (folder / "host_key").unlink()
        await asyncio.to_thread(_finish, name, base, folder, created, guest_digest)


def debugfs_script(files: dict[PurePosixPath, Path], keys: Path) -> str:
    """debugfs(8) commands that put the guest's package and the keys into the root filesystem."""
    folders = sorted({parent for name in files for parent in name.parents if parent != PurePosixPath(".")})
    lines = [f"mkdir {GUEST_HOME / folder}" for folder in folders]
    for name, path in files.items():
        lines += _put(path, GUEST_HOME / name, 0o644)
    lines += _put(keys / "host_key", PurePosixPath("/etc/ssh/ssh_host_ed25519_key"), 0o600)
    lines += _put(keys / "host_key.pub", PurePosixPath("/etc/ssh/ssh_host_ed25519_key.pub"), 0o644)
    lines += _put(keys / "client_key.pub", PurePosixPath("/root/.ssh/authorized_keys"), 0o600)
    return "".join(f"{line}\n" for line in lines)


def kernel_version(kernel: bytes) -> str:
    """The version text inside a bzImage: "6.1.0-1-cloud-amd64 (…) #1 SMP …" (x86 boot protocol, ``kernel_version``)."""
    if kernel[0x202:0x206] == b"HdrS" and len(kernel) > 0x210:
        offset = struct.unpack_from("<H", kernel, 0x20E)[0] + 0x200
        text, end, _ = kernel[offset : offset + 1024].partition(b"\0")
        if end:
            return text.decode(errors="replace")
    raise MachineError("the image's kernel is not a bzImage")


def _put(source: Path, target: PurePosixPath, mode: int) -> list[str]:
    return [
        f'write "{source}" {target}',
        f"sif {target} mode 0{0o100000 | mode:o}",
        f"sif {target} uid 0",
        f"sif {target} gid 0",
    ]


def _check_debugfs(output: str) -> None:
    """Debugfs exits with 0 whatever happens; its complaints begin with the command's or the file's name."""
    for line in output.splitlines():
        if line and not line.startswith(("debugfs", "Allocated inode")):
            raise MachineError(f"debugfs could not write into the image: {line}")


def _finish(name: str, base: Base, folder: Path, created: float, guest_digest: str) -> None:
    for file in ("vmlinuz", "initrd"):
        shutil.copyfile(base.folder / file, folder / file)
    for file in ("vmlinuz", "initrd", "disk.qcow2"):
        (folder / file).chmod(0o644)
    (folder / "client_key").chmod(0o600)
    version = kernel_version((folder / "vmlinuz").read_bytes())
    release, _, rest = version.partition(" ")
    target = json.loads((base.folder / "target.json").read_text())
    target["markers"] |= {"platform_release": release, "platform_version": rest.partition(") ")[2] or rest}
    tools = {tool["name"].lower(): tool["version"] for tool in json.loads((base.folder / "tools.json").read_text())}
    packages = dict(line.split(" ", 1) for line in (base.folder / "packages.list").read_text().splitlines())
    files = {
        path.name: ImageFile(size=path.stat().st_size, sha256=hash_file(path))
        for path in sorted(folder.iterdir())
        if path.is_file()
    }
    manifest = Manifest(
        format=FORMAT,
        name=name,
        arch="x86_64",
        created=created,
        kernel_release=release,
        host_key=(folder / "host_key.pub").read_text().strip(),
        guest_digest=guest_digest,
        recipe_digest=current_recipe_digest(name),
        target=target,
        tools=tools | {"python3": target["python_full_version"], "strace": packages.get("strace", "")},
        packages=packages,
        files=files,
    )
    write_manifest(folder, manifest)
