"""A distribution from a file of the user's, checked by name and by content."""

from __future__ import annotations

from pathlib import Path

from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename

from pyti.errors import MalformedArchive, UsageError
from pyti.index.archive import DEFAULT_LIMITS, ArchiveLimits, check_archive
from pyti.index.cache import digest_file
from pyti.index.metadata import read_metadata
from pyti.index.page import FILENAME
from pyti.messages import Distribution, DistributionKind

__all__ = ["local_distribution"]


def local_distribution(path: Path, limits: ArchiveLimits = DEFAULT_LIMITS) -> Distribution:
    """Describe a wheel or sdist on disk; reads the whole file, so call it in a thread.

    ``url`` and ``blob`` are unset: the caller hands the bytes over. Raises ``UsageError`` when there is no such file
    or its name is none of a distribution, ``MalformedArchive`` when its content is not what its name promises.
    """
    shown = str(path)
    if not path.exists():
        raise UsageError(f"there is no file {shown}.", remedy="Check the path given to --file.")
    if path.is_dir():
        raise UsageError(
            f"{shown} is a folder, not a distribution file.", remedy="Build one first: python -m build, then --file."
        )
    if not path.is_file():
        raise UsageError(f"{shown} is not a regular file.")
    name: str
    try:
        if not FILENAME.fullmatch(path.name):
            raise InvalidSdistFilename("it has characters that no distribution's name has")
        if path.name.endswith(".whl"):
            name, version, _, _ = parse_wheel_filename(path.name)
            kind = DistributionKind.WHEEL
        else:
            name, version = parse_sdist_filename(path.name)
            kind = DistributionKind.SDIST
    except (InvalidWheelFilename, InvalidSdistFilename) as error:
        raise UsageError(
            f"{path.name!r} is not the name of a wheel or sdist: {error}",
            remedy="Names are NAME-VERSION.tar.gz and NAME-VERSION-PYTHON-ABI-PLATFORM.whl; keep the built name.",
        ) from error
    try:
        summary = check_archive(path, kind, limits)
        metadata = read_metadata(path, summary)
        size, digest = path.stat().st_size, digest_file(path)
    except OSError as error:
        raise UsageError(f"cannot read {shown}: {error.strerror}") from error
    if metadata is not None and (metadata.name, metadata.version) != (name, version):
        raise MalformedArchive(
            f"{path.name} holds {metadata.name} {metadata.version}.", remedy="Keep the name that the build gave it."
        )
    return Distribution(
        name=name,
        version=str(version),
        filename=path.name,
        kind=kind,
        sha256=digest,
        size=size,
        requires_python=metadata.requires_python[:200] if metadata and metadata.requires_python else None,
    )
