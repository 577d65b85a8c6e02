"""Resolution: the files that a guest without a network needs, found without running any package's code on the host.

resolvelib decides; ``IndexProvider`` tells it what there is. An sdist whose metadata is not static, or whose backend
may ask for more at build time, is handed to ``prepare``: the caller runs it in a fresh guest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from pyti.config import IndexSettings
from pyti.errors import MalformedArchive, NoSuchDistribution, ResolutionImpossible
from pyti.index.archive import ArchiveSummary, check_archive
from pyti.index.build_requirements import build_requirements
from pyti.index.cache import digest_file
from pyti.index.client import IndexClient
from pyti.index.downloads import Downloads
from pyti.index.location import without_secrets
from pyti.index.lock import LockedFile, Resolution, Role, Statistics, lock_text
from pyti.index.metadata import StaticMetadata, dependency_groups, parse_metadata, pyproject, read_metadata
from pyti.index.page import IndexFile
from pyti.index.provider import Candidate, Unusable, Want, wants
from pyti.index.solver import Solution, Solver
from pyti.index.sources import Fetched, Sources
from pyti.index.target import Target
from pyti.messages import Distribution, DistributionKind

__all__ = ["Prepare", "PreparedMetadata", "resolve"]

TEST_NAMES = ("test", "tests", "testing")
"""The extras and groups that projects by custom keep their test requirements in."""
MAX_PREPARES = 4
"""Times that one sdist may come back from the guest with new build requirements."""
MAX_NESTING = 4
"""Sdists that are needed to build sdists that are needed to build …"""


@dataclass(frozen=True)
class PreparedMetadata:
    """What a guest says of an sdist: its METADATA, and what its build needs.

    ``missing`` are the requirements without which the metadata could not be prepared; ``metadata`` is empty then.
    """

    metadata: bytes
    build_requires: Sequence[str] = ()
    missing: Sequence[str] = ()


Prepare = Callable[[Distribution, Path, Sequence[Path]], Awaitable[PreparedMetadata]]
"""Prepare an sdist's metadata in a fresh guest that is given these wheels and sdists."""


@dataclass
class _Sdist:
    """What was found out about one sdist."""

    metadata: StaticMetadata
    requires: tuple[str, ...]
    complete: bool


async def resolve(
    root: Distribution,
    root_path: Path,
    *,
    target: Target,
    client: IndexClient,
    downloads: Downloads,
    prepare: Prepare,
    settings: IndexSettings,
    test_extras: bool = True,
    progress: Callable[[str], None] | None = None,
    build_requires: Sequence[str] = (),
) -> Resolution:
    """Find, download and lock everything that ``root`` needs on ``target``.

    ``build_requires`` adds what an earlier build of the root found missing. Raises ``ResolutionImpossible`` with an
    explanation, ``MalformedArchive``, ``TooLarge``, and the index's and downloads' errors.
    """
    async with Sources(client, downloads) as sources:
        work = _Resolving(sources, target, prepare, settings, progress or (lambda _: None))
        return await work.run(root, root_path, build_requires, client, test_extras=test_extras)


