"""One phase of a task: one process tree under limits, its output and its trace streamed while it runs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import tree
from .cgroup import Cgroup
from .job import Limits
from .launcher import launch, traced
from .layout import Account, Layout
from .outbox import Outbox, StreamWriter

__all__ = ["Phase", "PhaseRunner"]

PIPE = 1024 * 1024
"""Room in each pipe, as much as Linux gives anyone: what is written between two looks waits there."""
GATHER_S = 0.05
"""Time after a read in which only ends of processes are looked for. strace writes every line by itself; taking each
at once costs a slow machine more than the tracing does."""
TAIL = 64 * 1024
"""Bytes of each output that the agent keeps in memory, to find the line that matters."""
LINGER_S = 0.2
"""Time that processes have to end by themselves after the main one has."""
SETTLE_S = 10.0
"""Time that a killed tree has to be gone, and strace to have written its last line."""


@dataclass
class Phase:
    """What happened."""

    phase: str
    argv: tuple[str, ...]
    started: float
    wall_s: float = 0.0
    exit_status: int | None = None
    signal: int | None = None
    limit: str | None = None
    processes_killed: int = 0
    user_s: float = 0.0
    system_s: float = 0.0
    peak_bytes: int | None = None
    streams: dict[str, dict[str, Any]] = field(default_factory=dict)
    stdout_tail: bytes = b""
    stderr_tail: bytes = b""

    @property
    def ok(self) -> bool:
        """Whether the main process ended by itself with status 0."""
        return self.exit_status == 0 and self.limit in (None, "output")

    def record(self) -> dict[str, Any]:
        """Return the contract's Phase."""
        record: dict[str, Any] = {
            "phase": self.phase,
            "argv": [argument[:2000] for argument in self.argv[:200]],
            "exit_status": self.exit_status,
            "signal": self.signal,
            "started": self.started,
            "wall_s": round(self.wall_s, 6),
            "cpu_user_s": round(self.user_s, 6),
            "cpu_system_s": round(self.system_s, 6),
            "max_rss_bytes": self.peak_bytes,
            "limit": self.limit,
            "processes_killed": self.processes_killed,
        }
        return record | self.streams


class PhaseRunner:
    """Starts phases one after the other; there is never more than one."""

    def __init__(self, layout: Layout, account: Account) -> None:
        self._layout = layout
        self._account = account
        self._count = 0
        tree.become_subreaper()

    def run(
        self,
        outbox: Outbox,
        task: str,
        phase: str,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        limits: Limits,
        trace: bool,
    ) -> Phase:
        """Run ``argv`` to its end or its limit, streaming into ``outbox``."""
        self._count += 1
        announce, fifo = (self._layout.run / f"{kind}-{self._count}" for kind in ("launch", "trace"))
        for path in (announce, fifo):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            os.mkfifo(path, 0o600)
        group = Cgroup.create(self._layout.cgroup, f"{task}-{phase}-{self._count}", limits)
        command = launch(
            argv,
            announce=announce,
            procs=group.procs if group else None,
            limits=limits,
            account=self._account,
            drop=os.geteuid() == 0 and self._account.uid != 0,
        )
        under_strace = traced(command, fifo) if trace else None
        result = Phase(phase, tuple(argv), time.time())
        try:
            with contextlib.ExitStack() as stack:
                watch = _Watch(stack, group, result, limits)
                prefix = f"streams/{task}/{phase}"
                streams = {
                    "stdout": stack.enter_context(outbox.stream(f"{prefix}.stdout", limits.output_bytes)),
                    "stderr": stack.enter_context(outbox.stream(f"{prefix}.stderr", limits.output_bytes)),
                }
                if under_strace:
                    streams["trace"] = stack.enter_context(outbox.stream(f"{prefix}.strace", limits.trace_bytes))
                    watch.fifo(fifo, streams["trace"].write)
                watch.fifo(announce, watch.announced)
                watch.follow(subprocess.Popen(
                    under_strace or command,
                    cwd=cwd,
                    env=dict(env),
                    stdin=subprocess.DEVNULL,
                    stdout=watch.pipe(streams["stdout"], "stdout_tail"),
                    stderr=watch.pipe(streams["stderr"], "stderr_tail"),
                    start_new_session=True,
                ))  # fmt: skip
                _judge(result, streams)
        finally:
            for path in (announce, fifo):
                path.unlink()
        return result


def _judge(result: Phase, streams: Mapping[str, StreamWriter]) -> None:
    for name, stream in streams.items():
        stream.close()
        result.streams[name] = stream.reference()
    if result.limit is None:
        if result.signal == signal.SIGXFSZ or (result.exit_status and b"File too large" in result.stderr_tail):
            result.limit = "file"
        elif any(result.streams[name]["truncated"] for name in ("stdout", "stderr")):
            result.limit = "output"


def _widen(reader: int) -> None:
    with contextlib.suppress(OSError):  # the user's pipes together are bounded; a narrow one works as well
        fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, PIPE)


