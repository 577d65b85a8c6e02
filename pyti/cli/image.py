"""``pyti image``: build, list and verify the images that machines are cloned from."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Annotated

import msgspec
from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pyti.cli.options import Config, Json, settings_from
from pyti.errors import PytiError
from pyti.machines import Image, ImageStore
from pyti.reports import neutral_text

__all__ = ["app"]

app = App(name="image", help="Build, list and verify the images that machines are cloned from.")

Name = Annotated[str | None, Parameter(help="The image's name; the one in the settings when not given.")]


@app.command
def build(
    name: Name = None,
    *,
    if_missing: Annotated[bool, Parameter(negative="", help="Do nothing when it is there and up to date.")] = False,
    json: Json = False,
    config: Config = None,
) -> int:
    """Build an image from Debian packages; needs root, the network and a few minutes the first time."""
    settings = settings_from(config)
    store = ImageStore(settings.home)
    wanted = name or settings.machines.image
    if if_missing:
        try:
            found = store.get(wanted)
        except PytiError:
            pass
        else:
            if not found.stale:
                _print(found, as_json=json)
                return 0
    console = Console(stderr=True, highlight=False)
    started = time.monotonic()

    def progress(text: str) -> None:
        console.print(f"pyti: {time.monotonic() - started:5.1f} s  {neutral_text(text)}", markup=False, soft_wrap=True)

    _print(asyncio.run(store.build(wanted, progress=progress)), as_json=json)
    return 0


@app.command(name="list")
def list_images(*, json: Json = False, config: Config = None) -> int:
    """List the images on this host."""
    images = ImageStore(settings_from(config).home).list()
    if json:
        _write([_facts(image) for image in images])
        return 0
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("image", "digest", "arch", "python", "size", "state"):
        table.add_column(column)
    for image in images:
        table.add_row(
            image.name,
            image.digest[:12],
            image.arch,
            str(image.target.get("python_full_version", "")),
            f"{image.size_bytes / 2**20:.0f} MiB",
            "out of date: run `pyti image build`" if image.stale else "ready",
        )
    Console(highlight=False).print(table if images else Text("No images yet. Run: pyti image build"))
    return 0


@app.command
def verify(name: Name = None, *, json: Json = False, config: Config = None) -> int:
    """Read an image's files and compare them with its manifest."""
    settings = settings_from(config)
    image = asyncio.run(ImageStore(settings.home).verify(name or settings.machines.image))
    _print(image, as_json=json)
    return 0


def _facts(image: Image) -> dict[str, object]:
    return {
        "name": image.name,
        "digest": image.digest,
        "arch": image.arch,
        "created": image.created,
        "size_bytes": image.size_bytes,
        "stale": image.stale,
        "python": image.target.get("python_full_version"),
        "tools": image.tools,
    }


def _print(image: Image, *, as_json: bool) -> None:
    if as_json:
        _write(_facts(image))
    else:
        print(f"{image.name} {image.digest[:12]} is whole ({image.size_bytes / 2**20:.0f} MiB)")  # noqa: T201 - this is the output


def _write(value: object) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")
