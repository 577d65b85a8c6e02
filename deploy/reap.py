#!/usr/bin/env python3
"""Runs a daemon and buries the orphans below it at once.

libvirt waits until a QEMU process that ended is also buried (waited for) by its parent. QEMU makes itself a daemon, so
that parent is pid 1, or a nearer process that asked to be it. A container's pid 1 may bury its dead only every few
seconds, and then destroying a machine takes as long. Usage: reap.py PROGRAM [ARGUMENT]...
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_CHILD_SUBREAPER = 36
"""prctl(2)."""


def main(argv: list[str]) -> int:
    """Start ``argv``, bury every descendant that dies, and end as ``argv`` did."""
    if not argv:
        print("usage: reap.py PROGRAM [ARGUMENT]...", file=sys.stderr)
        return 2
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        print(f"reap.py: prctl: {os.strerror(ctypes.get_errno())}", file=sys.stderr)
        return 1
    daemon = os.posix_spawnp(argv[0], argv, os.environ)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: os.kill(daemon, number))
    while True:
        process, status = os.wait()
        if process == daemon:
            return max(os.waitstatus_to_exitcode(status), 0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
