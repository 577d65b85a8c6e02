"""Options that several commands share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from pyti.config import Settings, load
from pyti.errors import UsageError
from pyti.messages import FileChoice, MachineRequest

__all__ = ["AllFiles", "Config", "Json", "MachineOptions", "Sdist", "Wheel", "file_choice", "settings_from"]

Config = Annotated[
    Path | None,
    Parameter(name="--config", help="Settings, a TOML file; $PYTI_CONFIG when not given.", env_var="PYTI_CONFIG"),
]
Json = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON on standard output.")]
Sdist = Annotated[bool, Parameter(name="--sdist", negative="", help="Test the source distribution.")]
Wheel = Annotated[bool, Parameter(name="--wheel", negative="", help="Test the wheel that fits the guest.")]
AllFiles = Annotated[bool, Parameter(name="--all-files", negative="", help="Test every file of the release.")]


@Parameter(name="*")
@dataclass(frozen=True)
class MachineOptions:
    """The machine that jobs run on."""

    image: str | None = None
    "Image to clone; the one in the settings when not given."
    cpus: int = 1
    "Processors of the machine."
    memory: int = 1024
    "Memory of the machine, in MiB."
    time_limit: float = 1800.0
    "Seconds that all tasks of one job may take together."

    def request(self, settings: Settings) -> MachineRequest:
        """The request that a job carries; raises ``UsageError`` for a value out of range."""
        values = {
            "image": self.image or settings.machines.image,
            "cpus": self.cpus,
            "memory_mib": self.memory,
            "time_limit_s": self.time_limit,
        }
        try:
            return msgspec.convert(values, MachineRequest)
        except msgspec.ValidationError as error:
            raise UsageError(
                f"no such machine can be had: {error}", remedy="See the ranges in `pyti test --help`."
            ) from error


def settings_from(config: Path | None) -> Settings:
    """Load the settings that a command runs with."""
    return load(config)


def file_choice(*, sdist: bool, wheel: bool, all_files: bool) -> FileChoice:
    """Which files of a release the flags choose; raises ``UsageError`` when they exclude one another."""
    chosen = [
        choice
        for choice, flag in ((FileChoice.SDIST, sdist), (FileChoice.WHEEL, wheel), (FileChoice.ALL, all_files))
        if flag
    ]
    if len(chosen) > 1:
        raise UsageError("--sdist, --wheel and --all-files exclude one another", remedy="Give only one of them.")
    return chosen[0] if chosen else FileChoice.AUTO
