"""A streaming reader of one phase's trace: bounded memory, typed events, a process tree.

The phase's own command starts where the launcher (``sh``, ``setpriv``, ``env``) executes ``argv``; what the launcher did
before is not the distribution's doing and gives no events. Where no execve matches ``argv``, the first process's first
program that is no launcher takes its place, and ``marker_found`` stays false.
"""

from __future__ import annotations

import ipaddress
import posixpath
import re
from collections.abc import Iterator

from pyti.reports.events import Binding, Change, Contact, Event, Exec, Exit, Kill, Open, Privileged, Spawn
from pyti.reports.strace import (
    Call,
    Ended,
    Joiner,
    Source,
    Unreadable,
    decode_string,
    descriptor_path,
    lines_of,
    split_arguments,
)

__all__ = ["LAUNCHERS", "MAX_PROCESSES", "TraceReader"]

LAUNCHERS = frozenset(
    {
        "sh",
        "dash",
        "bash",
        "env",
        "setpriv",
        "nice",
        "ionice",
        "prlimit",
        "timeout",
        "unshare",
        "strace",
        "systemd-run",
        "su",
        "runuser",
        "taskset",
        "chrt",
        "stdbuf",
    }
)
"""Programs that start others; a phase's own command is looked for behind them."""
MAX_PROCESSES = 20_000
"""Processes of one trace that are remembered; pids are reused beyond that."""

_PORT = re.compile(r"sin6?_port=htons\((\d{1,5})\)")
_INET = re.compile(r'sin_addr=inet_addr\("([0-9.]{1,15})"\)')
_INET6 = re.compile(r'inet_pton\(AF_INET6, "([0-9A-Fa-f:.]{1,45})"')
_FAMILY = re.compile(r"sa_family=(AF_[A-Z0-9_]{1,20}|0x[0-9a-f]{1,4}|\d{1,5})")
_UNIX = re.compile(r'sun_path=(@?"(?:[^"\\]|\\.){0,600}")')
_PAYLOAD = re.compile(r'iov_base=("(?:[^"\\]|\\.){0,1200}"(?:\.\.\.)?)')
_NUMBER = re.compile(r"-?\d{1,10}")
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
_PATHS: dict[str, tuple[int, int | None, int | None]] = {
    # call: index of the target, of the directory it is relative to, of the source's path
    "unlink": (0, None, None), "rmdir": (0, None, None), "unlinkat": (1, 0, None),
    "rename": (1, None, 0), "renameat": (3, 2, 1), "renameat2": (3, 2, 1),
    "link": (1, None, 0), "linkat": (3, 2, 1), "symlink": (1, None, 0), "symlinkat": (2, 1, 0),
    "chmod": (0, None, None), "fchmodat": (1, 0, None), "chown": (0, None, None), "lchown": (0, None, None), "fchownat": (1, 0, None),
    "mkdir": (0, None, None), "mkdirat": (1, 0, None), "truncate": (0, None, None), "mknod": (0, None, None), "mknodat": (1, 0, None),
}  # fmt: skip


class _Process:
    """What is remembered of one process."""

    __slots__ = ("cwd", "exe")

    def __init__(self, exe: str, cwd: str) -> None:
        self.exe = exe
        self.cwd = cwd


