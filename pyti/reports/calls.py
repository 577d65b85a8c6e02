"""What a call's arguments mean: which file, which address, changed how. One function for each kind of call.

Each raises ``IndexError`` where the call has fewer arguments than it must; its caller counts the line as unreadable.
"""

from __future__ import annotations

import ipaddress
import posixpath
import re

from pyti.reports.events import Binding, Change, Contact, Event, Open, Privileged
from pyti.reports.strace import Call, decode_string, descriptor_path

__all__ = ["CHANGING", "Process", "address_event", "change_event", "event_of", "open_event", "path_of"]

_PORT = re.compile(r"sin6?_port=htons\((\d{1,5})\)")
_INET = re.compile(r'sin_addr=inet_addr\("([0-9.]{1,15})"\)')
_INET6 = re.compile(r'inet_pton\(AF_INET6, "([0-9A-Fa-f:.]{1,45})"')
_FAMILY = re.compile(r"sa_family=(AF_[A-Z0-9_]{1,20}|0x[0-9a-f]{1,4}|\d{1,5})")
_UNIX = re.compile(r'sun_path=(@?"(?:[^"\\]|\\.){0,600}")')
_PAYLOAD = re.compile(r'iov_base=("(?:[^"\\]|\\.){0,1200}"(?:\.\.\.)?)')
_DIRFD = ("AT_FDCWD", "AT_FDCWD<")
_SENDING = {"sendto": 4, "connect": 1, "bind": 1}
_PRIVILEGED = frozenset(
    [
        "ptrace",
        "mount",
        "umount",
        "umount2",
        "move_mount",
        "fsopen",
        "fsmount",
        "pivot_root",
        "chroot",
        "bpf",
        "init_module",
        "finit_module",
        "delete_module",
        "kexec_load",
        "kexec_file_load",
        "memfd_create",
        "memfd_secret",
        "process_vm_readv",
        "process_vm_writev",
        "setns",
        "unshare",
        "perf_event_open",
        "userfaultfd",
        "reboot",
        "swapon",
        "swapoff",
        "sethostname",
        "settimeofday",
        "clock_settime",
        "adjtimex",
        "iopl",
        "ioperm",
        "keyctl",
        "add_key",
        "request_key",
        "open_by_handle_at",
        "fanotify_init",
        "syslog",
        "acct",
        "quotactl",
        "io_uring_setup",
        "pidfd_getfd",
        "seccomp",
    ]
)
CHANGING: dict[str, tuple[int, int | None, int | None]] = {
    # call: index of the target, of the directory it is relative to, of the source's path
    "unlink": (0, None, None), "rmdir": (0, None, None), "unlinkat": (1, 0, None),
    "rename": (1, None, 0), "renameat": (3, 2, 1), "renameat2": (3, 2, 1),
    "link": (1, None, 0), "linkat": (3, 2, 1), "symlink": (1, None, 0), "symlinkat": (2, 1, 0),
    "chmod": (0, None, None), "fchmodat": (1, 0, None), "chown": (0, None, None), "lchown": (0, None, None),
    "fchownat": (1, 0, None),
    "mkdir": (0, None, None), "mkdirat": (1, 0, None), "truncate": (0, None, None), "mknod": (0, None, None),
    "mknodat": (1, 0, None),
}  # fmt: skip


class Process:
    """What is remembered of one process."""

    __slots__ = ("cwd", "exe")

    def __init__(self, exe: str, cwd: str) -> None:
        self.exe = exe
        self.cwd = cwd


def event_of(call: Call, process: Process) -> Event | None:
    """Give the event of a call that concerns files, addresses or privileges; ``None`` for all others."""
    name = call.name
    if name in ("openat", "open", "openat2", "creat"):
        return open_event(call, process)
    if name in ("connect", "sendto", "sendmsg", "sendmmsg", "bind"):
        return address_event(call, process)
    if name in CHANGING:
        return change_event(call, process)
    if name in ("fchmod", "fchown", "ftruncate"):
        target = descriptor_path(call.arguments[0])
        if target:
            return Change(at=call.at, pid=call.pid, exe=process.exe, error=call.error, call=name, target=target)
    elif name == "chdir" and call.error is None:
        process.cwd = path_of(call.arguments, 0, None, process)
    elif name in _PRIVILEGED:
        detail = ", ".join(call.arguments)[:400]
        return Privileged(at=call.at, pid=call.pid, exe=process.exe, error=call.error, call=name, detail=detail)
    return None


