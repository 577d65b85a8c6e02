"""A project's page on the simple API: JSON (PEP 691, 700) or HTML (PEP 503), checked before anything believes it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from urllib.parse import unquote

import msgspec
from packaging.tags import Tag
from packaging.utils import (
    BuildTag,
    InvalidSdistFilename,
    InvalidWheelFilename,
    NormalizedName,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version
from pypi_simple import ProjectPage as HtmlPage
from yarl import URL

from pyti.errors import IndexLied
from pyti.index.location import without_secrets
from pyti.messages import Distribution, DistributionKind

__all__ = ["ACCEPT", "FILENAME", "IndexFile", "ProjectPage", "parse_filename", "parse_page"]

JSON_TYPE = "application/vnd.pypi.simple.v1+json"
ACCEPT = f"{JSON_TYPE}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
HTML_TYPES = frozenset({"text/html", "application/vnd.pypi.simple.v1+html"})
FILENAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,254}")
"""The same characters that ``messages.Distribution`` allows: no separators, no control characters, no leading dot."""
HEX_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
MAX_FILES = 200_000
"""The largest projects of public indexes have some tens of thousands of files."""
MAX_URL = 4096
MAX_SPECIFIER = 200


@dataclass(frozen=True, slots=True)
class IndexFile:
    """One file of a project, as its page tells it.

    Slots, and versions and tags shared among files: pages have thousands, and the garbage collector's walk over them
    was seen to stop everything for 0.1 s.
    """

    name: NormalizedName
    version: Version
    filename: str
    kind: DistributionKind
    url: str
    sha256: str | None = None
    size: int | None = None
    requires_python: str | None = None
    yanked: bool = False
    yanked_reason: str = ""
    uploaded: float | None = None
    core_metadata: bool = False
    """The index offers the wheel's METADATA beside it (PEP 658, 714)."""
    core_metadata_sha256: str | None = None
    tags: frozenset[Tag] = frozenset()
    build: BuildTag = ()

    def distribution(self, extras: Iterable[str] = ()) -> Distribution:
        """Make the message that names this file."""
        return Distribution(
            name=self.name,
            version=str(self.version),
            filename=self.filename,
            kind=self.kind,
            sha256=self.sha256,
            size=self.size,
            url=self.url,
            extras=tuple(sorted(extras)),
            yanked=self.yanked,
            yanked_reason=self.yanked_reason,
            requires_python=self.requires_python,
            uploaded=self.uploaded,
        )


@dataclass(frozen=True)
class ProjectPage:
    """All the wheels and sdists of one project; ``ignored`` names what else its page listed (at most 20 of them)."""

    name: NormalizedName
    url: str
    files: tuple[IndexFile, ...]
    ignored: tuple[str, ...] = ()

    @cached_property
    def releases(self) -> Mapping[Version, tuple[IndexFile, ...]]:
        """The files of each version, the newest version first."""
        found: dict[Version, list[IndexFile]] = {}
        for file in self.files:
            found.setdefault(file.version, []).append(file)
        return {version: tuple(found[version]) for version in sorted(found, reverse=True)}


class _JsonFile(msgspec.Struct, rename="kebab", gc=False):
    """The keys of PEP 691, 700, 708 and 714 that we use; the rest is ignored."""

    filename: str
    url: str
    hashes: dict[str, str] = {}
    requires_python: str | None = None
    yanked: bool | str | None = False
    size: int | None = None
    upload_time: datetime | None = None
    core_metadata: bool | dict[str, str] | None = None
    dist_info_metadata: bool | dict[str, str] | None = None


class _JsonMeta(msgspec.Struct, rename="kebab", frozen=True):
    api_version: str = "1.0"


class _JsonPage(msgspec.Struct):
    files: list[_JsonFile]
    name: str | None = None
    meta: _JsonMeta = _JsonMeta()


_DECODER = msgspec.json.Decoder(_JsonPage, strict=True)


def parse_filename(filename: str, project: str) -> tuple[Version, DistributionKind, frozenset[Tag], BuildTag]:
    """Take apart the file name of a wheel or an sdist of ``project``.

    Raises ``ValueError`` when it is neither; ``LookupError`` when it is another project's.
    """
    if FILENAME.fullmatch(filename) is None:
        raise ValueError("not a safe file name")
    name: str
    try:
        if filename.endswith(".whl"):
            name, version, build, tags = parse_wheel_filename(filename)
            kind = DistributionKind.WHEEL
        else:
            name, version = parse_sdist_filename(filename)
            kind, build, tags = DistributionKind.SDIST, (), frozenset()
    except (InvalidWheelFilename, InvalidSdistFilename) as error:
        raise ValueError(str(error)) from error
    if name != canonicalize_name(project):
        raise LookupError(f"{filename} is a file of {name}, not of {project}")
    return version, kind, tags, build


