"""What the agent does once before the snapshot, so that no clone has to.

Runs each tool once: its files stay in the page cache, compiled modules on disk, and the installer remembers what it
asked the interpreter. Plants the canaries. Learns which modules a bare interpreter has, so that ``startup`` can tell
what an installed package adds.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from dataclasses import dataclass, field

from .canary import plant
from .environment import task_environment
from .layout import Account, Layout

__all__ = ["Warmth", "warm_up"]

TOOL_S = 120.0
"""A tool that takes longer than this to say its version is given up."""
BASELINE = "import sys; print(*sorted(sys.modules))"


@dataclass(frozen=True)
class Warmth:
    """What is known before the first job."""

    tools: dict[str, str] = field(default_factory=dict)
    """Versions, from the manifest that the image's builder wrote."""
    modules: frozenset[str] = frozenset()
    """What a bare interpreter of the empty environment has loaded."""


def warm_up(layout: Layout, account: Account, *, thorough: bool) -> Warmth:
    """Prepare the machine; ``thorough`` runs the tools, too."""
    plant(layout.home, account)
    layout.work.mkdir(exist_ok=True)
    if os.geteuid() == 0:
        os.chown(layout.work, account.uid, account.gid)
    modules = _run(layout, account, str(layout.venv / "bin/python"), "-c", BASELINE)
    if thorough:
        python, tools = str(layout.python), str(layout.tools_path)
        _run(layout, account, str(layout.uv), "pip", "list", "--python", str(layout.venv / "bin/python"))
        for probe in ("run_pylint.py", "run_pep8.py", "run_pytest.py"):
            _run(layout, account, python, "-P", str(layout.probes / probe), "--warm", tools)
        _run(
            layout, account, "strace", "-f", "--seccomp-bpf", "-e", "trace=execve", "-o", "/dev/null", "setpriv", "true"
        )
    return Warmth(_manifest(layout), frozenset(modules.split()))


def _run(layout: Layout, account: Account, *argv: str) -> str:
    identity = {"user": account.uid, "group": account.gid, "extra_groups": []} if os.geteuid() == 0 else {}
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(  # type: ignore[call-overload]
            argv,
            cwd=layout.work,
            env=task_environment(layout, account),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TOOL_S,
            check=False,
            text=True,
            **identity,
        )
        return str(done.stdout)
    return ""


def _manifest(layout: Layout) -> dict[str, str]:
    try:
        found = json.loads(layout.manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(name): str(version) for name, version in found.items()} if isinstance(found, dict) else {}
