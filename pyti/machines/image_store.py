"""The images of one home: built under a lock, replaced atomically, checked before use."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from pyti.errors import ImageDamaged, ImageMissing
from pyti.machines.base import build_base, remove_tree
from pyti.machines.image import IMAGE_NAME, Image, check_hashes, check_sizes, current_recipe_digest, load_manifest
from pyti.machines.layout import Layout
from pyti.machines.locks import FileLock, locked
from pyti.machines.seal import seal

__all__ = ["ImageStore"]

BUILD_WAIT_S = 1800.0
"""For another process that builds the same image: its bootstrap's limit, and some."""


class ImageStore:
    """The images below ``home``. ``clock`` gives Unix time for the manifest."""

    def __init__(self, home: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._layout = Layout(home)
        self._clock = clock

    def list(self) -> list[Image]:
        """Every usable image, by name; damaged ones are left out (``get`` says what is wrong with them)."""
        found: list[Image] = []
        if not self._layout.images.is_dir():
            return found
        for link in sorted(self._layout.images.iterdir()):
            if link.is_symlink():
                try:
                    found.append(self.get(link.name))
                except (ImageMissing, ImageDamaged):
                    continue
        return found

    def get(self, name: str) -> Image:
        """The image ``name``, its files' presence and sizes checked.

        Raises ``ImageMissing`` where it was never built, ``ImageDamaged`` naming the file that is wrong.
        """
        link = self._layout.images / name
        if not re.match(IMAGE_NAME, name) or not link.is_symlink():
            raise ImageMissing(f"there is no image {name!r} in {self._layout.images}", remedy="Run: pyti image build")
        image = load_manifest(link.resolve())
        check_sizes(image)
        return image

    async def verify(self, name: str) -> Image:
        """As ``get``, and the content of every file is read and compared with the manifest."""
        image = await asyncio.to_thread(self.get, name)
        await asyncio.to_thread(check_hashes, image)
        return image

    async def build(self, name: str = "bookworm", *, progress: Callable[[str], None] = lambda _line: None) -> Image:
        """Build the image and put it in place of the one before; waits while another process builds it.

        The bootstrap is kept in ``cache`` for each recipe: building again for changed guest code takes seconds.
        """
        await asyncio.to_thread(self._layout.prepare)
        async with locked(self._layout.lock(f"image-{name}"), limit_s=BUILD_WAIT_S, what=f"building the image {name}"):
            recipe = await asyncio.to_thread(current_recipe_digest, name)
            base = await build_base(name, self._layout.cache / f"base-{name}-{recipe[:12]}", progress=progress)
            work = self._layout.images / f".{name}.work"
            await asyncio.to_thread(remove_tree, work)
            try:
                await seal(name, base, work, created=self._clock(), progress=progress)
                image = await asyncio.to_thread(self._put_in_place, name, work)
            finally:
                await asyncio.shield(asyncio.to_thread(remove_tree, work))
            await asyncio.to_thread(self._remove_unused, name, image, base.folder)
        return image

    def _put_in_place(self, name: str, work: Path) -> Image:
        digest = load_manifest(work).digest
        folder = self._layout.images / f"{name}-{digest[:16]}"
        work.rename(folder)
        link = self._layout.images / f".{name}.link"
        link.unlink(missing_ok=True)
        link.symlink_to(folder.name)
        os.replace(link, self._layout.images / name)  # noqa: PTH105 (atomic by rename(2), and said so)
        return self.get(name)

    def _remove_unused(self, name: str, image: Image, base: Path) -> None:
        """Remove older images of this name with their templates, except those that a living process uses."""
        for folder in self._layout.images.glob(f"{name}-*"):
            use = FileLock(self._layout.use_lock(folder.name))
            if folder == image.folder or not use.acquire():
                continue
            try:
                self._remove_templates(folder.name)
                remove_tree(folder)
            finally:
                use.release(remove=True)
        for folder in self._layout.cache.glob(f"base-{name}-*"):
            if folder != base:
                remove_tree(folder)

    def _remove_templates(self, image_folder: str) -> None:
        """Remove an image's templates; nobody uses them, because nobody uses the image."""
        for template in self._layout.templates.glob("[!.]*"):
            with contextlib.suppress(OSError):
                if (template / "image").read_text() == image_folder:
                    remove_tree(template)
                    self._layout.lock(f"template-{template.name}").unlink(missing_ok=True)