class _Watch:
    """Waits for everything of one phase at once: output, trace, the main process, strace, the clock."""

    def __init__(self, stack: contextlib.ExitStack, group: Cgroup | None, result: Phase, limits: Limits) -> None:
        self._stack = stack
        self._group = group
        self._result = result
        self._limits = limits
        self._selector = stack.enter_context(selectors.DefaultSelector())
        self._exits = stack.enter_context(selectors.DefaultSelector())
        self._ends: list[int] = []
        self._pipes: set[int] = set()
        self._pidfds: set[int] = set()
        self._main_gone = False
        self._child_gone = False
        self._started = time.monotonic()

    def fifo(self, path: Path, take: Callable[[bytes], None]) -> None:
        """Read a FIFO into ``take``; it is not at its end before a writer was there, so it never ends the wait."""
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._stack.callback(os.close, reader)
        _widen(reader)
        self._selector.register(reader, selectors.EVENT_READ, take)

    def pipe(self, stream: StreamWriter, tail: str) -> int:
        """Return the write end of a pipe into ``stream``; closed once the child has it."""
        reader, writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(reader, False)
        _widen(reader)
        self._stack.callback(os.close, reader)
        self._ends.append(writer)
        self._pipes.add(reader)

        def take(content: bytes) -> None:
            stream.write(content)
            setattr(self._result, tail, (getattr(self._result, tail) + content)[-TAIL:])

        self._selector.register(reader, selectors.EVENT_READ, take)
        return writer

    def announced(self, text: bytes) -> None:
        """Take the process id that the launcher told, which the main process keeps."""
        if text.strip().isdigit():
            self._pidfd(int(text), self._see_main)

    def follow(self, child: subprocess.Popen[bytes]) -> None:
        """Stay until the whole tree is gone; fill in the result."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        for end in self._ends:
            os.close(end)
        self._pidfd(child.pid, self._see_child)
        limit_at = self._started + self._limits.wall_s
        if not self._until(lambda: self._main_gone or self._child_gone, limit_at):
            self._result.limit = "wall"
        self._result.wall_s = time.monotonic() - self._started
        if self._result.limit is None:
            self._until(lambda: not self._living(child), time.monotonic() + LINGER_S, step=0.02)
        self._result.processes_killed = self._living(child)
        if self._result.processes_killed or self._result.limit:
            self._kill(child)
        settle_at = time.monotonic() + SETTLE_S
        if not self._until(lambda: self._child_gone, settle_at):
            child.kill()
        self._until(lambda: not self._living(child), settle_at, step=0.02)
        self._until(lambda: not self._pipes, settle_at)
        self._drain()
        self._account(child, before)

    def _until(self, done: Callable[[], bool], at: float, step: float | None = None) -> bool:
        while not done():
            left = at - time.monotonic()
            if left <= 0:
                return False
            ready = self._selector.select(left if step is None else min(left, step))
            for key, _ in ready:
                self._ready(key)
            if not self._child_gone and any(key.fd not in self._pidfds for key, _ in ready):
                self._exits.select(min(left, GATHER_S))
        return True

    def _ready(self, key: selectors.SelectorKey) -> None:
        take: Callable[[bytes], None] = key.data
        if key.fd in self._pidfds:
            self._selector.unregister(key.fd)
            self._exits.unregister(key.fd)
            take(b"")
            return
        try:
            content = os.read(key.fd, PIPE)
        except BlockingIOError:
            return
        if content:
            take(content)
        else:
            self._selector.unregister(key.fd)
            self._pipes.discard(key.fd)

    def _drain(self) -> None:
        while ready := self._selector.select(0):
            for key, _ in ready:
                self._ready(key)

    def _pidfd(self, pid: int, gone: Callable[[bytes], None]) -> None:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            gone(b"")
            return
        self._stack.callback(os.close, descriptor)
        self._pidfds.add(descriptor)
        self._selector.register(descriptor, selectors.EVENT_READ, gone)
        self._exits.register(descriptor, selectors.EVENT_READ)

    def _see_main(self, _: bytes) -> None:
        self._main_gone = True

    def _see_child(self, _: bytes) -> None:
        self._child_gone = True

    def _living(self, child: subprocess.Popen[bytes]) -> int:
        if self._group:
            return self._group.count()
        return len(tree.descendants(os.getpid()) - {child.pid})

    def _kill(self, child: subprocess.Popen[bytes]) -> None:
        if self._group:
            self._group.kill()
        tree.kill_all(os.getpid(), spare=child.pid)

    def _account(self, child: subprocess.Popen[bytes], before: resource.struct_rusage) -> None:
        status = child.wait()
        tree.reap()
        if status >= 0:
            self._result.exit_status = status
        else:
            self._result.signal = -status
        if self._group:
            usage = self._group.usage()
            self._result.user_s, self._result.system_s = usage.user_s, usage.system_s
            self._result.peak_bytes = usage.peak_bytes
            if self._result.limit is None:
                if usage.out_of_memory:
                    self._result.limit = "memory"
                elif usage.out_of_pids:
                    self._result.limit = "pids"
            self._group.remove()
        else:
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            self._result.user_s = after.ru_utime - before.ru_utime
            self._result.system_s = after.ru_stime - before.ru_stime
            self._result.peak_bytes = after.ru_maxrss * 1024
