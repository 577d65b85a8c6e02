"""The expensive part of an image, built once for each recipe: Debian, the tools, and the filesystem made of both.

What it holds is the same for every image of the recipe: no keys, no guest code. Those are added by ``seal``.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pyti.errors import HypervisorUnavailable, ImageMissing, MachineError
from pyti.machines.apt_sources import proxy_options, sources_of_host
from pyti.machines.commands import run
from pyti.machines.guest_code import RECIPE_FOLDER
from pyti.machines.space import require_space, space_errors

__all__ = ["SUITES", "Base", "Suite", "build_base"]

BOOTSTRAP_LIMIT_S = 1500.0
"""Measured: 55 s; a slow mirror takes many times that."""

DISK_SIZE = "6G"
"""Virtual: the file is sparse. Room for a job's wheelhouse, its build and what it writes."""

NEEDED_BYTES = 3 * 2**30
"""The unpacked root (0.7 GB), the filesystem made of it, and apt's downloads."""


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A Debian release that can be an image."""

    python: str


SUITES = {"bookworm": Suite(python="3.11")}
"""By image name, which is the release's code name."""


@dataclass(frozen=True, kw_only=True)
class Base:
    """A built base: files in ``folder``."""

    folder: Path

    @property
    def rootfs(self) -> Path:
        """The root filesystem, raw ext4, sparse."""
        return self.folder / "rootfs.raw"


async def build_base(name: str, folder: Path, *, progress: Callable[[str], None]) -> Base:
    """Build the base in ``folder``, which appears only when it is complete; returns at once where it is there.

    The caller holds the lock. Raises ``ImageMissing`` for a name without a recipe, ``HypervisorUnavailable`` where a
    program or privilege is missing, ``MachineError`` with a program's last words where one fails.
    """
    if (folder / "complete").exists():
        return Base(folder=folder)
    if name not in SUITES:
        raise ImageMissing(f"there is no recipe for an image {name!r}", remedy=f"Known: {', '.join(SUITES)}.")
    if os.geteuid() != 0:
        raise HypervisorUnavailable("building an image needs root", remedy="Run: sudo pyti image build")
    require_space(folder.parent, NEEDED_BYTES, purpose="building an image")
    work = folder.with_name(f".{folder.name}.work")
    await asyncio.to_thread(remove_tree, work)
    try:
        with space_errors("building an image"):
            await _bootstrap(name, work, progress)
            await asyncio.to_thread(remove_tree, work / "root")
            (work / "complete").touch()
            await asyncio.to_thread(remove_tree, folder)
            work.rename(folder)
    finally:
        await asyncio.shield(asyncio.to_thread(remove_tree, work))
    return Base(folder=folder)


async def _bootstrap(name: str, work: Path, progress: Callable[[str], None]) -> None:
    wheels = work / "wheels"
    wheels.mkdir(parents=True)
    progress("downloading the tools")
    await _download_tools(wheels, SUITES[name].python)
    progress("bootstrapping Debian (about a minute)")
    arguments: list[str | Path] = [
        "mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory",
        f"--include={','.join(_lines(RECIPE_FOLDER / 'packages.txt'))}",
        '--aptopt=APT::Install-Recommends "false"',
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*",
        '--customize-hook=sh "$PYTI_RECIPE/customize.sh" "$1"',
    ]  # fmt: skip
    options = proxy_options(await run(["apt-config", "dump"], limit_s=20))
    arguments += [f"--aptopt={option}" for option in options]
    arguments += [name, work / "root"]
    if sources := await asyncio.to_thread(sources_of_host, name):
        (work / "apt.list").write_text(sources)
        arguments.append(work / "apt.list")
    env = {"PYTI_RECIPE": str(RECIPE_FOLDER), "PYTI_WHEELS": str(wheels), "PYTI_OUT": str(work)}
    await run(arguments, limit_s=BOOTSTRAP_LIMIT_S, env=env, each_line=_announce(progress))
    progress("making the filesystem")
    filesystem = ["mke2fs", "-q", "-t", "ext4", "-L", "pyti", "-m", "0", "-N", "262144"]
    features = ["-O", "^orphan_file", "-E", "root_owner=0:0,lazy_itable_init=1,nodiscard"]
    await run([*filesystem, *features, "-d", work / "root", work / "rootfs.raw", DISK_SIZE], limit_s=300)


async def _download_tools(wheels: Path, python: str) -> None:
    abi = "cp" + python.replace(".", "")
    platforms = ("manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_28_x86_64")
    try:
        await run(
            [
                sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", "--dest", wheels,
                "--python-version", python, "--implementation", "cp",
                "--abi", abi, "--abi", "abi3", "--abi", "none",
                *(word for platform in platforms for word in ("--platform", platform)),
                "--requirement", RECIPE_FOLDER / "tools.txt",
            ],
            limit_s=600,
        )  # fmt: skip
    except MachineError as error:
        raise MachineError(
            f"the image's tools could not be downloaded: {error.message}",
            remedy="Check that `pip download pytest` works for this Python; pip's own configuration says from where.",
        ) from error


def _announce(progress: Callable[[str], None]) -> Callable[[str], None]:
    def each_line(line: str) -> None:
        if line.startswith("I: "):
            progress(line[3:])

    return each_line


def _lines(path: Path) -> list[str]:
    lines = (line.strip() for line in path.read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def remove_tree(folder: Path) -> None:
    """Remove ``folder`` with all in it, unless something is still mounted below: then raise ``MachineError``."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    if below := [mount for mount in mounts if mount.startswith(f"{folder}/")]:
        raise MachineError(f"{below[0]} is still mounted", remedy=f"umount {' '.join(below)}")
    shutil.rmtree(folder, ignore_errors=not folder.exists())
