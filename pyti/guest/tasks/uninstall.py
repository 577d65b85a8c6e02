"""``uninstall``: everything that the installation brought goes away again."""

from __future__ import annotations

from pyti.guest.context import Context
from pyti.guest.installed import files_below, find
from pyti.guest.verdict import Verdict, of_failed

__all__ = ["run"]

MAX_LEFT = 200


def run(context: Context) -> Verdict:
    """Uninstall, and compare the environment with what it was before.

    Files that appeared later (bytecode caches, what tests wrote) are counted as ``made_later`` and fail nothing.
    """
    name = context.metadata.name if context.metadata else context.job.name
    python = str(context.layout.venv / "bin/python")
    present = files_below(context.layout.venv)
    done = context.run("remove", context.uv("pip", "uninstall", "--offline", "--python", python, name), trace=False)
    if not done.ok:
        return of_failed(done, "uninstalling")
    now = files_below(context.layout.venv)
    left = sorted((context.after - context.before) & now)
    lost = sorted(context.before - now)
    base = str(context.layout.venv)
    data = {
        "left": [path.removeprefix(base + "/")[:500] for path in left[:MAX_LEFT]],
        "left_count": len(left),
        "lost_count": len(lost),
        "made_later": len((now & present) - context.before - context.after),
    }
    if find(context.layout.venv, name) is not None:
        return Verdict("failed", "package", f"{name} is still installed", data)
    if left:
        return Verdict("failed", "package", f"{len(left)} files are left behind, as {data['left'][0]}", data)  # type: ignore[index]
    return Verdict("passed", None, "nothing is left", data)