class _Resolving:
    """One resolution from the root to the lock."""

    def __init__(
        self,
        sources: Sources,
        target: Target,
        prepare: Prepare,
        settings: IndexSettings,
        progress: Callable[[str], None],
    ) -> None:
        self.sources = sources
        self.target = target
        self.prepare = prepare
        self.progress = progress
        self.notes: dict[str, None] = {}
        self.sdists: dict[str, _Sdist] = {}
        self.houses: dict[tuple[str, ...], dict[str, LockedFile]] = {}
        self.prepared = 0
        self.solver = Solver(sources, target, settings, self.note)

    async def run(
        self, root: Distribution, path: Path, build_requires: Sequence[str], client: IndexClient, *, test_extras: bool
    ) -> Resolution:
        """Resolve run time, tests and builds, in that order."""
        summary = await asyncio.to_thread(check_archive, path, root.kind)
        digest, size = await asyncio.to_thread(digest_file, path), path.stat().st_size
        fetched = Fetched(path, digest, size, summary)
        name = canonicalize_name(root.name)
        if root.kind is DistributionKind.SDIST:
            known = await self._sdist(root, fetched, (), extra=tuple(build_requires), guest=True)
            metadata = known.metadata
        else:
            metadata = await asyncio.to_thread(_static, path, summary)
        if (metadata.name, metadata.version) != (name, Version(root.version)):
            raise MalformedArchive(f"{root.filename} holds {metadata.name} {metadata.version}.")
        if not self.target.allows(metadata.requires_python):
            raise ResolutionImpossible(
                f"{name} {metadata.version} needs Python {metadata.requires_python}, "
                f"the image has {self.target.python_full_version}.",
                remedy="Choose an image with another Python, or another version.",
            )
        self.progress(f"resolving {name} {metadata.version}")
        demands = _root_wants(metadata, root.extras)
        unknown = {canonicalize_name(extra) for extra in root.extras} - set(metadata.extras)
        for extra in sorted(unknown):
            self.note(f"{name} {metadata.version} has no extra named {extra}")
        base = await self.solve(demands, str(root.filename), root=metadata, guest=True)
        tests, extras, groups = await self._tests(metadata, summary, root, base, wanted=test_extras)
        own = LockedFile(
            name=name,
            version=str(metadata.version),
            filename=root.filename,
            kind=root.kind,
            url=root.url,
            sha256=digest,
            size=size,
            path=path,
            role="root",
            uploaded=root.uploaded,
            requires_python=metadata.requires_python,
        )
        files = {digest: own}
        await self._take(base, "runtime", files, ())
        await self._take(tests, "test", files, ())
        if root.kind is DistributionKind.SDIST:
            _merge(files, await self._house(self.sdists[digest].requires, (name,)))
        locked = tuple(files.values())
        index = without_secrets(client.transport.location.root)
        return Resolution(
            files=locked,
            lock=await asyncio.to_thread(lock_text, locked, self.target, extras, index),
            test_extras=extras,
            test_requirements=groups,
            notes=tuple(self.notes),
            stats=Statistics(self.solver.tried, self.sources.pages_read, self.solver.rounds, self.prepared),
        )

    def note(self, text: str) -> None:
        """Keep something that the report should tell, once."""
        self.notes[text] = None

    async def solve(
        self,
        demands: Sequence[Want],
        asked_by: str,
        *,
        root: StaticMetadata | None = None,
        pins: Mapping[NormalizedName, Version] | None = None,
        guest: bool,
        nested: tuple[str, ...] = (),
    ) -> Solution:
        """Resolve a set of requirements; ``guest`` tells whether sdists may be asked in one."""
        return await self.solver.solve(
            demands,
            asked_by,
            metadata=lambda candidate: self._candidate_metadata(candidate, nested, guest=guest),
            root=root,
            pins=pins or {},
            lasting=guest,
        )

    async def _candidate_metadata(
        self, candidate: Candidate, nested: tuple[str, ...], *, guest: bool
    ) -> StaticMetadata:
        """Get a dependency's metadata. Raises ``Unusable``."""
        file = candidate.file
        if file is None:
            raise Unusable(candidate, "it is not on the index")
        if file.kind is DistributionKind.WHEEL:
            return await self.sources.wheel_metadata(file)
        if file.name in nested or len(nested) >= MAX_NESTING:
            raise Unusable(candidate, "it is an sdist that is needed to build itself")
        try:
            fetched = await self.sources.fetched(file)
            known = await self._sdist(file.distribution(), fetched, (*nested, file.name), guest=guest)
        except (MalformedArchive, NoSuchDistribution, ResolutionImpossible) as error:
            raise Unusable(replace(candidate, extra=""), error.message) from error
        if (known.metadata.name, known.metadata.version) != (file.name, file.version):
            raise Unusable(candidate, f"its metadata says {known.metadata.name} {known.metadata.version}")
        return known.metadata

    async def _sdist(
        self,
        dist: Distribution,
        fetched: Fetched,
        nested: tuple[str, ...],
        *,
        guest: bool,
        extra: tuple[str, ...] = (),
    ) -> _Sdist:
        """Find out an sdist's metadata and build requirements, in a guest if need be (and allowed)."""
        if (known := self.sdists.get(fetched.sha256)) is not None:
            return known
        needs = build_requirements(fetched.summary, dist.filename)
        metadata = await asyncio.to_thread(read_metadata, fetched.path, fetched.summary)
        requires = tuple(dict.fromkeys((*needs.requires, *extra)))
        if metadata is None or not needs.complete:
            if not guest:
                raise MalformedArchive("its metadata or build requirements are not static: a guest would have to tell")
            metadata, requires = await self._ask_guest(dist, fetched.path, requires, nested, metadata)
        known = self.sdists[fetched.sha256] = _Sdist(metadata, requires, complete=True)
        return known

    async def _ask_guest(
        self,
        dist: Distribution,
        path: Path,
        requires: tuple[str, ...],
        nested: tuple[str, ...],
        static: StaticMetadata | None,
    ) -> tuple[StaticMetadata, tuple[str, ...]]:
        """Let the caller prepare the metadata in a guest, with what it turns out to need."""
        for _ in range(MAX_PREPARES):
            house = await self._house(requires, (*nested, dist.name))
            self.progress(f"preparing the metadata of {dist.filename} in a machine")
            self.prepared += 1
            prepared = await self.prepare(dist, path, [file.path for file in house.values()])
            asked = _checked_requirements((*prepared.build_requires, *prepared.missing), dist.filename)
            more = [text for text in asked if text not in requires]
            requires = (*requires, *more)
            if prepared.metadata and not prepared.missing:
                said = await asyncio.to_thread(parse_metadata, prepared.metadata, dist.filename)
                return static or said, requires
            if not more:
                raise ResolutionImpossible(
                    f"the metadata of {dist.filename} cannot be prepared: its build backend gave none"
                    + (f" and misses {', '.join(prepared.missing)[:300]}." if prepared.missing else ".")
                )
        raise ResolutionImpossible(
            f"{dist.filename} still asks for more build requirements after {MAX_PREPARES} machines: "
            f"{', '.join(requires)[:500]}."
        )

    async def _house(self, requires: tuple[str, ...], nested: tuple[str, ...]) -> dict[str, LockedFile]:
        """Resolve and download build requirements, with those of the sdists among them; by sha256."""
        key = tuple(sorted(set(requires)))
        if (known := self.houses.get(key)) is not None:
            return known
        files: dict[str, LockedFile] = {}
        if key:
            demands = wants([Requirement(text) for text in key], self.target)
            solution = await self.solve(demands, f"the build of {nested[-1]}", guest=True, nested=nested)
            await self._take(solution, "build", files, nested)
        self.houses[key] = files
        return files

    async def _take(
        self, solution: Solution, role: Role, files: dict[str, LockedFile], nested: tuple[str, ...]
    ) -> None:
        """Download a solution's files at once and add them, with what its sdists need to be built."""
        chosen = [candidate.file for candidate in solution.chosen.values() if candidate.file is not None]
        for file in chosen:
            self.sources.start(file)
        for file in chosen:
            fetched = await self.sources.fetched(file)
            _merge(files, {fetched.sha256: _locked(file, fetched, role)})
            if file.kind is DistributionKind.SDIST:
                known = await self._sdist(file.distribution(), fetched, (*nested, file.name), guest=True)
                _merge(files, await self._house(known.requires, (*nested, file.name)))

    async def _tests(
        self, metadata: StaticMetadata, summary: ArchiveSummary, root: Distribution, base: Solution, *, wanted: bool
    ) -> tuple[Solution, tuple[str, ...], tuple[str, ...]]:
        """Resolve what the root's tests want beside the base, which stays as it is; else leave it out and say so."""
        extras = tuple(extra for extra in metadata.extras if extra in TEST_NAMES)
        groups: tuple[str, ...] = ()
        if root.kind is DistributionKind.SDIST:
            groups = dependency_groups(pyproject(summary, root.filename), TEST_NAMES)
        pins = {name: candidate.version for name, candidate in base.chosen.items()}
        tries = [(extras, groups), (extras, ()), ((), groups)] if extras and groups else [(extras, groups)]
        for some_extras, some_groups in tries:
            if not wanted or not (some_extras or some_groups):
                continue
            try:
                demands = _root_wants(metadata, (*root.extras, *some_extras))
                demands += wants([Requirement(text) for text in some_groups], self.target)
                solution = await self.solve(
                    demands, f"the tests of {metadata.name}", root=metadata, pins=pins, guest=False
                )
            except (ResolutionImpossible, InvalidRequirement) as error:
                names = ", ".join([*some_extras, *some_groups])
                self.note(f"the test requirements ({names[:200]}) were left out: {str(error)[:1000]}")
                continue
            return solution, some_extras, some_groups
        return Solution({}), (), ()


