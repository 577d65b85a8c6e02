"""An image: the guest's kernel, initial RAM disk and root disk, with a manifest that says what they must be."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from pyti.errors import ImageDamaged
from pyti.machines.guest_code import digest_of, guest_files, recipe_files

__all__ = ["FORMAT", "IMAGE_NAME", "Image", "ImageFile", "check_hashes", "check_sizes", "hash_file", "load_manifest"]

FORMAT = 1
"""Raised when the layout of an image changes, so that images of an older layout are built anew."""

IMAGE_NAME = r"^[a-z][a-z0-9-]{0,30}$"

MANIFEST = "image.json"
REBUILD = "Build it anew: pyti image build"


class ImageFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of an image."""

    size: Annotated[int, Meta(ge=0)]
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The text of ``image.json``."""

    format: int
    name: Annotated[str, Meta(pattern=IMAGE_NAME)]
    arch: str
    created: float
    kernel_release: str
    host_key: str
    guest_digest: str
    recipe_digest: str
    target: dict[str, Any]
    tools: dict[str, str]
    packages: dict[str, str]
    files: dict[Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,60}$")], ImageFile]


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """One built image.

    ``digest`` is the SHA-256 of the manifest, which holds the SHA-256 of every file. ``target`` is the guest
    interpreter as a resolver needs it: ``implementation``, ``python_full_version``, ``markers`` (PEP 508) and ``tags``
    (wheel tags, best first). ``tools`` are the versions of the Python tools baked in; ``created`` is Unix time;
    ``size_bytes`` is all files together.
    """

    name: str
    digest: str
    folder: Path
    arch: str
    created: float
    size_bytes: int
    target: dict[str, Any]
    tools: dict[str, str]
    packages: dict[str, str]
    files: dict[str, ImageFile]
    kernel_release: str
    host_key: str
    guest_digest: str
    recipe_digest: str

    @property
    def kernel(self) -> Path:
        """The kernel, for direct boot."""
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        """The initial RAM disk."""
        return self.folder / "initrd"

    @property
    def disk(self) -> Path:
        """The root disk, qcow2; machines write to overlays only."""
        return self.folder / "disk.qcow2"

    @property
    def client_key(self) -> Path:
        """The private key that the guest's root accepts; it is not in the guest."""
        return self.folder / "client_key"

    @property
    def stale(self) -> bool:
        """Whether the image was built from other guest code or another recipe than this PyTI has (reads the files)."""
        return self.guest_digest != current_guest_digest() or self.recipe_digest != current_recipe_digest(self.name)


def current_guest_digest() -> str:
    """The digest of the guest code that an image built now would hold."""
    return digest_of(guest_files())


def current_recipe_digest(name: str) -> str:
    """The digest of the recipe that an image of this name would be built from now."""
    return digest_of(recipe_files(), name, str(FORMAT))


def hash_file(path: Path) -> str:
    """SHA-256 of a file's content, as hexadecimal text."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write ``image.json``, the last file of an image."""
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))


def load_manifest(folder: Path) -> Image:
    """Read an image's manifest. Raises ``ImageDamaged`` naming the file where it is missing or malformed."""
    path = folder / MANIFEST
    try:
        text = path.read_bytes()
        manifest = msgspec.json.decode(text, type=Manifest)
    except OSError as error:
        raise ImageDamaged(f"the image's manifest {path} cannot be read: {error.strerror}", remedy=REBUILD) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ImageDamaged(f"the image's manifest {path} is malformed: {error}", remedy=REBUILD) from error
    if manifest.format != FORMAT:
        raise ImageDamaged(f"{path} has format {manifest.format}, not {FORMAT}", remedy=REBUILD)
    values = {name: getattr(manifest, name) for name in manifest.__struct_fields__ if name != "format"}
    digest = hashlib.sha256(text).hexdigest()
    size = sum(file.size for file in manifest.files.values())
    return Image(digest=digest, folder=folder, size_bytes=size, **values)


def check_sizes(image: Image) -> None:
    """Check that every file is there with its size (quick). Raises ``ImageDamaged`` naming the file."""
    for name, file in image.files.items():
        path = image.folder / name
        try:
            size = path.stat().st_size
        except OSError as error:
            raise ImageDamaged(f"the image's file {path} is missing: {error.strerror}", remedy=REBUILD) from error
        if size != file.size:
            raise ImageDamaged(f"the image's file {path} has {size} bytes, not {file.size}", remedy=REBUILD)


def check_hashes(image: Image) -> None:
    """Check the content of every file (reads all of it). Raises ``ImageDamaged`` naming the file."""
    check_sizes(image)
    for name, file in image.files.items():
        path = image.folder / name
        try:
            found = hash_file(path)
        except OSError as error:
            raise ImageDamaged(f"the image's file {path} cannot be read: {error.strerror}", remedy=REBUILD) from error
        if found != file.sha256:
            raise ImageDamaged(f"the image's file {path} has changed: its SHA-256 is {found}", remedy=REBUILD)
