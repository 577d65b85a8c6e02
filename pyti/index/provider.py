"""The resolver's view of the index: which candidates there are, in which order, and what each requires.

Pure: pages and metadata come through the two functions that are passed in; nothing here waits, reads or runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version
from resolvelib import AbstractProvider
from resolvelib.structs import RequirementInformation

from pyti.index.metadata import StaticMetadata
from pyti.index.page import IndexFile, ProjectPage
from pyti.index.selection import best_file, is_pinned
from pyti.index.target import Target

__all__ = ["Candidate", "IndexProvider", "Key", "Unusable", "Want", "wants"]

Key = tuple[NormalizedName, str]
"""A project and one of its extras, or ``""`` for the project itself."""


@dataclass(frozen=True)
class Want:
    """One requirement, for the project itself or for one of its extras; ``url`` makes it unsatisfiable here."""

    name: NormalizedName
    extra: str
    specifier: SpecifierSet
    text: str
    url: str | None = None


@dataclass(frozen=True)
class Candidate:
    """One file that could be taken for a release; with an extra, a marker node that pulls the extra's requirements."""

    name: NormalizedName
    version: Version
    extra: str = ""
    file: IndexFile | None = field(default=None, compare=False)
    """``None`` for the root, which is a file already at hand."""

    def __str__(self) -> str:
        return f"{self.name}{f'[{self.extra}]' if self.extra else ''} {self.version}"


class Unusable(Exception):
    """A candidate's file turned out to be of no use; the resolution starts again without it."""

    def __init__(self, candidate: Candidate, reason: str) -> None:
        super().__init__(f"{candidate}: {reason}")
        self.candidate = candidate
        self.reason = reason


def wants(requirements: Iterable[Requirement], target: Target, extra: str = "") -> list[Want]:
    """Split requirements that apply to the target into one want for each project and extra."""
    found: list[Want] = []
    for requirement in requirements:
        if not target.applies(requirement.marker, extra):
            continue
        name = canonicalize_name(requirement.name)
        keys = ("", *sorted(canonicalize_name(each) for each in requirement.extras))
        found += [Want(name, key, requirement.specifier, str(requirement), requirement.url) for key in keys]
    return found


