import shutil

import msgspec
import pytest

from pyti.errors import ImageDamaged, ImageMissing, OutOfSpace
from pyti.machines.image import FORMAT, ImageFile, Manifest, hash_file, write_manifest
from pyti.machines.image_store import ImageStore


@pytest.fixture
def store(tmp_path):
    """A store that holds a small image whose files are real and whose manifest is right."""
    folder = tmp_path / "images" / "bookworm-1"
    folder.mkdir(parents=True)
    (folder / "vmlinuz").write_bytes(b"kernel")
    (folder / "disk.qcow2").write_bytes(b"disk" * 1000)
    files = {p.name: ImageFile(size=p.stat().st_size, sha256=hash_file(p)) for p in folder.iterdir()}
    manifest = Manifest(
        format=FORMAT,
        name="bookworm",
        arch="x86_64",
        created=1.0,
        kernel_release="6.1",
        host_key="ssh-ed25519 AAAA",
        guest_digest="g",
        recipe_digest="r",
        target={"implementation": "cpython"},
        tools={"pytest": "9"},
        packages={},
        files=files,
    )
    write_manifest(folder, manifest)
    (tmp_path / "images" / "bookworm").symlink_to("bookworm-1")
    return ImageStore(tmp_path)


def test_an_image_that_was_never_built_is_missing_with_the_command_that_builds_it(tmp_path):
    with pytest.raises(ImageMissing) as caught:
        ImageStore(tmp_path).get("bookworm")
    assert "pyti image build" in caught.value.remedy


@pytest.mark.parametrize("name", ["../bookworm", "", "/etc", "book worm", "."])
def test_a_name_is_never_a_path(store, name):
    with pytest.raises(ImageMissing):
        store.get(name)


async def test_a_whole_image_is_listed_and_verified(store):
    assert [image.name for image in store.list()] == ["bookworm"]
    image = await store.verify("bookworm")
    assert image.size_bytes == 4006
    assert len(image.digest) == 64


def test_an_image_of_other_guest_code_is_stale(store):
    assert store.get("bookworm").stale


async def test_a_changed_file_is_named_even_if_its_size_is_right(store, tmp_path):
    (tmp_path / "images/bookworm-1/disk.qcow2").write_bytes(b"disc" * 1000)
    with pytest.raises(ImageDamaged, match=r"disk\.qcow2"):
        await store.verify("bookworm")


def test_a_truncated_file_is_named_without_reading_it(store, tmp_path):
    (tmp_path / "images/bookworm-1/disk.qcow2").write_bytes(b"disk")
    with pytest.raises(ImageDamaged, match=r"disk\.qcow2 has 4 bytes"):
        store.get("bookworm")
    assert store.list() == []


def test_a_missing_file_is_named(store, tmp_path):
    (tmp_path / "images/bookworm-1/vmlinuz").unlink()
    with pytest.raises(ImageDamaged, match="vmlinuz"):
        store.get("bookworm")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": 1}', "\udcff".encode(errors="surrogateescape").decode("latin-1")]
)
def test_a_malformed_manifest_is_named(store, tmp_path, text):
    (tmp_path / "images/bookworm-1/image.json").write_text(text, encoding="latin-1")
    with pytest.raises(ImageDamaged, match=r"image\.json"):
        store.get("bookworm")


def test_a_manifest_cannot_name_files_elsewhere(store, tmp_path):
    path = tmp_path / "images/bookworm-1/image.json"
    manifest = msgspec.json.decode(path.read_bytes())
    manifest["files"]["../../../etc/passwd"] = {"size": 1, "sha256": ""}
    path.write_bytes(msgspec.json.encode(manifest))
    with pytest.raises(ImageDamaged, match=r"image\.json"):
        store.get("bookworm")


def test_a_link_to_nowhere_is_damage(store, tmp_path):
    shutil.rmtree(tmp_path / "images/bookworm-1")
    with pytest.raises(ImageDamaged):
        store.get("bookworm")


async def test_a_name_without_a_recipe_cannot_be_built(tmp_path):
    with pytest.raises(ImageMissing, match="no recipe"):
        await ImageStore(tmp_path).build("potato")


async def test_a_build_is_refused_before_it_begins_when_the_disk_is_too_full(tmp_path, monkeypatch):
    monkeypatch.setattr("pyti.machines.base.NEEDED_BYTES", 2**60)
    with pytest.raises(OutOfSpace) as caught:
        await ImageStore(tmp_path).build("bookworm")
    assert "PYTI_HOME" in caught.value.remedy
