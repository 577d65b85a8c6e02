"""A folder that cannot be made is named, with the remedy."""

from pathlib import Path

import pytest

from pyti.errors import OutOfSpace
from pyti.roles.folders import make_folder


def test_a_folder_is_made_with_its_parents_or_found(tmp_path: Path) -> None:
    for _ in range(2):
        make_folder(tmp_path / "a" / "b", mode=0o700)

    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(OutOfSpace, match="Not a directory") as caught:
        make_folder(tmp_path / "file" / "home")

    assert str(tmp_path / "file" / "home") in caught.value.message
    assert "PYTI_HOME" in caught.value.remedy
