"""From a requirement to the files of one release: what an installer would take, or what the user asks for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import BuildTag
from packaging.version import Version

from pyti.errors import NoSuchDistribution, UsageError
from pyti.index.client import IndexClient
from pyti.index.page import IndexFile, ProjectPage
from pyti.index.target import Target
from pyti.messages import Distribution, DistributionKind, FileChoice

__all__ = ["Selected", "best_file", "is_pinned", "parse_requirement", "select_distributions", "select_release"]

MAX_REQUIREMENT = 1000
SHOWN = 5
"""Versions named in a message."""
LOOKS_LIKE_PATH = re.compile(r"^[./~]|[/\\]|\.(whl|zip|tar\.gz|tgz)$", re.IGNORECASE)


@dataclass(frozen=True)
class Selected:
    """A release that may be taken, and why the newer or other ones may not."""

    version: Version
    files: tuple[IndexFile, ...]
    rejected: dict[Version, str] = field(default_factory=dict)


def parse_requirement(text: str) -> Requirement:
    """Read a user's requirement (``name[extra]>=1``). Raises ``UsageError`` with the remedy when it is not one."""
    text = text.strip()
    if len(text) > MAX_REQUIREMENT:
        raise UsageError(f"a requirement longer than {MAX_REQUIREMENT} characters is not believed.")
    if not re.match(r"^[A-Za-z0-9._\[\], -]+\s*@", text) and LOOKS_LIKE_PATH.search(text.partition(";")[0]):
        raise UsageError(f"{text!r} looks like a file, not a requirement.", remedy=f"To test a file: --file {text}")
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        raise UsageError(
            f"{text!r} is not a requirement: {str(error).splitlines()[0]}",
            remedy="Write a project's name, or 'name==1.2', 'name[extra]>=1,<2'.",
        ) from error
    if requirement.url:
        raise UsageError(
            f"{requirement.name} is required from a URL; only the index and local files are tested.",
            remedy="Download the file yourself and give it with --file.",
        )
    return requirement


def is_pinned(specifier: SpecifierSet) -> bool:
    """Tell whether exactly one release is meant (PEP 592: only then may it be a yanked one)."""
    return any(
        part.operator == "===" or (part.operator == "==" and not part.version.endswith(".*")) for part in specifier
    )


def best_file(files: Iterable[IndexFile], target: Target) -> IndexFile | None:
    """Pick what an installer takes: the wheel with the best tag, then the highest build number, else the sdist."""
    best: IndexFile | None = None
    best_key: tuple[int, int, BuildTag] | None = None
    for file in files:
        if not target.allows(file.requires_python):
            continue
        if file.kind is DistributionKind.SDIST:
            key: tuple[int, int, BuildTag] = (0, 0 if file.filename.endswith(".zip") else 1, ())
        else:
            rank = target.rank(file.tags)
            if rank is None:
                continue
            key = (1, -rank, file.build)
        if best_key is None or key > best_key:
            best, best_key = file, key
    return best


def _choose(files: Sequence[IndexFile], choice: FileChoice, target: Target) -> tuple[tuple[IndexFile, ...], str]:
    """Apply the user's choice to one release's files; the text says why nothing is left."""
    fitting = [file for file in files if target.allows(file.requires_python)]
    if not fitting:
        wanted = next((file.requires_python for file in files if file.requires_python), "another Python")
        return (), f"needs Python {wanted}, the image has {target.python_full_version}"
    sdists = [file for file in fitting if file.kind is DistributionKind.SDIST]
    wheels = [file for file in fitting if file.kind is DistributionKind.WHEEL]
    if choice is FileChoice.ALL:
        return tuple(files), ""
    chosen = best_file(
        sdists if choice is FileChoice.SDIST else wheels if choice is FileChoice.WHEEL else fitting, target
    )
    if chosen is not None:
        return (chosen,), ""
    if choice is FileChoice.SDIST:
        return (), "no sdist, only wheels: use --wheel"
    if sdists:
        return (), "no wheel for this target, an sdist exists: use --sdist"
    return (), f"no wheel for this target ({target.tags[0]}) and no sdist"


def select_release(
    page: ProjectPage, requirement: Requirement, choice: FileChoice, target: Target, *, prereleases: bool = False
) -> Selected:
    """Choose the newest release on ``page`` that fits. Raises ``NoSuchDistribution`` telling what exists instead."""
    specifier = requirement.specifier
    known = list(page.releases)
    allowed = list(specifier.filter(known, prereleases=True if prereleases else None))
    pinned = is_pinned(specifier)
    rejected: dict[Version, str] = {}
    for version in sorted(allowed, reverse=True):
        files = page.releases[version]
        live = files if pinned else tuple(file for file in files if not file.yanked)
        if not live:
            reason = next((file.yanked_reason for file in files if file.yanked_reason), "")
            rejected[version] = f"yanked{f' ({reason[:200]})' if reason else ''}, pin it with == to test it"
            continue
        chosen, why = _choose(live, choice, target)
        if chosen:
            return Selected(version, chosen, rejected)
        rejected[version] = why
    raise NoSuchDistribution(_nothing(page, requirement, rejected), remedy=_remedy(page, rejected))


def _nothing(page: ProjectPage, requirement: Requirement, rejected: dict[Version, str]) -> str:
    if not page.files:
        return f"the index lists no wheel and no sdist of {page.name}."
    if rejected:
        grouped: dict[str, list[str]] = {}
        for version, why in rejected.items():
            grouped.setdefault(why, []).append(str(version))
        reasons = "; ".join(f"{_listed(versions)}: {why}" for why, versions in list(grouped.items())[:SHOWN])
        return f"no release of {requirement} can be tested: {reasons}."
    newest = ", ".join(str(version) for version in list(page.releases)[:SHOWN])
    return f"no release of {page.name} matches {requirement.specifier}; the newest are {newest}."


def _listed(versions: list[str]) -> str:
    more = f" and {len(versions) - SHOWN} more" if len(versions) > SHOWN else ""
    return ", ".join(versions[:SHOWN]) + more


def _remedy(page: ProjectPage, rejected: dict[Version, str]) -> str:
    if rejected:
        return "Choose another version, another kind of file, or an image with another Python."
    return f"Choose one of the {len(page.releases)} releases." if page.files else ""


async def select_distributions(
    client: IndexClient, requirement: str, choice: FileChoice, target: Target
) -> list[Distribution]:
    """Find the files to test for a requirement: one, or with ``FileChoice.ALL`` every file of the release.

    Raises ``UsageError`` for a requirement that is none, ``NoSuchDistribution`` when nothing fits (it tells what
    exists), and the index's errors.
    """
    wanted = parse_requirement(requirement)
    if not target.applies(wanted.marker):
        raise UsageError(f"{requirement!r} does not apply to this target: its marker is false.")
    page = await client.project(wanted.name)
    selected = select_release(page, wanted, choice, target, prereleases=client.settings.prereleases)
    return [file.distribution(wanted.extras) for file in selected.files]
