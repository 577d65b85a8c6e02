"""``build``: the sdist's own backend makes a wheel, which is what ``install`` takes."""

from __future__ import annotations

import re
from pathlib import Path

from pyti.guest.archives import BadArchive, read_wheel
from pyti.guest.buildenv import BuildFailed, build_environment
from pyti.guest.context import Context
from pyti.guest.verdict import Verdict

__all__ = ["run"]

WHEEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!]*-[A-Za-z0-9._+!]+(-\d[^-]*)?-(?P<tags>[^-]+-[^-]+-[^-]+)\.whl")


def run(context: Context) -> Verdict:
    """Build the wheel; not applicable to a wheel."""
    if context.job.kind == "wheel":
        context.wheel = context.job.dist
        return Verdict("not_applicable", None, "the distribution is a wheel")
    try:
        build = build_environment(context)
        build.make(context)
        if build.wheel is None:
            folder = context.folder("output")
            name = build.hook(context, "wheel", "build_wheel", str(folder))
            build.wheel = folder / Path(str(name)).name
        match = WHEEL.fullmatch(build.wheel.name)
        if match is None or not build.wheel.is_file() or build.wheel.is_symlink():
            return Verdict("failed", "package", f"the backend made no wheel but {build.wheel.name[:200]!r}")
        read_wheel(build.wheel, "METADATA")
    except BuildFailed as failure:
        return failure.verdict
    except BadArchive as error:
        return Verdict("failed", "package", f"the built wheel is malformed: {error}")
    context.wheel = build.wheel
    data = {
        "wheel": build.wheel.name,
        "size": build.wheel.stat().st_size,
        "backend": build.backend,
        "tags": match["tags"],
        "build_requires": list(build.more_requires or ()),
        "requires": list(build.requires),
    }
    return Verdict("passed", None, f"built {build.wheel.name}", data)
