import shutil
import subprocess

import pytest

from pyti.errors import ImageMissing, MachineError
from pyti.machines.base import _lines, build_base, remove_tree
from pyti.machines.guest_code import RECIPE_FOLDER


async def test_a_base_that_is_complete_is_not_built_again(tmp_path):
    (tmp_path / "complete").touch()
    base = await build_base("any", tmp_path, progress=pytest.fail)
    assert base.rootfs == tmp_path / "rootfs.raw"


async def test_what_has_no_recipe_is_missing_and_the_known_ones_are_named(tmp_path):
    with pytest.raises(ImageMissing) as caught:
        await build_base("potato", tmp_path / "base", progress=pytest.fail)
    assert "bookworm" in caught.value.remedy


def test_a_folder_that_something_is_mounted_below_is_never_removed(tmp_path):
    below = tmp_path / "work" / "proc"
    below.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", below], check=True, timeout=20)
    try:
        (below / "precious").touch()
        with pytest.raises(MachineError, match="still mounted") as caught:
            remove_tree(tmp_path / "work")
        assert str(below) in caught.value.remedy
        assert (below / "precious").exists()
    finally:
        subprocess.run(["umount", below], check=True, timeout=20)
    remove_tree(tmp_path / "work")
    remove_tree(tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_lists_of_the_recipe_hold_no_comments_and_no_network_tools():
    packages = _lines(RECIPE_FOLDER / "packages.txt")
    assert "strace" in packages
    assert not [line for line in packages if line.startswith("#") or " " in line]
    assert not {"curl", "wget", "isc-dhcp-client", "network-manager"} & set(packages)


def test_the_programs_that_build_an_image_are_here():
    for program in ("mmdebstrap", "qemu-img", "ssh-keygen"):
        assert shutil.which(program)
