"""The exported schemas are those of the code, and an incompatible change is named by message and field."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pyti.message_schemas import SUFFIX, Incompatibility, compare, message_schemas

EXPORTED = Path(__file__).parents[1] / "schemas" / "messages"


def exported() -> dict[str, Any]:
    return {path.name.removesuffix(SUFFIX): msgspec.json.decode(path.read_bytes()) for path in EXPORTED.iterdir()}


def test_the_exported_schemas_are_up_to_date() -> None:
    assert exported() == message_schemas(), "run `pyti schemas export` and commit schemas/"


def test_nothing_is_incompatible_with_what_was_exported() -> None:
    assert compare(exported(), message_schemas()) == []


def changed(tag: str, record: str, change) -> list[Incompatibility]:
    schemas = {tag: message_schemas()[tag]}
    after = copy.deepcopy(schemas)
    change(after[tag]["$defs"][record])
    return compare(schemas, after)


def drop(name: str):
    return lambda record: record["properties"].pop(name)


def put(name: str, **keys: object):
    return lambda record: record["properties"][name].update(keys)


def require(name: str):
    return lambda record: record["required"].append(name)


def add_required(record: dict[str, Any]) -> None:
    record["properties"]["extra"] = {"type": "string"}
    record["required"].append("extra")


@pytest.mark.parametrize(
    ("tag", "record", "change", "field", "reason"),
    [
        ("job.run.v1", "JobRun", drop("profile"), "profile", "was removed"),
        ("job.run.v1", "Distribution", drop("filename"), "distribution.filename", "was removed"),
        ("job.run.v1", "BlobReference", drop("size"), "distribution.blob.size", "was removed"),
        ("job.run.v1", "MachineRequest", put("cpus", type="string"), "machine.cpus", "from integer to string"),
        ("job.run.v1", "MachineRequest", put("cpus", maximum=8), "machine.cpus", "maximum from 64 to 8"),
        ("job.run.v1", "MachineRequest", put("cpus", minimum=2), "machine.cpus", "minimum from 1 to 2"),
        ("job.run.v1", "JobRun", put("submitted", minimum=0), "submitted", "minimum from none to 0"),
        ("job.run.v1", "JobRun", put("job", pattern="^x$"), "job", "changed its pattern"),
        ("job.run.v1", "JobRun", require("profile"), "profile", "became required"),
        ("job.run.v1", "JobRun", add_required, "extra", "is new and required"),
        ("job.run.v1", "Priority", lambda enum: enum["enum"].remove("high"), "priority", "the values ['high']"),
        ("job.run.v1", "JobRun", put("tasks", maxItems=3), "tasks", "maxItems from none to 3"),
        (
            "job.run.v1",
            "JobRun",
            lambda record: record["properties"]["tasks"]["items"].update(type="integer"),
            "tasks[]",
            "from string to integer",
        ),
        (
            "job.run.v1",
            "JobRun",
            lambda record: record["properties"]["deadline"].update(anyOf=[{"type": "number"}]),
            "deadline",
            "no longer takes null",
        ),
        ("job.result.v1", "BlobReference", put("uri", maxLength=10), "raw.files[].uri", "from 200 to 10"),
        ("master.submit.v1", "Submission", drop("file"), "submissions[].file", "was removed"),
    ],
)
def test_an_incompatible_change_is_named(tag: str, record: str, change, field: str, reason: str) -> None:
    found = changed(tag, record, change)
    assert any(each.message == tag and each.field == field and reason in each.reason for each in found), found
    assert {each.field for each in found} >= {field}
    assert str(found[0]).startswith(f"{tag}: ")


@pytest.mark.parametrize(
    ("record", "change"),
    [
        ("JobRun", lambda record: record["properties"].update(extra={"type": "string", "default": ""})),
        ("JobRun", lambda record: record["required"].remove("distribution")),
        ("MachineRequest", put("cpus", maximum=128)),
        ("MachineRequest", put("cpus", type="number")),
        ("MachineRequest", lambda record: record["properties"]["cpus"].pop("minimum")),
        ("Priority", lambda enum: enum["enum"].append("urgent")),
        ("JobRun", lambda record: record["properties"]["deadline"]["anyOf"].append({"type": "string"})),
        ("JobRun", put("profile", description="other words", default="quick")),
    ],
)
def test_a_compatible_change_is_let_through(record: str, change) -> None:
    assert changed("job.run.v1", record, change) == []


def test_a_removed_message_is_named_and_a_new_one_is_not() -> None:
    schemas = message_schemas()
    fewer = {tag: schema for tag, schema in schemas.items() if tag != "job.cancel.v1"}
    assert compare(schemas, fewer) == [Incompatibility("job.cancel.v1", "", "was removed")]
    assert compare(fewer, schemas) == []


def test_a_record_that_contains_itself_is_compared_once() -> None:
    tree = {
        "x.tree.v1": {
            "$ref": "#/$defs/Tree",
            "$defs": {
                "Tree": {
                    "title": "Tree",
                    "type": "object",
                    "properties": {
                        "name": {"type": "string"},
                        "left": {"anyOf": [{"$ref": "#/$defs/Tree"}, {"type": "null"}], "default": None},
                    },
                    "required": ["name"],
                }
            },
        }
    }
    after = copy.deepcopy(tree)
    after["x.tree.v1"]["$defs"]["Tree"]["properties"]["name"]["maxLength"] = 3
    assert compare(tree, tree) == []
    assert [each.field for each in compare(tree, after)] == ["name"]
