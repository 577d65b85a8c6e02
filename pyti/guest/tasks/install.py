"""``install``: the dependencies, then the distribution, into an environment that had neither."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyti.guest.archives import BadArchive, read_wheel
from pyti.guest.context import Context
from pyti.guest.installed import EXTENSION, Installed, files_below, find, site_packages
from pyti.guest.metadata import normalize, parse_metadata
from pyti.guest.requirements import specialise
from pyti.guest.verdict import Verdict, of_failed

__all__ = ["run"]

MAX_PTH = 50
MAX_PTH_BYTES = 2000
MAX_NAMES = 500


def run(context: Context) -> Verdict:
    """Install the wheel and say what that put where."""
    wheel = context.wheel or context.job.dist
    try:
        metadata = parse_metadata(read_wheel(wheel, "METADATA"))
    except (BadArchive, ValueError) as error:
        return Verdict("failed", "package", f"{wheel.name}: {error}")
    context.metadata = metadata
    python = context.layout.venv / "bin/python"
    needed = specialise(metadata.requires_dist, context.job.extras)
    if needed:
        folder = context.folder("dependencies")
        listing = folder / "requirements.txt"
        listing.write_text("\n".join(needed) + "\n", encoding="utf-8")
        done = context.run("dependencies", context.uv_install(python, "-r", str(listing)), cwd=folder)
        if not done.ok:
            return of_failed(done, "installing the dependencies")
    context.before = files_below(context.layout.venv)
    done = context.run("dist", context.uv_install(python, "--no-deps", str(wheel)))
    if not done.ok:
        return of_failed(done, "installing the distribution")
    installed = find(context.layout.venv, metadata.name)
    if installed is None:
        return Verdict("failed", "package", f"nothing named {metadata.name} is installed afterwards")
    context.after = files_below(context.layout.venv)
    data = describe(installed, context.layout.venv)
    if needed:
        check = context.run("check", context.uv("pip", "check", "--python", str(python)), trace=False)
        data["consistent"] = check.ok
        data["conflicts"] = [] if check.ok else _lines(check.stderr_tail)
    else:
        data["consistent"], data["conflicts"] = True, []
    detail = f"{data['files']} files, {data['bytes']} bytes"
    if not data["consistent"]:
        return Verdict("failed", "package", f"{detail}; the environment is inconsistent", data)
    return Verdict("passed", None, detail, data)


def describe(installed: Installed, venv: Path) -> dict[str, Any]:
    """Return what an installed distribution consists of."""
    paths = installed.paths()
    names = [name for name, _, _ in installed.files]
    wrong = installed.verify()
    scripts = [path.name for path in paths if path.parent == venv / "bin"]
    return {
        "files": len(names),
        "bytes": installed.size(),
        "typed": installed.typed(),
        "top_level": installed.top_level()[:MAX_NAMES],
        "pth": _pth(installed),
        "extensions": [name for name in names if EXTENSION.search(name)][:MAX_NAMES],
        "scripts": scripts[:MAX_NAMES],
        "record_ok": not wrong,
        "record_wrong": wrong,
        "outside": [str(path) for path in paths if venv not in path.parents][:MAX_NAMES],
    }


def _pth(installed: Installed) -> list[dict[str, Any]]:
    own = {normalize(name) for name, _, _ in installed.files if name.endswith(".pth")}
    found = []
    for path in sorted(site_packages(installed.site.parent.parent.parent).glob("*.pth"))[:MAX_PTH]:
        if path.name == "_virtualenv.pth" or path.is_symlink() or not path.is_file():
            continue
        with path.open("rb") as file:
            lines = file.read(MAX_PTH_BYTES).decode("utf-8", "replace").splitlines()
        found.append({"name": path.name[:200], "own": normalize(path.name) in own, "lines": lines[:10]})
    return found


def _lines(output: bytes) -> list[str]:
    lines = output.decode("utf-8", "replace").splitlines()
    return [line.strip()[:300] for line in lines if line.strip()][:50]
