"""``pyti schemas``: export the JSON Schemas of messages and reports, and check that a change breaks nobody."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from pyti.cli.options import Json
from pyti.errors import ExitStatus, UsageError
from pyti.message_schemas import SUFFIX, compare, message_schemas
from pyti.reports import report_schema

__all__ = ["app"]

app = App(name="schemas", help="Export the schemas of messages and reports, or check them for incompatible changes.")

Folder = Annotated[Path, Parameter(help="The folder that holds the schemas.")]


@app.command
def export(folder: Folder = Path("schemas")) -> int:
    """Write every schema below the folder, one file each."""
    for path, schema in _schemas(folder).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_text(schema))
    return ExitStatus.PASSED


@app.command
def check(folder: Folder = Path("schemas"), *, json: Json = False) -> int:
    """Compare the code with the exported schemas; an incompatible change is named by message and field."""
    if not (folder / "messages").is_dir():
        raise UsageError(
            f"{folder} holds no exported schemas", remedy="Run `pyti schemas export` in the project's folder."
        )
    old = {path.name.removesuffix(SUFFIX): _read(path) for path in sorted((folder / "messages").glob(f"*{SUFFIX}"))}
    broken = compare(old, message_schemas())
    stale = [
        path for path, schema in _schemas(folder).items() if not path.exists() or path.read_bytes() != _text(schema)
    ]
    if json:
        found = {"incompatible": broken, "out_of_date": [str(path) for path in stale]}
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n")
    else:
        for line in [*map(str, broken), *(f"{path} is out of date: run `pyti schemas export`" for path in stale)]:
            print(line)  # noqa: T201 - this is the output
    return ExitStatus.FOUND if broken or stale else ExitStatus.PASSED


def _schemas(folder: Path) -> dict[Path, dict[str, Any]]:
    found = {folder / "messages" / f"{tag}{SUFFIX}": schema for tag, schema in message_schemas().items()}
    found[folder / f"report{SUFFIX}"] = report_schema()
    return found


def _text(schema: dict[str, Any]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n"


def _read(path: Path) -> Any:
    try:
        return msgspec.json.decode(path.read_bytes())
    except msgspec.DecodeError as error:
        raise UsageError(f"{path} is not JSON: {error}", remedy="Run `pyti schemas export`.") from error
