"""Images are told of truly, also where there is none; building and verifying real ones is for the machines' tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


def test_an_empty_home_has_no_images(pyti: Run) -> None:
    assert "pyti image build" in pyti("image", "list").out
    assert json.loads(pyti("image", "list", "--json").out) == []


@pytest.mark.parametrize(
    ("arguments", "name"), [([], "bookworm"), (["trixie"], "trixie"), (["../../etc"], "../../etc")]
)
def test_an_image_that_was_never_built_is_missing(pyti: Run, arguments: list[str], name: str) -> None:
    outcome = pyti("image", "verify", *arguments)

    assert outcome.status == 3
    assert name in outcome.said
    assert "Remedy: Run: pyti image build" in outcome.said


def test_a_damaged_image_is_left_out_of_the_list_and_named_when_verified(pyti: Run, home: Path) -> None:
    folder = home / "images" / "bookworm-0"
    folder.mkdir(parents=True)
    (folder / "image.json").write_text("{")
    (home / "images" / "bookworm").symlink_to(folder.name)

    outcome = pyti("image", "verify")

    assert json.loads(pyti("image", "list", "--json").out) == []
    assert outcome.status == 3
    assert "image.json" in outcome.said
    assert "Remedy:" in outcome.said
