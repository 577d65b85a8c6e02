"""Behaviour with processes: which programs are started where nobody asked for any, and signals to strangers.

The baseline, by kind of phase: in *build* and *late* phases compilers, shells, interpreters and version control are the
purpose and give nothing. In *quiet* phases the tool itself and its interpreter give nothing; programs that the standard
library and common libraries run to learn about the platform (``ldconfig`` and ``gcc`` from ``ctypes.util``, ``uname``
from ``platform``, ``ip`` and ``ifconfig`` from ``uuid``,
``git`` for a version) are ``info``; others weigh more the less
they belong to the system.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator

from pyti.reports.events import Change, Event, Exec, Kill, Open
from pyti.reports.model import Severity
from pyti.reports.rules.sighting import PhaseContext, Sighting

__all__ = ["DOWNLOADERS", "PLATFORM_TOOLS", "ProcessRules"]

DOWNLOADERS = frozenset(
    [
        "curl",
        "wget",
        "aria2c",
        "nc",
        "ncat",
        "netcat",
        "socat",
        "telnet",
        "ftp",
        "tftp",
        "scp",
        "sftp",
        "ssh",
        "lynx",
        "powershell",
        "pwsh",
    ]
)
"""Programs whose purpose is to move bytes between machines."""
PLATFORM_TOOLS = frozenset(
    [
        "ldconfig",
        "ldconfig.real",
        "gcc",
        "cc",
        "c++",
        "g++",
        "x86_64-linux-gnu-gcc-12",
        "ld",
        "ld.bfd",
        "collect2",
        "cc1",
        "as",
        "objdump",
        "uname",
        "file",
        "lsb_release",
        "lscpu",
        "git",
        "hg",
        "svn",
        "which",
        "arch",
        "getconf",
        "locale",
        "tput",
        "stty",
        "hostname",
        "id",
        "nproc",
        "sysctl",
        "xdg-settings",
        "dpkg",
        "dpkg-query",
        "env",
        "ip",
        "ifconfig",
        "arp",
        "netstat",
        "true",
        "false",
        "test",
        "pkg-config",
        "python3-config",
        "tty",
        "infocmp",
        "lspci",
        "nvidia-smi",
        "free",
        "df",
        "cat",
        "ls",
    ]
)
"""Programs that libraries start to learn about the platform; harmless by themselves."""
_SHELLS = frozenset(["sh", "bash", "dash", "zsh", "ksh", "ash", "busybox"])
_PYTHON = re.compile(r"(python|pypy)[0-9.]*(-config)?$")
_TOOLS = frozenset(["uv", "pip", "pip3", "pytest", "pylint", "pycodestyle"])
_SYSTEM = ("/usr/", "/bin/", "/sbin/", "/lib/", "/opt/")
_DOWNLOAD = re.compile(r"\b(curl|wget|aria2c|ncat|netcat|nc|socat|tftp)\s+\S", re.IGNORECASE)
_PIPED = re.compile(
    r"\b(curl|wget|nc|ncat)\b[^;&]{0,400}\|\s*(sudo\s+)?(sh|bash|dash|zsh|python[0-9.]*|perl|ruby|node)\b"
    r"|\b(sh|bash|python[0-9.]*)\b[^|]{0,20}(<\(|\$\(|`)\s*(curl|wget)\b|/dev/(tcp|udp)/",
    re.IGNORECASE,
)
_ENCODED = re.compile(
    r"base64|b64decode|fromhex|zlib\.decompress|marshal\.loads|codecs\.decode|exec\s*\(|eval\s*\(|urllib|urlopen|requests\.get|socket\.socket"
)
_OWN_HELPERS = re.compile(
    r"^(from multiprocessing\.|from joblib\.externals\.loky|import sys; sys\.path|import setuptools|from loky)"
)
_MAX_WRITTEN = 20_000


class ProcessRules:
    """PROC-001 to PROC-005."""

    def __init__(self, context: PhaseContext) -> None:
        self._context = context
        self._written: set[str] = set()

    def see(self, event: Event) -> Iterator[Sighting]:
        """Give the sightings in this event."""
        if isinstance(event, Exec):
            if not event.root:
                yield from self._exec(event)
        elif isinstance(event, Open):
            if event.write and event.error is None:
                self._remember(event.real or event.path)
        elif isinstance(event, Change):
            if event.error is None and event.call.startswith(("rename", "link")) and event.source in self._written:
                self._remember(event.target)
        elif isinstance(event, Kill) and not event.known and event.signal not in ("0", "SIG_0"):
            severity: Severity | None = "high" if event.target == -1 and self._context.stage == "quiet" else None
            yield Sighting("PROC-005", f"{event.signal} to process {event.target}", severity, key=str(event.target))

    def _remember(self, path: str) -> None:
        if len(self._written) < _MAX_WRITTEN:
            self._written.add(path)

    def _exec(self, event: Exec) -> Iterator[Sighting]:
        stage = self._context.stage
        name = posixpath.basename(event.path)
        command = _command(event)
        told = f"{posixpath.basename(event.parent_exe) or 'a process'} started: {command}"
        if event.error is not None:
            told += f" ({event.error})"
        fresh = event.path in self._written or "/memfd:" in event.path or re.match(r"/proc/(self|\d+)/fd/", event.path)
        if fresh and event.error is None and not self._belongs(event.path):
            yield Sighting("PROC-003", told, key=event.path)
        if name in _SHELLS and len(event.argv) > 2 and event.argv[1].startswith("-") and "c" in event.argv[1]:
            script = event.argv[2]
            if _PIPED.search(script):
                yield Sighting("COMBO-002", told, key=command)
            if _DOWNLOAD.search(script) or _PIPED.search(script):
                yield Sighting("PROC-002", told, key=command)
                return
        if name in DOWNLOADERS:
            yield Sighting("PROC-002", told, key=command)
            return
        if stage == "quiet" and not fresh:
            yield from self._quiet(event, name, told, command)

    def _belongs(self, path: str) -> bool:
        """Say whether an installer's or a build's own new file is run, such as configure's tests."""
        return path.startswith((self._context.layout.venv + "/bin/",)) or self._context.stage != "quiet"

    def _quiet(self, event: Exec, name: str, told: str, command: str) -> Iterator[Sighting]:
        if _PYTHON.match(name) or name in _TOOLS:
            script = next(
                (event.argv[i + 1] for i, word in enumerate(event.argv[:-1]) if re.fullmatch(r"-[A-Za-z]*c", word)),
                None,
            )
            if (
                script is not None
                and self._context.task in ("startup", "import", "entry-points")
                and _ENCODED.search(script)
                and not _OWN_HELPERS.match(script)
            ):
                yield Sighting("PROC-004", told, key=command)
            return
        if name in PLATFORM_TOOLS:
            yield Sighting("PROC-001", told, "info", key=command)
        elif name in _SHELLS:
            yield Sighting(
                "PROC-001", told, "medium" if self._context.task in ("startup", "install") else "low", key=command
            )
        elif event.path.startswith(self._context.layout.venv + "/"):
            yield Sighting("PROC-001", told, key=command)
        elif event.path.startswith(_SYSTEM):
            yield Sighting(
                "PROC-001", told, "medium" if self._context.task in ("startup", "install") else "low", key=command
            )
        else:
            yield Sighting("PROC-001", told, "medium", key=command)


def _command(event: Exec) -> str:
    words = event.argv or (event.path,)
    text = shlex.join(words[:12])
    return text if posixpath.basename(words[0]) == posixpath.basename(event.path) else f"{event.path} as {text}"
