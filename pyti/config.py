"""Settings: a TOML file, then the environment, decoded and checked by msgspec.

``PYTI_BUS__URL=…`` overrides ``url`` in the table ``[bus]``; the part before ``__`` is the table.
A value from the environment is read as TOML where it parses as such, else as text.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from pyti.errors import ConfigError

__all__ = [
    "BusSettings",
    "IndexSettings",
    "MachinesSettings",
    "MasterSettings",
    "Settings",
    "SlaveSettings",
    "StoreSettings",
    "default_home",
    "load",
]

Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
Size = Annotated[int, Meta(ge=1)]

MIB = 1024 * 1024


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of every table of settings: a misspelt key is an error, not silence."""


class BusSettings(Table, frozen=True, kw_only=True):
    """How master, slaves and clients reach each other."""

    url: str = "inprocess:"
    """``inprocess:`` for one process, or ``amqp[s]://user:password@host:port/vhost``."""
    namespace: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,30}$")] = "pyti"
    """The first part of every exchange's and queue's name."""
    connect_timeout_s: Positive = 20.0
    confirm_timeout_s: Positive = 20.0
    request_timeout_s: Positive = 15.0


class IndexSettings(Table, frozen=True, kw_only=True):
    """Which package index to ask, and the bounds of what it may answer."""

    url: str | None = None
    """The simple API's root; unset means what pip is configured to use."""
    timeout_s: Positive = 30.0
    """Longest silence on one connection."""
    attempts: Count = 4
    concurrency: Count = 8
    max_page_bytes: Size = 64 * MIB
    max_file_bytes: Size = 2048 * MIB
    max_job_bytes: Size = 4096 * MIB
    """All the files of one job's wheelhouse together."""
    max_candidates: Count = 2000
    """Resolution steps before the resolver gives up."""
    prereleases: bool = False


class MachinesSettings(Table, frozen=True, kw_only=True):
    """Where machines come from."""

    uri: str | None = None
    """libvirt's URI; unset means ``qemu:///system`` for root, else ``qemu:///session``."""
    image: str = "bookworm"
    accel: Literal["auto", "kvm", "tcg"] = "auto"
    warm: Annotated[int, Meta(ge=0, le=64)] = 0
    """Machines kept cloned and connected ahead of need."""
    cold_boot: bool = False
    """Boot every machine instead of cloning the memory template."""
    boot_timeout_s: Positive = 300.0
    min_free_bytes: Size = 1024 * MIB
    """Refuse to clone when the disk has less room than this."""


class StoreSettings(Table, frozen=True, kw_only=True):
    """Where jobs, reports and blobs are kept; unset means below ``home``."""

    url: str | None = None
    """An SQLAlchemy URL with an async driver."""
    blobs: str | None = None
    """A folder, or a URL that obstore understands (``s3://…``)."""


class MasterSettings(Table, frozen=True, kw_only=True):
    """The master's duties."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")] = "master"
    lease_s: Positive = 30.0
    max_attempts: Count = 3
    watch: tuple[str, ...] = ()
    """Projects whose new files become jobs."""
    watch_interval_s: Positive = 300.0
    watch_profile: str = "default"


class SlaveSettings(Table, frozen=True, kw_only=True):
    """A slave's size and name."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")] | None = None
    """Unset means the host's name."""
    slots: Count = 2
    heartbeat_s: Positive = 5.0
    grace_s: Positive = 60.0


class Settings(Table, frozen=True, kw_only=True):
    """Everything that can be set."""

    home: Path = msgspec.field(default_factory=lambda: default_home())  # noqa: PLW0108 - defined below
    """Images, templates, caches, blobs, the SQLite files and locks live below it."""
    bus: BusSettings = BusSettings()
    index: IndexSettings = IndexSettings()
    machines: MachinesSettings = MachinesSettings()
    store: StoreSettings = StoreSettings()
    master: MasterSettings = MasterSettings()
    slave: SlaveSettings = SlaveSettings()

    @property
    def database_url(self) -> str:
        """The store's SQLAlchemy URL."""
        return self.store.url or f"sqlite+aiosqlite:///{self.home / 'pyti.sqlite'}"

    @property
    def blobs_url(self) -> str:
        """The blob store's folder or URL."""
        return self.store.blobs or str(self.home / "blobs")

    @property
    def libvirt_uri(self) -> str:
        """Libvirt's connection URI."""
        return self.machines.uri or ("qemu:///system" if os.geteuid() == 0 else "qemu:///session")


def default_home() -> Path:
    """The folder for everything that PyTI keeps: ``$PYTI_HOME``, else the platform's custom.

    Root uses ``/var/lib/pyti`` (FHS), others ``$XDG_STATE_HOME/pyti`` (XDG base directories).
    """
    if home := os.environ.get("PYTI_HOME"):
        return Path(home).absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/pyti")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "pyti"


def load(path: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from ``path`` (defaults where it is ``None``) and the environment.

    Raises ``ConfigError`` naming the file and the key when something is unknown, malformed or out of range.
    """
    tables: dict[str, Any] = {}
    if path is not None:
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(
                f"cannot read the settings file {path}: {error.strerror}", remedy="Check the path given to --config."
            ) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is not valid TOML: {error}", remedy="Mend the named line.") from error
    source = str(path) if path else "the environment"
    for key, value in (os.environ if environment is None else environment).items():
        table, separator, name = key.removeprefix("PYTI_").lower().partition("__")
        if key.startswith("PYTI_") and separator:
            section = tables.setdefault(table, {})
            if not isinstance(section, dict):
                raise ConfigError(f"{key} sets a key in [{table}], which {source} makes no table.")
            section[name] = _value(value)
    try:
        return msgspec.convert(tables, Settings, strict=True, dec_hook=_decoded)
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"a setting from {source} is wrong: {error}",
            remedy="docs/reference/settings.md lists every setting with its range.",
        ) from error


def _decoded(kind: type, value: object) -> object:
    """TOML has no paths; they are written as text."""
    if kind is Path and isinstance(value, str) and value:
        return Path(value).absolute()
    raise ValueError(f"expected a path, not {value!r}")


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