def parse_page(project: str, body: bytes, content_type: str, base: str) -> ProjectPage:
    """Read a page's body; ``base`` is the URL that it came from, which its links may be relative to.

    Files that are neither wheel nor sdist (eggs, installers) are left out, and so are those whose names say another
    project: never taken, but old pages hold a few by misnaming. Raises ``IndexLied`` for a wrong content type, a page
    of another project or version of the API, one with other projects' files only, and links that are not HTTP.
    """
    media = content_type.partition(";")[0].strip().lower()
    try:
        if media == JSON_TYPE or media == "application/json":
            raw = _read_json(project, body)
        elif media in HTML_TYPES:
            raw = _read_html(project, body, base)
        else:
            raise IndexLied(f"the index answered for {project} with {media[:80]!r}, which is no simple API page.")
    except (ValueError, TypeError, RecursionError) as error:
        raise IndexLied(f"the index's page of {project} is malformed: {str(error)[:300]}") from error
    if len(raw) > MAX_FILES:
        raise IndexLied(f"the index lists {len(raw)} files for {project}; more than {MAX_FILES} are not believed.")
    name = canonicalize_name(project)
    secure = base.startswith("https:")
    files: dict[str, IndexFile] = {}
    versions: dict[Version, Version] = {}
    tag_sets: dict[frozenset[Tag], frozenset[Tag]] = {}
    ignored: list[str] = []
    foreign: list[str] = []
    for entry in raw:
        try:
            version, kind, tags, build = parse_filename(entry.filename, name)
        except LookupError:
            foreign.append(entry.filename[:255])
            continue
        except ValueError:
            ignored.append(entry.filename[:255])
            continue
        if entry.filename in files:
            raise IndexLied(f"the index's page of {name} lists {entry.filename} twice.")
        version, tags = versions.setdefault(version, version), tag_sets.setdefault(tags, tags)
        files[entry.filename] = _checked(entry, name, version, kind, tags, build, base, secure=secure)
    if foreign and not files:
        raise IndexLied(f"the index's page of {name} lists other projects' files only, such as {foreign[0]}.")
    return ProjectPage(
        name=name, url=without_secrets(base), files=tuple(files.values()), ignored=tuple((foreign + ignored)[:20])
    )


def _read_json(project: str, body: bytes) -> list[_JsonFile]:
    page = _DECODER.decode(body)
    if page.meta.api_version.partition(".")[0] != "1":
        raise ValueError(f"version {page.meta.api_version[:20]} of the simple API is not known")
    if page.name is not None and canonicalize_name(page.name) != canonicalize_name(project):
        raise ValueError(f"it calls itself the page of {page.name[:80]!r}")
    return page.files


def _read_html(project: str, body: bytes, base: str) -> list[_JsonFile]:
    page = HtmlPage.from_html(project, body, base_url=base, from_encoding="utf-8")
    return [
        _JsonFile(
            filename=package.filename,
            url=package.url,
            hashes=package.digests,
            requires_python=package.requires_python,
            yanked=(package.yanked_reason or True) if package.is_yanked else False,
            core_metadata=package.metadata_digests or package.has_metadata,
        )
        for package in page.packages
    ]


def _checked(
    entry: _JsonFile,
    name: NormalizedName,
    version: Version,
    kind: DistributionKind,
    tags: frozenset[Tag],
    build: BuildTag,
    base: str,
    *,
    secure: bool,
) -> IndexFile:
    """Check what the page says of one file. Raises ``IndexLied``."""
    try:
        url = URL(base).join(URL(entry.url))
        uploaded = entry.upload_time.timestamp() if entry.upload_time else None
    except (ValueError, OverflowError) as error:
        raise IndexLied(f"the index's URL or date of {entry.filename} is none: {str(error)[:200]}") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise IndexLied(f"the index's URL of {entry.filename} is neither http nor https.")
    if secure and url.scheme != "https":
        raise IndexLied(f"the index's URL of {entry.filename} leaves TLS.")
    url = url.with_fragment(None)
    if len(str(url)) > MAX_URL:
        raise IndexLied(f"the index's URL of {entry.filename} is longer than {MAX_URL} characters.")
    if unquote(url.raw_path).rpartition("/")[2] != entry.filename:
        raise IndexLied(f"the index's URL of {entry.filename} ends in another file name.")
    if entry.size is not None and entry.size < 0:
        raise IndexLied(f"the index gives {entry.filename} a negative size.")
    digest = entry.hashes.get("sha256")
    if digest is not None and HEX_SHA256.fullmatch(digest) is None:
        raise IndexLied(f"the index's sha256 of {entry.filename} is no sha256.")
    offered: Any = entry.core_metadata if entry.core_metadata is not None else entry.dist_info_metadata
    metadata_digest = offered.get("sha256") if isinstance(offered, dict) else None
    if metadata_digest is not None and HEX_SHA256.fullmatch(metadata_digest) is None:
        metadata_digest = None
    requires = entry.requires_python or None
    return IndexFile(
        name=name,
        version=version,
        filename=entry.filename,
        kind=kind,
        url=str(url),
        sha256=digest.lower() if digest else None,
        size=entry.size,
        requires_python=requires if requires is None or len(requires) <= MAX_SPECIFIER else None,
        yanked=entry.yanked not in (False, None),
        yanked_reason=entry.yanked[:4096] if isinstance(entry.yanked, str) else "",
        uploaded=uploaded,
        core_metadata=bool(offered) or isinstance(offered, dict),
        core_metadata_sha256=metadata_digest.lower() if metadata_digest else None,
        tags=tags,
        build=build,
    )
