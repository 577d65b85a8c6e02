"""Behaviour with files: written outside the places that are one's own, where code starts later, or another's."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pyti.reports.events import Change, Event, Open
from pyti.reports.model import Severity
from pyti.reports.rules.sighting import PhaseContext, Sighting

__all__ = ["FileRules"]

_DEVICES = re.compile(
    r"/dev/(null|zero|full|tty\w*|ptmx|pts/\d+|shm(/.*)?|u?random|fd/\d+|std(in|out|err)|ptp\d*|console|log|fuse)$"
)
_SCRATCH = ("/tmp", "/var/tmp", "/run/user", "/run/lock", "/dev/shm", "/run/shm")  # noqa: S108 - looked for
_HOME_CUSTOM = re.compile(r"\.(cache|config|local/share|local/state|local/lib|local/bin)(/|$)")
_LATER = re.compile(
    r"\.(bashrc|bash_profile|bash_login|bash_logout|profile|zshrc|zprofile|zshenv|xprofile|xsessionrc|xinitrc|inputrc|pythonrc(\.py)?)$"
    r"|\.ssh/(authorized_keys2?|config|rc|environment)$"
    r"|\.config/(systemd/user|autostart|fish|environment\.d)/|\.local/share/(systemd/user|dbus-1/services|applications)/"
    r"|\.local/lib/python[0-9.]+/site-packages/|\.(git-templates|gitconfig|pydistutils\.cfg|pypirc|npmrc)$|\.config/(pip/pip\.conf|git/config)$|\.pip/pip\.conf$"
    r"|\.(vimrc|emacs|gdbinit|tmux\.conf)$|\.config/(code|Code)/User/settings\.json$"
)
_LATER_SYSTEM = re.compile(
    r"/etc/(cron|profile|bash\.bashrc|environment|ld\.so\.(preload|conf)|systemd|init\.d|rc\.local|sudoers|passwd|shadow|ssh|xdg/autostart|apt|pam\.d)"
    r"|/var/spool/cron|/(usr/)?lib/systemd|/usr/lib/python|/usr/local/lib/python|/usr/local/s?bin|/usr/s?bin|/s?bin/|/root(/|$)|/boot(/|$)"
)
_LATER_PYTHON = re.compile(r"/site-packages/([^/]+\.pth|(site|user)customize(\.py|/|\.[^/]*\.so)?[^/]*)$")
_BYTECODE = re.compile(r"/__pycache__(/|$)|\.py[co](\.\d+)?$")
_SITE = re.compile(r"/site-packages/([^/]+)")


class FileRules:
    """FILE-001 to FILE-004."""

    def __init__(self, context: PhaseContext) -> None:
        self._context = context
        self._pids: set[int] = set()

    def see(self, event: Event) -> Iterator[Sighting]:
        """Give the sightings in this event."""
        self._pids.add(event.pid) if len(self._pids) < 20_000 else None
        if isinstance(event, Open) and (event.write or event.create):
            verb = "created" if event.create else "opened for writing"
            yield from self._judge(event.real or event.path, verb, event)
            if event.real and event.real != event.path:
                yield from self._judge(event.path, verb, event)
        elif isinstance(event, Change):
            yield from self._judge(event.target, event.call, event, change=True)
            if event.call.startswith("rename"):
                yield from self._judge(event.source, event.call, event, change=True)

    def _judge(self, path: str, verb: str, event: Event, *, change: bool = False) -> Iterator[Sighting]:
        context = self._context
        if not path.startswith("/"):
            return  # a name without its folder: strace could not tell, and guessing would accuse the innocent
        if path.endswith("(deleted)"):
            path = path.removesuffix("(deleted)").rstrip()
        if path.startswith(("/proc/", "/memfd:", "/sys/fs/cgroup")) or _DEVICES.match(path):
            return
        told = f"{verb} {path}" + (f" ({event.error})" if event.error else "")
        tried: Severity | None = "medium" if event.error and context.stage != "late" else None
        inside = path.startswith(context.layout.venv + "/") or path == context.layout.venv
        if inside:
            yield from self._environment(path, told)
            return
        if _BYTECODE.search(path) or _under(path, context.layout.work):
            return
        home = context.layout.home + "/"
        if path.startswith(home):
            rest = path[len(home) :]
            if _LATER.search("/" + rest) or _LATER.match(rest):
                yield Sighting("FILE-002", told, tried, key=path)
            elif rest.startswith(".cache"):
                return
            elif (
                change
                and not verb.startswith(("mkdir", "link", "symlink"))
                and event.error is None
                and not _HOME_CUSTOM.match(rest)
            ):
                yield Sighting("FILE-003", told, key=path)
            elif event.error is None or event.error in ("EACCES", "EPERM", "EROFS"):
                yield Sighting("FILE-001", told, "info" if _HOME_CUSTOM.match(rest) else None, key=path)
        elif _under(path, _SCRATCH):
            return
        elif _LATER_SYSTEM.match(path):
            if event.error not in ("ENOENT", "EEXIST", "EISDIR", "ENOTDIR"):
                yield Sighting("FILE-002", told, tried, key=path, strong=event.error is None)
        elif event.error not in ("ENOENT", "EEXIST", "EISDIR", "ENOTDIR"):
            yield Sighting("FILE-003" if change else "FILE-001", told, "low" if event.error else None, key=path)

    def _environment(self, path: str, told: str) -> Iterator[Sighting]:
        """Judge writes inside the environment: an installer's purpose, strange at start and import."""
        context = self._context
        if context.task not in ("startup", "import", "entry-points"):
            return
        if _LATER_PYTHON.search(path):
            yield Sighting("FILE-002", told, key=path)
        elif not _BYTECODE.search(path) and (found := _SITE.search(path)):
            top = found.group(1).split(".")[0].split("-")[0].lower()
            if context.own and top not in context.own:
                yield Sighting("FILE-004", told, key=path)


def _under(path: str, places: tuple[str, ...]) -> bool:
    return any(path == place or path.startswith(place + "/") for place in places)
