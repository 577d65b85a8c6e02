"""``import``: every module of the distribution, each in its turn.

Failed when the package's own top-level modules cannot be imported, or when none can. A submodule that fails is shown
and counted but does not fail the task: many need an optional dependency that was not asked for.
"""

from __future__ import annotations

from pyti.guest.context import Context
from pyti.guest.installed import find, modules_of
from pyti.guest.loading import judge, load_all
from pyti.guest.verdict import Verdict

__all__ = ["run"]

MAX_MODULES = 500


def run(context: Context) -> Verdict:
    """Import the modules."""
    installed = find(context.layout.venv, context.metadata.name if context.metadata else context.job.name)
    if installed is None:
        return Verdict("error", "infrastructure", "the distribution is not installed any more")
    modules = modules_of(name for name, _, _ in installed.files)
    if not modules:
        return Verdict("not_applicable", None, "the distribution has no modules")
    loaded = load_all(context, "modules", modules[:MAX_MODULES])
    if loaded.timeout is not None:
        data = {"modules": loaded.items, "total": len(modules), "ok": loaded.good}
        return Verdict("timeout", "resource", f"importing {loaded.timeout} hit the time limit", data)
    data = {"modules": loaded.items, "total": len(modules), "tried": len(loaded.items), "ok": loaded.good}
    failed = [item for item in loaded.items if not item["ok"]]
    tops = [item for item in failed if "." not in str(item["name"])]
    detail = f"{loaded.good} of {len(modules)} modules"
    if tops or not loaded.good:
        return judge((tops or failed)[0], detail, data)
    if failed:
        detail += f"; {failed[0]['name']}: {failed[0]['error']}"
    return Verdict("passed", None, detail, data)
