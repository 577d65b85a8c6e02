"""The package index: what there is, which of it to take, and getting it here safely.

This room asks one simple API for projects' pages, chooses releases and files for a guest's interpreter, downloads and
verifies them into a content-addressed cache, checks archives before anything opens them, resolves and locks what a
distribution needs, and tells of new uploads. It never runs, imports or builds anything that it downloads: where only
running tells, its caller is asked to do that in a guest.

Start with ``IndexClient`` and ``select_distributions``, then ``Downloads`` and ``resolve``.
"""

from pyti.index.archive import DEFAULT_LIMITS, ArchiveLimits, ArchiveSummary, check_archive
from pyti.index.build_requirements import BuildRequirements, build_requirements
from pyti.index.client import IndexClient, Validators
from pyti.index.downloads import Downloads, digest_of
from pyti.index.feed import Batch, Cursor, ExplicitFeed, Feed, WatchListFeed, WatchListSource
from pyti.index.local import local_distribution
from pyti.index.location import IndexLocation, index_url, locate, without_secrets
from pyti.index.lock import LockedFile, Resolution, Statistics
from pyti.index.metadata import StaticMetadata, read_metadata, sdist_metadata
from pyti.index.page import IndexFile, ProjectPage
from pyti.index.resolver import Prepare, PreparedMetadata, resolve
from pyti.index.selection import parse_requirement, select_distributions
from pyti.index.target import Target

__all__ = [
    "DEFAULT_LIMITS",
    "ArchiveLimits",
    "ArchiveSummary",
    "Batch",
    "BuildRequirements",
    "Cursor",
    "Downloads",
    "ExplicitFeed",
    "Feed",
    "IndexClient",
    "IndexFile",
    "IndexLocation",
    "LockedFile",
    "Prepare",
    "PreparedMetadata",
    "ProjectPage",
    "Resolution",
    "StaticMetadata",
    "Statistics",
    "Target",
    "Validators",
    "WatchListFeed",
    "WatchListSource",
    "build_requirements",
    "check_archive",
    "digest_of",
    "index_url",
    "local_distribution",
    "locate",
    "parse_requirement",
    "read_metadata",
    "resolve",
    "sdist_metadata",
    "select_distributions",
    "without_secrets",
]
