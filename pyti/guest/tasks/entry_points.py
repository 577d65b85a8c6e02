"""``entry-points``: everything that the distribution offers to scripts and plugins can be loaded."""

from __future__ import annotations

import configparser
import re

from pyti.guest.context import Context
from pyti.guest.installed import Installed, find
from pyti.guest.loading import judge, load_all
from pyti.guest.verdict import Verdict

__all__ = ["parse", "run"]

MAX_ENTRIES = 500
MAX_BYTES = 1024 * 1024
TARGET = re.compile(r"([A-Za-z_][\w.]*)\s*(?::\s*([A-Za-z_][\w.]*))?\s*(?:\[.*\])?")


def run(context: Context) -> Verdict:
    """Load the entry points."""
    installed = find(context.layout.venv, context.metadata.name if context.metadata else context.job.name)
    if installed is None:
        return Verdict("error", "infrastructure", "the distribution is not installed any more")
    try:
        entries = parse(_read(installed))
    except ValueError as error:
        return Verdict("failed", "package", f"entry_points.txt is malformed: {error}")
    if not entries:
        return Verdict("not_applicable", None, "the distribution has no entry points")
    targets = [target for _, _, target in entries]
    loaded = load_all(context, "load", targets[:MAX_ENTRIES])
    data = {
        "entries": [
            {**item, "group": group[:200], "name": name[:200], "target": item["name"]}
            for (group, name, _), item in zip(entries, loaded.items, strict=False)
        ],
        "total": len(entries),
        "ok": loaded.good,
    }
    detail = f"{loaded.good} of {len(entries)} entry points"
    if loaded.timeout is not None:
        return Verdict("timeout", "resource", f"loading {loaded.timeout} hit the time limit", data)
    failed = [item for item in loaded.items if not item["ok"]]
    if failed:
        return judge(failed[0], detail, data)
    return Verdict("passed", None, detail, data)


def parse(text: str) -> list[tuple[str, str, str]]:
    """Group, name and ``module[:attribute]`` of each line; ``ValueError`` when malformed."""
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise ValueError(str(error).splitlines()[0]) from error
    found = []
    for group in parser.sections():
        for name, value in parser.items(group):
            match = TARGET.fullmatch(value.strip())
            if match is None:
                raise ValueError(f"{name} = {value}"[:200])
            found.append((group, name, f"{match[1]}:{match[2]}" if match[2] else match[1]))
    return found


def _read(installed: Installed) -> str:
    path = installed.info / "entry_points.txt"
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return file.read(MAX_BYTES).decode("utf-8", "replace")