def _static(path: Path, summary: ArchiveSummary) -> StaticMetadata:
    metadata = read_metadata(path, summary)
    if metadata is None:
        raise MalformedArchive(f"{path.name} has no static metadata.")
    return metadata


def _root_wants(metadata: StaticMetadata, extras: Sequence[str]) -> list[Want]:
    """Require the root itself with those of the extras that it has."""
    asked = sorted({canonicalize_name(extra) for extra in extras} & set(metadata.extras))
    text = f"{metadata.name}[{','.join(asked)}]" if asked else metadata.name
    return [Want(metadata.name, extra, SpecifierSet(), text) for extra in ("", *asked)]


def _checked_requirements(texts: Sequence[str], filename: str) -> list[str]:
    """Check what a guest says that a build needs. Raises ``ResolutionImpossible``: the guest runs hostile code."""
    checked: list[str] = []
    for text in texts[:500]:
        try:
            requirement = Requirement(text[:1000])
        except InvalidRequirement as error:
            raise ResolutionImpossible(
                f"{filename} asks for the build requirement {text[:200]!r}, which is none."
            ) from error
        checked.append(str(requirement))
    return checked


def _locked(file: IndexFile, fetched: Fetched, role: Role) -> LockedFile:
    return LockedFile(
        name=file.name,
        version=str(file.version),
        filename=file.filename,
        kind=file.kind,
        url=file.url,
        sha256=fetched.sha256,
        size=fetched.size,
        path=fetched.path,
        role=role,
        uploaded=file.uploaded,
        requires_python=file.requires_python,
    )


def _merge(files: dict[str, LockedFile], more: Mapping[str, LockedFile]) -> None:
    """Add files; one that is there already keeps its role, and remembers that a build needs it too."""
    for digest, file in more.items():
        present = files.get(digest)
        if present is None:
            files[digest] = file
        elif file.role == "build" and present.role != "build" and not present.also_build:
            files[digest] = replace(present, also_build=True)
