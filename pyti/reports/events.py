"""What a traced process did: the typed events that the rules read.

Every event says when (``at``, Unix time in the guest), which process (``pid``) and with which program (``exe``, the
path of its last successful execve; empty before that). ``error`` is the errno's name of a call that failed, else
``None``. All texts are hostile and not neutralised: what shows them must do that.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Binding", "Change", "Contact", "Event", "Exec", "Exit", "Kill", "Open", "Privileged", "Spawn"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The base of all events."""

    at: float
    pid: int
    exe: str = ""
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spawn(Event):
    """A process made another, or a thread."""

    child: int
    thread: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Exec(Event):
    """A process became another program; ``root`` marks the phase's own command."""

    path: str
    argv: tuple[str, ...] = ()
    parent_exe: str = ""
    root: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit(Event):
    """A process or thread ended."""

    status: int | None = None
    signal: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact(Event):
    """connect, sendto, sendmsg to an address: ``address`` is an IP address, a socket's path or ``@name``."""

    call: str
    family: str
    address: str
    port: int = 0
    payload: str = ""
    """The beginning of what was sent, where the call says it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding(Event):
    """bind: the process waits for others at an address."""

    family: str
    address: str
    port: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Open(Event):
    """A file was opened or created; ``real`` is the path behind links, where the call succeeded."""

    path: str
    real: str = ""
    write: bool = False
    create: bool = False
    read: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Change(Event):
    """unlink, rename, chmod, chown, symlink, link, mkdir, truncate, mknod; ``target`` is what appears or is changed."""

    call: str
    target: str
    source: str = ""
    mode: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill(Event):
    """A signal was sent; ``known`` says whether the target is a process of this trace."""

    target: int
    signal: str
    known: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Privileged(Event):
    """A call that ordinary packages have no use for: ptrace, mount, bpf, kernel modules, memfd_create and the like."""

    call: str
    detail: str = ""
