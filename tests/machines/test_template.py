import msgspec
import pytest

from pyti.machines.image import Image
from pyti.machines.template import Template, load_template, template_key, unchanged, write_template

KEY = {"accel": "tcg", "cpus": 1, "memory_mib": 64, "qemu": "7.2.0"}


@pytest.fixture
def image(tmp_path):
    """An image by its record alone: templates look at its digest and its folder's name."""
    return Image(
        name="i", digest="d" * 64, folder=tmp_path / "i-1", arch="x86_64", created=0.0, size_bytes=0, target={},
        tools={}, packages={}, files={}, kernel_release="6.1", host_key="", guest_digest="g", recipe_digest="r",
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path, image):
    """A template whose files are what they should be."""
    folder = tmp_path / "t"
    folder.mkdir()
    (folder / "ram").write_bytes(b"ram")
    (folder / "disk.qcow2").write_bytes(b"disk")
    write_template(folder, image, b"state", boot_s=1.5, **KEY)
    return folder


def test_a_whole_template_is_loaded(folder, image):
    record, state = load_template(folder, image, qemu="7.2.0")
    assert (record.boot_s, state) == (1.5, b"state")
    assert (folder / "image").read_text() == "i-1"


@pytest.mark.parametrize("name", ["template.json", "state", "ram", "disk.qcow2"])
def test_a_template_that_lacks_a_file_is_none(folder, image, name):
    (folder / name).unlink()
    assert load_template(folder, image, qemu="7.2.0") is None


@pytest.mark.parametrize("name", ["template.json", "state", "ram", "disk.qcow2"])
def test_a_template_that_was_written_to_is_none(folder, image, name):
    path = folder / name
    path.write_bytes(path.read_bytes()[::-1])
    assert load_template(folder, image, qemu="7.2.0") is None


def test_a_template_of_another_image_or_qemu_is_none(folder, image):
    assert load_template(folder, image, qemu="8.0.0") is None
    assert load_template(folder, msgspec.structs.replace(image, digest="e" * 64), qemu="7.2.0") is None


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"\xff", b'{"format": "1"}'])
def test_a_malformed_record_is_none(folder, image, text):
    (folder / "template.json").write_bytes(text)
    assert load_template(folder, image, qemu="7.2.0") is None


def test_a_replaced_file_is_noticed_later(folder, image):
    record, _state = load_template(folder, image, qemu="7.2.0")
    assert unchanged(folder, record)
    (folder / "ram").unlink()
    assert not unchanged(folder, record)


def test_everything_that_makes_a_template_different_is_in_its_key(image):
    keys = {template_key(image, **KEY)}
    for change in ({"accel": "kvm"}, {"cpus": 2}, {"memory_mib": 65}, {"qemu": "7.2.1"}):
        keys.add(template_key(image, **{**KEY, **change}))
    keys.add(template_key(msgspec.structs.replace(image, digest="e" * 64), **KEY))
    assert len(keys) == 6


def test_machines_of_a_template_without_a_folder_boot_from_the_image(folder, image):
    cold = Template(digest="k", image=image, accel="tcg", cpus=1, memory_mib=64)
    assert (cold.cold_boot, cold.ram, cold.disk) == (True, None, image.disk)
    warm = Template(digest="k", image=image, accel="tcg", cpus=1, memory_mib=64, folder=folder)
    assert (warm.cold_boot, warm.ram, warm.disk) == (False, folder / "ram", folder / "disk.qcow2")
