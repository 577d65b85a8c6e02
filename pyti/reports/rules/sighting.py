"""What a family of rules hands on: one sighting each time that a rule recognises something in an event."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from pyti.reports.events import Event
from pyti.reports.model import Severity
from pyti.reports.rules.table import Stage

__all__ = ["Family", "Layout", "PhaseContext", "Sighting"]


@dataclass(frozen=True, slots=True)
class Sighting:
    """A rule applied once; ``severity`` overrides the table's, ``key`` tells repetitions apart, evidence is hostile."""

    rule: str
    evidence: str
    severity: Severity | None = None
    key: str = ""
    strong: bool = True
    """Whether combination rules may build upon it."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things lie in the guest; the defaults are the image's."""

    home: str = "/home/tester"
    venv: str = "/home/tester/venv"
    work: tuple[str, ...] = ("/home/tester/work",)
    """Folders that the agent makes for the phases; writing there is their own business."""


@dataclass(frozen=True, slots=True)
class PhaseContext:
    """What the rules must know of the phase that they look at."""

    task: str
    phase: str
    stage: Stage
    layout: Layout = Layout()
    own: frozenset[str] = field(default_factory=frozenset)
    """Top-level names that the distribution installs, in lower case."""


class Family(Protocol):
    """A family of rules: it sees the events of one phase in order and may remember them."""

    def see(self, event: Event) -> Iterator[Sighting]:
        """Give the sightings in this event."""
        ...
