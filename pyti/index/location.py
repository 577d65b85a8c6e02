"""Where the package index is: settings first, then pip's own configuration and environment, else a library's constant.

pip's rules are followed as its documentation gives them: global, user and site files in that order, each overriding
the one before; ``PIP_CONFIG_FILE`` last (``os.devnull`` means no files at all); ``PIP_*`` variables over all of them;
the ``[install]`` section over ``[global]``. Extra indexes are ignored on purpose: see decision 0041.
"""

from __future__ import annotations

import configparser
import os
import ssl
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pypi_simple import PYPI_SIMPLE_ENDPOINT
from yarl import URL

from pyti.config import IndexSettings
from pyti.errors import ConfigError

__all__ = [
    "IndexLocation",
    "certificates",
    "index_url",
    "locate",
    "pip_files",
    "pip_option",
    "tls_context",
    "without_secrets",
]

MAX_CONFIG_BYTES = 1024 * 1024
"""A pip configuration file larger than this is no configuration file."""


@dataclass(frozen=True)
class IndexLocation:
    """The simple API's root, its credentials apart from it, and the authorities that may sign its certificate."""

    root: URL
    """Ends in a slash; carries no user and no password, so it may be shown and logged."""
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    certificates: Path | None = None


def pip_files(environment: Mapping[str, str], home: Path, prefix: Path) -> list[Path]:
    """Name pip's configuration files on Linux, the weakest first.

    ``home`` is the user's folder, ``prefix`` the virtual environment's.
    """
    own = environment.get("PIP_CONFIG_FILE")
    if own == os.devnull:
        return []
    shared = environment.get("XDG_CONFIG_DIRS") or "/etc/xdg"
    personal = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    files = [Path(folder) / "pip/pip.conf" for folder in shared.split(os.pathsep) if folder]
    files += [Path("/etc/pip.conf"), home / ".pip/pip.conf", personal / "pip/pip.conf", prefix / "pip.conf"]
    return [*files, Path(own)] if own else files


def pip_option(
    name: str, environment: Mapping[str, str] | None = None, *, home: Path | None = None, prefix: Path | None = None
) -> str | None:
    """Tell what pip would take for the option ``name`` (``index-url``, ``cert``), or ``None`` where it is not set.

    Raises ``ConfigError`` naming a file that is not readable as pip's configuration.
    """
    environment = os.environ if environment is None else environment
    if value := environment.get(f"PIP_{name.upper().replace('-', '_')}"):
        return value
    found: dict[str, str] = {}
    for path in pip_files(environment, home or Path.home(), prefix or Path(sys.prefix)):
        try:
            if path.stat().st_size > MAX_CONFIG_BYTES:
                raise ConfigError(f"{path} is too large to be pip's configuration.")
            text = path.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read pip's configuration {path}: {error}") from error
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(text, str(path))
        except configparser.Error as error:
            raise ConfigError(f"{path} is not a valid pip configuration: {error}") from error
        for section in ("global", "install"):
            if parser.has_option(section, name):
                found[section] = parser.get(section, name).strip()
            elif parser.has_option(section, name.replace("-", "_")):
                found[section] = parser.get(section, name.replace("-", "_")).strip()
    return found.get("install") or found.get("global") or None


def index_url(settings: IndexSettings, environment: Mapping[str, str] | None = None) -> str:
    """Tell the simple API's root: the settings', else pip's, else pypi-simple's constant.

    The answer may hold credentials: show ``without_secrets`` of it. Raises ``ConfigError`` when it is no HTTP(S) URL.
    """
    text = settings.url or pip_option("index-url", environment) or PYPI_SIMPLE_ENDPOINT
    try:
        url = URL(text)
    except ValueError as error:
        raise ConfigError("the index URL is not a URL.", remedy="Mend index.url or pip's index-url.") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise ConfigError(
            f"the index URL {without_secrets(text)!r} is not an http or https URL.",
            remedy="Set index.url or pip's index-url.",
        )
    return text if text.endswith("/") else text + "/"


def certificates(environment: Mapping[str, str] | None = None) -> Path | None:
    """Tell which file or folder holds the trusted authorities: pip's ``cert``, else ``SSL_CERT_FILE``, else none."""
    environment = os.environ if environment is None else environment
    text = pip_option("cert", environment) or environment.get("SSL_CERT_FILE")
    return Path(text).expanduser() if text else None


def locate(settings: IndexSettings, environment: Mapping[str, str] | None = None) -> IndexLocation:
    """Find the index, with its credentials split off. Raises ``ConfigError``."""
    url = URL(index_url(settings, environment)).with_fragment(None).with_query(None)
    return IndexLocation(
        root=url.with_user(None), user=url.user, password=url.password, certificates=certificates(environment)
    )


def tls_context(authorities: Path | None) -> ssl.SSLContext:
    """Make the context that verifies the index's certificate; reads files, so call it in a thread.

    Raises ``ConfigError`` when the authorities cannot be loaded.
    """
    try:
        if authorities is None:
            return ssl.create_default_context()
        if authorities.is_dir():
            return ssl.create_default_context(capath=str(authorities))
        return ssl.create_default_context(cafile=str(authorities))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"cannot load the certificate authorities {authorities}: {error}",
            remedy="Mend pip's cert option or SSL_CERT_FILE.",
        ) from error


def without_secrets(url: str | URL) -> str:
    """Show a URL without user, password, query and fragment, any of which may be secret."""
    try:
        return str(URL(url).with_user(None).with_query(None).with_fragment(None))
    except ValueError:
        return "(not a URL)"
