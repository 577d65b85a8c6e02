"""Schemas are exported whole, and a change that breaks somebody is named by message and field."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyti.message_schemas import message_schemas

Run = Callable[..., Any]


@pytest.fixture
def exported(pyti: Run, tmp_path: Path) -> Path:
    folder = tmp_path / "schemas"
    assert pyti("schemas", "export", str(folder)).status == 0
    return folder


def change(path: Path, edit: Callable[[Any], None]) -> None:
    schema = json.loads(path.read_text())
    edit(schema)
    path.write_text(json.dumps(schema))


def test_every_message_and_the_report_are_exported(exported: Path) -> None:
    names = {path.name for path in (exported / "messages").iterdir()}

    assert names == {f"{tag}.schema.json" for tag in message_schemas()}
    assert json.loads((exported / "report.schema.json").read_text())


def test_what_was_just_exported_is_fine(pyti: Run, exported: Path) -> None:
    outcome = pyti("schemas", "check", str(exported))

    assert (outcome.status, outcome.out) == (0, "")


def test_the_schemas_of_this_project_are_up_to_date(pyti: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parent.parent.parent)

    outcome = pyti("schemas", "check")

    assert (outcome.status, outcome.out) == (0, "")


def test_a_field_that_is_gone_is_named(pyti: Run, exported: Path) -> None:
    def had_one_more(schema: Any) -> None:
        schema["$defs"]["JobRun"]["properties"]["colour"] = {"type": "string"}

    change(exported / "messages" / "job.run.v1.schema.json", had_one_more)

    text, found = pyti("schemas", "check", str(exported)), pyti("schemas", "check", str(exported), "--json")

    assert text.status == found.status == 1
    assert "job.run.v1: colour was removed" in text.out
    (incompatible,) = json.loads(found.out)["incompatible"]
    assert (incompatible["message"], incompatible["field"]) == ("job.run.v1", "colour")


def test_a_message_that_is_gone_is_named(pyti: Run, exported: Path) -> None:
    folder = exported / "messages"
    (folder / "job.fly.v1.schema.json").write_text((folder / "job.run.v1.schema.json").read_text())

    outcome = pyti("schemas", "check", str(exported))

    assert outcome.status == 1
    assert "job.fly.v1: the message was removed" in outcome.out


def test_a_compatible_change_only_asks_for_an_export(pyti: Run, exported: Path) -> None:
    (exported / "messages" / "job.run.v1.schema.json").unlink()

    outcome = pyti("schemas", "check", str(exported))

    assert outcome.status == 1
    assert "job.run.v1.schema.json is out of date: run `pyti schemas export`" in outcome.out
    assert "removed" not in outcome.out


@pytest.mark.parametrize("content", ["{", "\udcff"])
def test_a_file_that_is_no_schema_is_named(pyti: Run, exported: Path, content: str) -> None:
    path = exported / "messages" / "job.run.v1.schema.json"
    path.write_text(content, errors="surrogateescape")

    outcome = pyti("schemas", "check", str(exported))

    assert outcome.status == 2
    assert "job.run.v1.schema.json is not JSON" in outcome.said


def test_a_folder_without_schemas_is_named(pyti: Run, tmp_path: Path) -> None:
    outcome = pyti("schemas", "check", str(tmp_path))

    assert outcome.status == 2
    assert str(tmp_path) in outcome.said
    assert "pyti schemas export" in outcome.said