class TraceReader:
    """Reads one trace; iterate ``events()`` once, then look at the counters."""

    def __init__(self, source: Source, argv: tuple[str, ...] = ()) -> None:
        self._source = source
        self._argv = argv
        self._joiner = Joiner()
        self._processes: dict[int, _Process] = {}
        self._root: int | None = None
        self.lines = 0
        self.calls = 0
        self.unreadable = 0
        self.cut_lines = 0
        self.processes = 0
        self.started = False
        """The phase's own command was seen to start."""
        self.marker_found = False
        self.ended = False
        """The first process was seen to end."""

    def events(self) -> Iterator[Event]:
        """Give the events of the phase's own command and its children, in the order in which calls came back."""
        for line, cut in lines_of(self._source):
            self.lines += 1
            self.cut_lines += cut
            item = self._joiner.feed(line)
            if item is not None:
                yield from self._item(item)
        for call in self._joiner.unfinished():
            yield from self._item(call)

    def _item(self, item: Call | Ended | Unreadable) -> Iterator[Event]:
        if isinstance(item, Unreadable):
            self.unreadable += 1
            return
        if self._root is None:
            self._root = item.pid
        process = self._process(item.pid)
        if isinstance(item, Ended):
            self.ended |= item.pid == self._root
            self._processes.pop(item.pid, None)
            if self.started:
                yield Exit(at=item.at, pid=item.pid, exe=process.exe, status=item.status, signal=item.signal)
            return
        self.calls += 1
        event = self._event(item, process)
        if event is not None and self.started:
            yield event

    def _process(self, pid: int, parent: _Process | None = None) -> _Process:
        process = self._processes.get(pid)
        if process is None:
            if len(self._processes) >= MAX_PROCESSES:
                self._processes.pop(next(iter(self._processes)))
            self.processes += 1
            process = self._processes[pid] = _Process(parent.exe if parent else "", parent.cwd if parent else "")
        return process

    def _event(self, call: Call, process: _Process) -> Event | None:
        name = call.name
        try:
            if name in ("openat", "open", "openat2", "creat"):
                return self._open(call, process)
            if name in ("execve", "execveat"):
                return self._exec(call, process)
            if name in ("clone", "clone3", "fork", "vfork"):
                return self._spawn(call, process)
            if name in ("connect", "sendto", "sendmsg", "sendmmsg", "bind"):
                return self._address(call, process)
            if name in _PATHS:
                return self._change(call, process)
            if name in ("kill", "tkill", "tgkill", "pidfd_send_signal"):
                return self._kill(call, process)
            if name == "chdir" and call.error is None:
                process.cwd = self._path(call.arguments, 0, None, process)
            elif name in ("fchmod", "fchown", "ftruncate"):
                target = descriptor_path(call.arguments[0]) or ""
                return (
                    Change(at=call.at, pid=call.pid, exe=process.exe, error=call.error, call=name, target=target)
                    if target
                    else None
                )
            elif name in _PRIVILEGED:
                detail = ", ".join(call.arguments)[:400]
                return Privileged(at=call.at, pid=call.pid, exe=process.exe, error=call.error, call=name, detail=detail)
        except IndexError:  # fewer arguments than the call has: a cut or forged line
            self.unreadable += 1
        return None

    def _path(self, arguments: list[str], index: int, directory: int | None, process: _Process) -> str:
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

    def _open(self, call: Call, process: _Process) -> Event:
        arguments = call.arguments
        at_directory = call.name.startswith("openat")
        path = self._path(arguments, 1 if at_directory else 0, 0 if at_directory else None, process)
        flags = "O_WRONLY|O_CREAT" if call.name == "creat" else arguments[2 if at_directory else 1]
        write = "O_WRONLY" in flags or "O_RDWR" in flags
        real = (descriptor_path(call.result) or "") if call.error is None else ""
        return Open(
            at=call.at, pid=call.pid, exe=process.exe, error=call.error, path=path, real=real,
            write=write or "O_TRUNC" in flags, create="O_CREAT" in flags or "O_TMPFILE" in flags,
            read="O_WRONLY" not in flags and "O_PATH" not in flags and "O_DIRECTORY" not in flags,
        )  # fmt: skip

    def _exec(self, call: Call, process: _Process) -> Event:
        offset = 1 if call.name == "execveat" else 0
        path = self._path(call.arguments, offset, 0 if offset else None, process)
        listed = call.arguments[offset + 1] if len(call.arguments) > offset + 1 else "[]"
        items = (
            split_arguments(listed[1:-1] if listed.endswith("]") else listed[1:])[0] if listed.startswith("[") else []
        )
        strings = [decode_string(item) for item in items[:300]]
        argv = tuple(string[0] for string in strings if string)
        parent = process.exe
        root = False
        if call.error is None:
            marker = not self.started and self._matches(strings)
            if marker or (not self.started and call.pid == self._root):
                self.marker_found = marker
                root = self.started = self.marker_found or posixpath.basename(path) not in LAUNCHERS
            process.exe = path
        return Exec(
            at=call.at,
            pid=call.pid,
            exe=process.exe,
            error=call.error,
            path=path,
            argv=argv,
            parent_exe=parent,
            root=root,
        )

    def _matches(self, strings: list[tuple[str, bool] | None]) -> bool:
        if not self._argv or len(strings) != len(self._argv):
            return False
        for string, expected in zip(strings, self._argv, strict=True):
            if string is None:
                return False
            text, cut = string
            if text != expected and not (cut and expected.startswith(text.rstrip("�")[:200])):
                return False
        return True

    def _spawn(self, call: Call, process: _Process) -> Event | None:
        number = _NUMBER.match(call.result)
        child = int(number.group()) if number else 0
        if call.error is not None or child <= 0:
            return None
        young = self._process(child, process)
        young.exe, young.cwd = (
            young.exe or process.exe,
            young.cwd or process.cwd,
        )  # it may have been seen before this line
        thread = any("CLONE_THREAD" in argument for argument in call.arguments)
        return Spawn(at=call.at, pid=call.pid, exe=process.exe, child=child, thread=thread)

    def _address(self, call: Call, process: _Process) -> Event | None:
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

    def _change(self, call: Call, process: _Process) -> Event:
        target, directory, source = _PATHS[call.name]
        path = self._path(call.arguments, target, directory, process)
        origin = ""
        if source is not None:
            # a symbolic link's text is no path of this process; elsewhere the directory stands before the source
            base = None if source == 0 else source - 1
            origin = (
                (decode_string(call.arguments[0]) or ("",))[0]
                if call.name.startswith("symlink")
                else self._path(call.arguments, source, base, process)
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

    def _kill(self, call: Call, process: _Process) -> Event | None:
        index = 1 if call.name == "tgkill" else 0
        number = _NUMBER.match(call.arguments[index])
        if number is None:
            return None
        target = int(number.group())
        signal = call.arguments[index + 1]
        known = abs(target) in self._processes or target == 0
        return Kill(
            at=call.at, pid=call.pid, exe=process.exe, error=call.error, target=target, signal=signal, known=known
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