class IndexProvider(AbstractProvider[Want, Candidate, Key]):
    """Candidates of one index for one target; wheels first, the newest version first."""

    def __init__(
        self,
        *,
        target: Target,
        root: Candidate | None,
        pages: Callable[[NormalizedName], ProjectPage | None],
        metadata: Callable[[Candidate], StaticMetadata],
        prefetch: Callable[[Sequence[NormalizedName], Sequence[Candidate]], None],
        pins: Mapping[NormalizedName, Version],
        excluded: Mapping[str, str],
        prereleases: bool,
    ) -> None:
        self._target = target
        self._root = root
        self._pages = pages
        self._metadata = metadata
        self._prefetch = prefetch
        self._pins = pins
        self._excluded = excluded
        self._prereleases = prereleases
        self.considered: dict[NormalizedName, dict[str, str]] = {}
        """For each project, each version that was looked at and why it was not taken (empty: it was offered)."""
        self.tried = 0

    def identify(self, requirement_or_candidate: Want | Candidate) -> Key:
        """Give the project and extra."""
        return requirement_or_candidate.name, requirement_or_candidate.extra

    def get_preference(
        self,
        identifier: Key,
        resolutions: Mapping[Key, Candidate],
        candidates: Mapping[Key, Iterator[Candidate]],
        information: Mapping[Key, Iterator[RequirementInformation[Want, Candidate]]],
        backtrack_causes: Sequence[RequirementInformation[Want, Candidate]],
    ) -> tuple[bool, bool, bool, bool, str, str]:
        """Order the work: what conflicts first, then what is pinned, then what is bounded, then by name."""
        del resolutions, candidates
        demands = [info.requirement for info in information[identifier]]
        causes = {info.requirement.name for info in backtrack_causes}
        causes |= {info.parent.name for info in backtrack_causes if info.parent is not None}
        pinned = any(is_pinned(want.specifier) for want in demands)
        bounded = any(len(want.specifier) for want in demands)
        name, extra = identifier
        return (self._root is None or name != self._root.name, name not in causes, not pinned, not bounded, name, extra)

    def find_matches(
        self,
        identifier: Key,
        requirements: Mapping[Key, Iterator[Want]],
        incompatibilities: Mapping[Key, Iterator[Candidate]],
    ) -> Iterable[Candidate]:
        """List the candidates that satisfy all the requirements, the best first."""
        name, extra = identifier
        demands = list(requirements[identifier])
        refused = {candidate.version for candidate in incompatibilities[identifier]}
        if self._root is not None and name == self._root.name:
            version = self._root.version
            fits = version not in refused and all(want.specifier.contains(version, True) for want in demands)
            self.considered.setdefault(name, {})[str(version)] = "" if fits else "it is the distribution under test"
            return [Candidate(name, version, extra)] if fits else []
        if any(want.url for want in demands):
            self.considered[name] = {"(URL)": "requirements on URLs are not followed"}
            return []
        page = self._pages(name)
        if page is None:
            self.considered[name] = {}
            return []
        specifier = SpecifierSet()
        for want in demands:
            specifier &= want.specifier
        found = [candidate for candidate in self._fitting(page, specifier, extra) if candidate.version not in refused]
        if found:
            self._prefetch((), found[:1])
        return found

    def is_satisfied_by(self, requirement: Want, candidate: Candidate) -> bool:
        """Tell whether a candidate's version is one that the requirement allows."""
        return requirement.url is None and requirement.specifier.contains(candidate.version, prereleases=True)

    def get_dependencies(self, candidate: Candidate) -> Iterable[Want]:
        """Give what a candidate requires for the target. Raises ``Unusable``."""
        self.tried += 1
        metadata = self._metadata(candidate)
        if candidate.file is not None and not self._target.allows(metadata.requires_python):
            raise Unusable(candidate, f"needs Python {metadata.requires_python}")
        try:
            found = wants(metadata.requires_dist, self._target, candidate.extra)
        except (UndefinedComparison, UndefinedEnvironmentName) as error:
            raise Unusable(candidate, f"it has a marker that cannot be evaluated: {str(error)[:200]}") from error
        if candidate.extra:
            exact = SpecifierSet(f"=={candidate.version}")
            found.append(Want(candidate.name, "", exact, f"{candidate.name}=={candidate.version}"))
        self._prefetch([want.name for want in found], ())
        return found

    def _fitting(self, page: ProjectPage, specifier: SpecifierSet, extra: str) -> Iterator[Candidate]:
        rejections = self.considered.setdefault(page.name, {})
        pin = self._pins.get(page.name)
        pinned = is_pinned(specifier)
        matching = set(specifier.filter(page.releases, prereleases=True if self._prereleases else None))
        for version, files in page.releases.items():
            if version not in matching:
                why = (
                    "it is a pre-release" if specifier.contains(version, prereleases=True) else "it is not in the range"
                )
                rejections.setdefault(str(version), why)
                continue
            if pin is not None and version != pin:
                rejections[str(version)] = f"{pin} is already chosen"
                continue
            usable = [file for file in files if pinned or not file.yanked]
            left = [file for file in usable if file.filename not in self._excluded]
            best = best_file(left, self._target)
            if best is not None:
                rejections[str(version)] = ""
                yield Candidate(page.name, version, extra, best)
            elif not usable:
                rejections[str(version)] = "it is yanked"
            elif not left:
                rejections[str(version)] = self._excluded[usable[0].filename]
            elif not any(self._target.allows(file.requires_python) for file in left):
                rejections[str(version)] = f"it needs Python {left[0].requires_python}"
            else:
                rejections[str(version)] = "it has no wheel for this target and no sdist"