def path_of(arguments: list[str], index: int, directory: int | None, process: Process) -> str:
    """Give the absolute path in ``arguments[index]``, relative to ``arguments[directory]`` or the process's folder."""
    decoded = decode_string(arguments[index])
    path = decoded[0] if decoded else ""
    base = process.cwd
    if directory is not None:
        stated = descriptor_path(arguments[directory])
        if stated and arguments[directory].startswith(_DIRFD):
            process.cwd = stated
        base = stated or base
    if not path.startswith("/") and base:
        path = f"{base}/{path}" if path else base
    return posixpath.normpath(path) if path else ""


def open_event(call: Call, process: Process) -> Event:
    """Read open, openat, openat2 and creat."""
    arguments = call.arguments
    at_directory = call.name.startswith("openat")
    path = path_of(arguments, 1 if at_directory else 0, 0 if at_directory else None, process)
    flags = "O_WRONLY|O_CREAT" if call.name == "creat" else arguments[2 if at_directory else 1]
    write = "O_WRONLY" in flags or "O_RDWR" in flags
    real = (descriptor_path(call.result) or "") if call.error is None else ""
    return Open(
        at=call.at, pid=call.pid, exe=process.exe, error=call.error, path=path, real=real,
        write=write or "O_TRUNC" in flags, create="O_CREAT" in flags or "O_TMPFILE" in flags,
        read="O_WRONLY" not in flags and "O_PATH" not in flags and "O_DIRECTORY" not in flags,
    )  # fmt: skip


def address_event(call: Call, process: Process) -> Event | None:
    """Read connect, bind and the sending calls; ``None`` where they name no address."""
    index = _SENDING.get(call.name, 1)
    if index >= len(call.arguments):
        return None
    text = call.arguments[index]
    family = _FAMILY.search(text)
    if family is None:
        return None
    address, port = _where(text)
    kind = family.group(1)
    if call.name == "bind":
        return Binding(
            at=call.at, pid=call.pid, exe=process.exe, error=call.error, family=kind, address=address, port=port
        )
    payload = ""
    if call.name == "sendto":
        payload = (decode_string(call.arguments[1]) or ("", False))[0]
    elif call.name != "connect" and (sent := _PAYLOAD.search(text)):
        payload = (decode_string(sent.group(1)) or ("", False))[0]
    return Contact(
        at=call.at, pid=call.pid, exe=process.exe, error=call.error,
        call=call.name, family=kind, address=address, port=port, payload=payload,
    )  # fmt: skip


def change_event(call: Call, process: Process) -> Event:
    """Read the calls in ``CHANGING``."""
    target, directory, source = CHANGING[call.name]
    path = path_of(call.arguments, target, directory, process)
    origin = ""
    if source is not None:
        # a symbolic link's text is no path of this process; elsewhere the directory stands before the source
        base = None if source == 0 else source - 1
        origin = (
            (decode_string(call.arguments[0]) or ("",))[0]
            if call.name.startswith("symlink")
            else path_of(call.arguments, source, base, process)
        )
    mode = 0
    if call.name in ("chmod", "fchmodat"):
        digits = call.arguments[target + 1]
        mode = int(digits, 8) if re.fullmatch(r"0[0-7]{1,6}", digits) else 0
    return Change(
        at=call.at,
        pid=call.pid,
        exe=process.exe,
        error=call.error,
        call=call.name,
        target=path,
        source=origin,
        mode=mode,
    )


def _where(text: str) -> tuple[str, int]:
    port = _PORT.search(text)
    number = min(int(port.group(1)), 65535) if port else 0
    found = _INET.search(text) or _INET6.search(text)
    if found:
        try:
            address = ipaddress.ip_address(found.group(1))
        except ValueError:
            return found.group(1), number
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return str(mapped or address), number
    if path := _UNIX.search(text):
        return (decode_string(path.group(1)) or ("", False))[0], 0
    return "", number
