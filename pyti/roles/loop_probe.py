"""Finds what blocks the event loop, and names it: a thread watches the loop's pulse.

A blocked loop delays leases, streams and every other job of the process, so services run this probe all the time; it
costs two wake-ups per ``PULSE_S``.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

__all__ = ["Blocked", "loop_probe"]

PULSE_S = 0.01
LIMIT_S = 0.05
"""What the loop may be blocked at a time (the bound that PyTI sets itself)."""

BASELINE_TURNS = 10
"""Pulses between two looks at how long each thread has waited for a processor. It must be taken before the loop is
late: the watcher cannot run either while the thread that holds the interpreter lock waits."""

OWN_PLACE = "roles/loop_probe.py:"
"""How this module looks in a stack: here the loop's thread only waits to go on."""

DEPTH = 8
"""Innermost frames that are kept of an offender."""


@dataclass(frozen=True)
class Blocked:
    """The loop's thread did not return to the loop for ``seconds``, waiting for a processor not counted."""

    seconds: float
    stack: tuple[str, ...]
    """``file:line function`` of the loop's thread while it was blocked, innermost last. When that thread only waited
    for the interpreter lock, the innermost frames of the other threads; empty when nothing could be seen (a garbage
    collection, for one)."""

    def __str__(self) -> str:
        places = " > ".join(filter(None, self.stack)) or "nothing that was seen"
        return f"blocked for {self.seconds * 1000:.0f} ms by {places}"


class _Pulse:
    """What the loop's thread writes and the watcher reads; each field is written by one side only."""

    def __init__(self) -> None:
        self.beat = time.monotonic()
        self.waited = _thread_waited_s(threading.get_native_id())
        self.others = _waited_s()
        self.stop = threading.Event()
        self.stack: tuple[str, ...] = ()


@asynccontextmanager
async def loop_probe(report: Callable[[Blocked], None], *, limit_s: float = LIMIT_S) -> AsyncIterator[None]:
    """Call ``report`` on the loop for each time that the body's loop is blocked for longer than ``limit_s``.

    Time in which a thread of this process was ready to run but other processes had the processors is not counted
    (Linux tells it in ``schedstat``): it may be the loop's thread, or the one that holds the interpreter lock. For the
    latter the last tenth of a second is taken, so on a busy host a short blockage may be missed, never invented.
    """
    pulse = _Pulse()
    loop = asyncio.get_running_loop()
    thread_id, native_id = threading.get_ident(), threading.get_native_id()
    handle: asyncio.TimerHandle | None = None

    def beat() -> None:
        nonlocal handle
        now, waited = time.monotonic(), _thread_waited_s(native_id)
        blocked = now - pulse.beat - PULSE_S - (waited - pulse.waited)
        if blocked > limit_s:
            blocked -= _longest_wait_s(pulse.others)
        if blocked > limit_s:
            report(Blocked(blocked, pulse.stack))
        pulse.stack = ()
        pulse.beat, pulse.waited = now, waited
        handle = loop.call_later(PULSE_S, beat)

    watcher = threading.Thread(target=_watch, args=(pulse, thread_id, limit_s), name="loop probe", daemon=True)
    watcher.start()
    beat()
    try:
        yield
    finally:
        if handle is not None:
            handle.cancel()
        pulse.stop.set()
        await asyncio.to_thread(watcher.join, 1.0)


def _watch(pulse: _Pulse, thread_id: int, limit_s: float) -> None:
    """Note where the loop's thread is, when its pulse is late by more than half the limit."""
    turns = 0
    while not pulse.stop.wait(PULSE_S):
        turns += 1
        if turns % BASELINE_TURNS == 0 and not pulse.stack:
            pulse.others = _waited_s()
        if time.monotonic() - pulse.beat > limit_s / 2 + PULSE_S and not pulse.stack:
            frames = sys._current_frames()  # noqa: SLF001 - the documented way to see other threads
            loops = frames.pop(thread_id, None)
            frames.pop(threading.get_ident(), None)
            stack = _described(loops)
            if stack and (stack[-1].endswith(" select") or any(place.startswith(OWN_PLACE) for place in stack)):
                stack = tuple(place for frame in frames.values() for place in _described(frame)[-1:])
            pulse.stack = stack or ("",)


def _described(frame: FrameType | None) -> tuple[str, ...]:
    frames = traceback.extract_stack(frame, limit=DEPTH) if frame is not None else []
    return tuple(f"{'/'.join(Path(each.filename).parts[-2:])}:{each.lineno} {each.name}" for each in frames)


def _longest_wait_s(before: dict[str, float]) -> float:
    """Seconds that the thread that waited longest for a processor has waited since ``before``."""
    return max((now - before[thread] for thread, now in _waited_s().items() if thread in before), default=0.0)


def _waited_s() -> dict[str, float]:
    """``_thread_waited_s`` of every thread of this process."""
    return {task.name: _thread_waited_s(task.name) for task in Path("/proc/self/task").iterdir()}


def _thread_waited_s(native_id: int | str) -> float:
    """Seconds that a thread has waited for a processor (proc(5): the second figure of ``schedstat``).

    0 for a thread that has just ended, and where the kernel does not tell.
    """
    try:
        return int(Path(f"/proc/self/task/{native_id}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0
