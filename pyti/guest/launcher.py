"""How a phase's process comes to life: strace (root, outside the control group) → sh → setpriv → the real argv.

The shell tells its process id through a FIFO, joins the control group and sets the resource limits; ``setpriv`` drops
the privileges for good and executes the phase's argv. All three are one process, so in a trace everything before the
first ``execve`` of the phase's own ``argv`` is the launcher. The bounding set of capabilities stays as it is:
``no_new_privs`` makes it meaningless, and emptying it takes two traced syscalls for each of forty capabilities.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from .job import Limits
from .layout import Account

__all__ = ["TRACED", "launch", "traced"]

TRACED = (
    # processes
    "execve", "execveat", "clone", "?clone3", "?fork", "?vfork", "kill", "ptrace", "process_vm_readv",
    "process_vm_writev", "memfd_create", "prctl",
    # the network
    "socket", "connect", "bind", "listen", "sendto", "sendmsg", "sendmmsg",
    # files
    "?open", "openat", "?openat2", "?creat", "truncate", "?unlink", "unlinkat", "?rename", "renameat", "renameat2",
    "?chmod", "fchmod", "fchmodat", "?chown", "?lchown", "fchown", "fchownat", "?mkdir", "mkdirat", "?symlink",
    "symlinkat", "?link", "linkat", "?mknod", "mknodat",
    # the machine
    "mount", "umount2", "chroot", "pivot_root", "unshare", "setns", "init_module", "finit_module", "bpf",
    "perf_event_open", "?io_uring_setup", "chdir", "setuid", "setreuid", "setresuid", "setgid", "setresgid", "capset",
    "keyctl", "add_key", "reboot", "settimeofday", "clock_settime", "sethostname",
)  # fmt: skip
"""What strace reports. ``io_uring_setup`` because rings would do I/O that no syscall shows."""

MAX_OPEN_FILES = 4096
"""RLIMIT_NOFILE; generous for a package's tests, and far from what hurts a kernel."""

SETPRIV = shutil.which("setpriv") or "/usr/bin/setpriv"
STRACE = shutil.which("strace")
"""Found by the agent's own PATH, never by the task's, which begins with a folder that packages write to."""

_SCRIPT = """\
echo $$ >"$1"
[ -z "$2" ] || echo $$ >"$2"
ulimit -c 0 && ulimit -n "$3" && ulimit -f "$4" || exit 125
shift 4
exec "$@"
"""


def launch(
    argv: Sequence[str], *, announce: Path, procs: Path | None, limits: Limits, account: Account, drop: bool
) -> list[str]:
    """Return the launcher's argv. ``drop`` is false where this process may not change users (tests)."""
    blocks = max(1, limits.file_bytes // 512)
    command = ["/bin/sh", "-c", _SCRIPT, "launcher", str(announce), str(procs or ""), str(MAX_OPEN_FILES), str(blocks)]
    command += [SETPRIV, "--no-new-privs"]
    if drop:
        command += [
            f"--reuid={account.uid}",
            f"--regid={account.gid}",
            "--clear-groups",
            "--inh-caps=-all",
        ]
    return [*command, "--", *argv]


def traced(command: Sequence[str], trace: Path) -> list[str] | None:
    """``command`` under strace, which writes to ``trace``; ``None`` where there is no strace."""
    if STRACE is None:
        return None
    return [
        STRACE, "-f", "--seccomp-bpf", "-ttt", "-y", "-s", "256", "-e", "signal=none", "-o", str(trace),
        "-e", "trace=" + ",".join(TRACED), "--", *command,
    ]  # fmt: skip
