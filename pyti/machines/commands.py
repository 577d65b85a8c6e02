"""Runs host programs (qemu-img, mke2fs, mmdebstrap, …) with a limit, and leaves no process behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pyti.errors import HypervisorUnavailable, MachineError, OutOfSpace, TimeLimitExceeded

__all__ = ["run"]

KEPT_LINES = 40
"""Of the end of a program's output, for the error message."""

END_S = 5.0
"""For a program to unmount and leave after SIGTERM, before SIGKILL."""

PACKAGES = {
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "debugfs": "e2fsprogs",
    "e2fsck": "e2fsprogs",
    "qemu-img": "qemu-utils",
    "qemu-system-x86_64": "qemu-system-x86",
    "ssh-keygen": "openssh-client",
}
"""The Debian package that holds each program."""


async def run(
    argv: Sequence[str | Path],
    *,
    limit_s: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    each_line: Callable[[str], None] | None = None,
    stdin: bytes | None = None,
) -> str:
    """Run ``argv`` and return what it wrote (stdout and stderr together).

    Raises ``HypervisorUnavailable`` where the program is missing, ``TimeLimitExceeded`` after ``limit_s`` seconds,
    ``OutOfSpace`` where the output says that the disk is full, else ``MachineError`` with the end of the output.
    The whole process group is killed when the caller is cancelled or the limit is reached.
    """
    name = str(argv[0])
    try:
        process = await asyncio.create_subprocess_exec(
            *map(str, argv),
            stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "LC_ALL": "C.UTF-8", "PATH": _path(), **(env or {})},
            cwd=cwd,
            start_new_session=True,
            limit=1024 * 1024,
        )
    except FileNotFoundError as error:
        raise HypervisorUnavailable(
            f"the program {name} is not installed", remedy=f"apt-get install {PACKAGES.get(name, name)}"
        ) from error
    lines: list[str] = []
    try:
        async with asyncio.timeout(limit_s):
            if process.stdin is not None:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    process.stdin.write(stdin or b"")
                    await process.stdin.drain()
                process.stdin.close()
            assert process.stdout is not None  # noqa: S101 (it was asked for above; for the type checker)
            async for raw in process.stdout:
                line = raw.decode(errors="replace").rstrip()
                lines.append(line)
                if each_line is not None and line:
                    each_line(line)
            status = await process.wait()
    except TimeoutError:
        raise TimeLimitExceeded(f"{name} did not end within {limit_s:.0f} s") from None
    finally:
        await _end(process)
    output = "\n".join(lines)
    if status != 0:
        tail = "\n".join(lines[-KEPT_LINES:])
        if "No space left on device" in output or "Could not allocate block" in output:
            raise OutOfSpace(f"the disk is full: {name} failed\n{tail}", remedy="Free some space below PyTI's home.")
        raise MachineError(f"{name} ended with status {status}\n{tail}")
    return output


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            await asyncio.shield(asyncio.wait_for(process.wait(), END_S))
            return
