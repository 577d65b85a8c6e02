"""A streaming reader of one phase's trace: bounded memory, typed events, a process tree.

The phase's own command starts where the launcher (``sh``, ``setpriv``, ``env``) executes ``argv``; what the launcher
did before is not the distribution's doing and gives no events. Where no execve matches ``argv``, the first process's
first program that is no launcher takes its place, and ``marker_found`` stays false.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from pyti.reports.calls import Process, event_of, path_of
from pyti.reports.events import Event, Exec, Exit, Kill, Spawn
from pyti.reports.strace import (
    Call,
    Ended,
    Joiner,
    Source,
    Unreadable,
    decode_string,
    lines_of,
    split_arguments,
)

__all__ = ["LAUNCHERS", "MAX_PROCESSES", "TraceReader"]

LAUNCHERS = frozenset(
    [
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
    ]
)
"""Programs that start others; a phase's own command is looked for behind them."""
MAX_PROCESSES = 20_000
"""Processes of one trace that are remembered; pids are reused beyond that."""

_NUMBER = re.compile(r"-?\d{1,10}")


class TraceReader:
    """Reads one trace; iterate ``events()`` once, then look at the counters."""

    def __init__(self, source: Source, argv: tuple[str, ...] = ()) -> None:
        self._source = source
        self._argv = argv
        self._joiner = Joiner()
        self._processes: dict[int, Process] = {}
        self._seen: set[int] = set()
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

    def _process(self, pid: int, parent: Process | None = None) -> Process:
        process = self._processes.get(pid)
        if process is None:
            if len(self._processes) >= MAX_PROCESSES:
                self._processes.pop(next(iter(self._processes)))
            self.processes += 1
            if len(self._seen) < 4 * MAX_PROCESSES:
                self._seen.add(pid)
            if parent is None and (spawner := self._joiner.spawner()) is not None:
                parent = self._processes.get(spawner)
            process = self._processes[pid] = Process(parent.exe if parent else "", parent.cwd if parent else "")
        return process

    def _event(self, call: Call, process: Process) -> Event | None:
        try:
            if call.name in ("execve", "execveat"):
                return self._exec(call, process)
            if call.name in ("clone", "clone3", "fork", "vfork"):
                return self._spawn(call, process)
            if call.name in ("kill", "tkill", "tgkill"):
                return self._kill(call, process)
            return event_of(call, process)
        except IndexError:  # fewer arguments than the call has: a cut or forged line
            self.unreadable += 1
        return None

    def _exec(self, call: Call, process: Process) -> Event:
        offset = 1 if call.name == "execveat" else 0
        path = path_of(call.arguments, offset, 0 if offset else None, process)
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
            if text != expected and not (cut and expected.startswith(text[:200])):
                return False
        return True

    def _spawn(self, call: Call, process: Process) -> Event | None:
        number = _NUMBER.match(call.result)
        child = int(number.group()) if number else 0
        if call.error is not None or child <= 0:
            return None
        young = self._process(child, process)
        if not young.exe:  # its own lines may stand before this one
            young.exe, young.cwd = process.exe, young.cwd or process.cwd
        thread = any("CLONE_THREAD" in argument for argument in call.arguments)
        return Spawn(at=call.at, pid=call.pid, exe=process.exe, child=child, thread=thread)

    def _kill(self, call: Call, process: Process) -> Event | None:
        index = 1 if call.name == "tgkill" else 0
        number = _NUMBER.match(call.arguments[index])
        if number is None:
            return None
        target = int(number.group())
        signal = call.arguments[index + 1]
        known = abs(target) in self._seen or target == 0
        return Kill(
            at=call.at, pid=call.pid, exe=process.exe, error=call.error, target=target, signal=signal, known=known
        )
