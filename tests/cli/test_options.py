"""Options that several commands share become one request, or a clear refusal."""

from __future__ import annotations

import pytest

from pyti.cli.options import MachineOptions, file_choice
from pyti.config import MachinesSettings, Settings
from pyti.errors import UsageError
from pyti.messages import FileChoice


@pytest.mark.parametrize(
    ("flags", "choice"),
    [
        ({}, FileChoice.AUTO),
        ({"sdist": True}, FileChoice.SDIST),
        ({"wheel": True}, FileChoice.WHEEL),
        ({"all_files": True}, FileChoice.ALL),
    ],
)
def test_one_flag_chooses_the_files(flags: dict[str, bool], choice: FileChoice) -> None:
    assert file_choice(**({"sdist": False, "wheel": False, "all_files": False} | flags)) is choice


def test_two_flags_exclude_one_another() -> None:
    with pytest.raises(UsageError, match="exclude one another"):
        file_choice(sdist=True, wheel=True, all_files=False)


def test_the_image_is_that_of_the_settings_unless_one_is_named() -> None:
    settings = Settings(machines=MachinesSettings(image="trixie"))

    assert MachineOptions().request(settings).image == "trixie"
    assert MachineOptions(image="bookworm").request(settings).image == "bookworm"


@pytest.mark.parametrize("options", [MachineOptions(cpus=0), MachineOptions(memory=1), MachineOptions(time_limit=-1.0)])
def test_a_machine_that_cannot_be_had_is_refused(options: MachineOptions) -> None:
    with pytest.raises(UsageError, match="no such machine"):
        options.request(Settings())
