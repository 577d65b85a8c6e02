"""The interpreter that packages are chosen for: the guest's, never the host's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from packaging.markers import Marker
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import Tag, parse_tag
from packaging.version import InvalidVersion, Version

from pyti.errors import ConfigError

__all__ = ["MARKER_NAMES", "Target"]

MARKER_NAMES = (
    "implementation_name",
    "implementation_version",
    "os_name",
    "platform_machine",
    "platform_python_implementation",
    "platform_release",
    "platform_system",
    "platform_version",
    "python_full_version",
    "python_version",
    "sys_platform",
)
"""The environment that PEP 508 markers may ask about, ``extra`` apart."""
MAX_TAGS = 5000
"""CPython on Linux has about a thousand tags."""


@dataclass(frozen=True)
class Target:
    """An interpreter, told by its version, marker environment and supported tags, the best tag first."""

    implementation: str
    python_full_version: Version
    markers: Mapping[str, str]
    tags: tuple[Tag, ...] = field(repr=False)

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any]) -> Target:
        """Read what the image recorded about its interpreter when it was built.

        Keys: ``implementation`` and ``python_full_version`` (text), ``markers`` (the PEP 508 environment) and ``tags``
        (list of ``python-abi-platform``, the best first). Raises ``ConfigError`` naming what is missing or wrong.
        """
        try:
            version = Version(manifest["python_full_version"])
            markers = {name: manifest["markers"][name] for name in MARKER_NAMES}
            texts: Sequence[str] = manifest["tags"]
            if not 0 < len(texts) <= MAX_TAGS or not all(isinstance(text, str) for text in markers.values()):
                raise ValueError("no tags, too many tags, or a marker that is no text")
            tags = tuple(tag for text in texts for tag in sorted(parse_tag(text), key=str))
            implementation = str(manifest["implementation"])
        except (KeyError, TypeError, ValueError, InvalidVersion) as error:
            raise ConfigError(
                f"the image's manifest does not describe its interpreter: {type(error).__name__}: {error}",
                remedy="Build the image again with 'pyti image build'.",
            ) from error
        return cls(implementation=implementation, python_full_version=version, markers=markers, tags=tags)

    @cached_property
    def _ranks(self) -> Mapping[Tag, int]:
        return {tag: rank for rank, tag in reversed(list(enumerate(self.tags)))}

    def rank(self, tags: frozenset[Tag]) -> int | None:
        """Tell how well a wheel with these tags fits: 0 is best, ``None`` is not at all."""
        ranks = [self._ranks[tag] for tag in tags if tag in self._ranks]
        return min(ranks) if ranks else None

    def allows(self, requires_python: str | None) -> bool:
        """Tell whether ``Requires-Python`` admits this interpreter; what is no specifier is ignored, as pip does."""
        if not requires_python:
            return True
        try:
            return SpecifierSet(requires_python).contains(self.python_full_version, prereleases=True)
        except InvalidSpecifier:
            return True

    def applies(self, marker: Marker | None, extra: str = "") -> bool:
        """Evaluate a marker for this interpreter with one extra (or none) asked for."""
        return marker is None or marker.evaluate({**self.markers, "extra": extra})
