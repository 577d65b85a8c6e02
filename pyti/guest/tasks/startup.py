"""``startup``: a bare interpreter, so that what runs at every start (``.pth``, ``sitecustomize``) shows."""

from __future__ import annotations

from pyti.guest.context import Context
from pyti.guest.verdict import Verdict, of_failed

__all__ = ["run"]

MAX_MODULES = 500
OWN = frozenset({"__main__"})


def run(context: Context) -> Verdict:
    """Start the interpreter and see which modules that loaded which an empty environment does not."""
    folder = context.folder("bare")
    result = folder / "modules.txt"
    done = context.run("bare", context.python("startup.py", str(result)), cwd=folder)
    if not done.ok:
        return of_failed(done, "a bare interpreter")
    loaded = set(context.result(result).decode("utf-8", "replace").split())
    added = sorted(loaded - context.warmth.modules - OWN)
    data = {"modules_added": [name[:200] for name in added[:MAX_MODULES]], "seconds": done.wall_s}
    if not loaded:
        return Verdict("failed", "package", "a bare interpreter ended before its first statement", data)
    detail = f"loads {', '.join(added[:5])}" if added else "nothing is loaded that was not before"
    return Verdict("passed", None, detail, data)
