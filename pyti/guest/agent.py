"""The agent: polls the inbox and runs one job after the other.

``PYTHONPATH=/usr/lib/pyti python3 -s -m pyti.guest.agent`` as root; prints ``PYTI-AGENT-READY`` when it polls.
Everything is imported before that line, so that a clone of the machine's memory loads nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from .control import Control
from .follower import Follower
from .job import JOB_ID, read_job
from .layout import Account, Layout
from .outbox import Outboxes
from .runner import run_job
from .sockets import serve
from .warmup import Warmth, warm_up

__all__ = ["main"]

POLL_S = 0.05
"""Between two looks into the inbox: one ``scandir`` of a short folder."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until killed."""
    options = _parser().parse_args(arguments)
    layout = Layout.below(options.root, tools=options.tools, python=options.python, cgroup=options.cgroup)
    account = Account.find(options.user)
    os.umask(0o022)
    layout.prepare()
    outboxes = Outboxes(layout.outbox)
    warmth = warm_up(layout, account, thorough=options.warm)
    etc = options.root / "etc"
    etc.mkdir(exist_ok=True)
    in_machine = options.root == Path("/")
    listeners = [
        serve(layout.run / "control.sock", Control(etc, privileged=in_machine)),
        serve(layout.run / "outbox.sock", Follower(outboxes)),
    ]
    print("PYTI-AGENT-READY", flush=True)  # noqa: T201 - what the image's builder waits for
    try:
        poll(layout, account, outboxes, warmth)
    except KeyboardInterrupt:
        pass
    finally:
        for listener in listeners:
            listener.close()


def poll(layout: Layout, account: Account, outboxes: Outboxes, warmth: Warmth) -> None:
    """Run every job whose ``job.json`` appears, oldest name first, for ever."""
    seen: set[str] = set()
    while True:
        for name in sorted(entry.name for entry in os.scandir(layout.inbox)):
            if name not in seen and JOB_ID.fullmatch(name) and (layout.inbox / name / "job.json").exists():
                seen.add(name)
                _run(layout, account, outboxes, warmth, name)
        time.sleep(POLL_S)


def _run(layout: Layout, account: Account, outboxes: Outboxes, warmth: Warmth, name: str) -> None:
    try:
        job = read_job(layout.inbox / name)
        attempt = job.attempt
    except (OSError, ValueError, TypeError) as error:
        print(f"job {name} is malformed: {error}", file=sys.stderr, flush=True)  # noqa: T201 - the machine's journal
        job, attempt = None, 1
    try:
        outbox = outboxes.open(name, attempt)
    except FileExistsError:
        return
    try:
        outbox.record("job.started", tools=warmth.tools)
        if job is not None:
            run_job(job, layout, account, outbox, warmth)
    except Exception:  # noqa: BLE001 - the agent must outlive any job
        traceback.print_exc()
    finally:
        outbox.finish()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pyti.guest.agent", description="Runs the jobs that appear in the inbox.")
    parser.add_argument("--root", type=Path, default=Path("/"), help="where the layout begins")
    parser.add_argument("--user", default="tester", help="the unprivileged user that runs the tasks")
    parser.add_argument("--tools", type=Path, help="where the image's tools are")
    parser.add_argument("--python", type=Path, help="the image's interpreter")
    parser.add_argument("--cgroup", type=Path, help="the control group below which phases run")
    parser.add_argument("--no-warm", dest="warm", action="store_false", help="start without running the tools once")
    return parser


if __name__ == "__main__":
    main()
