"""Messages survive the wire, refuse what is out of bounds, and stay readable for older and newer peers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyti import messages
from pyti.messages import (
    BlobReference,
    CancelJob,
    ControlCommand,
    Distribution,
    DistributionKind,
    JobRun,
    MachineRequest,
    Message,
)

REFERENCE = Path(__file__).parents[1] / "docs" / "reference" / "messages.md"
RUN = JobRun(
    job="job-1",
    distribution=Distribution(name="six", version="1", filename="six-1.tar.gz", kind=DistributionKind.SDIST),
)


def every_message() -> list[type[Message]]:
    return sorted(Message.__subclasses__(), key=lambda kind: str(kind.__struct_config__.tag))


def wire(message: msgspec.Struct) -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(message))
    return decoded


@pytest.mark.parametrize("kind", every_message(), ids=lambda kind: kind.__name__)
def test_each_message_has_a_tag_of_its_own_with_name_and_version(kind: type[Message]) -> None:
    tag = str(kind.__struct_config__.tag)
    assert re.fullmatch(r"(job|slave|master)\.[a-z-]+\.v[1-9][0-9]*", tag)
    assert [other for other in every_message() if other.__struct_config__.tag == tag] == [kind]
    assert kind.__struct_config__.frozen
    assert kind.__name__ in messages.__all__


@pytest.mark.parametrize("kind", every_message(), ids=lambda kind: kind.__name__)
def test_unknown_fields_of_a_newer_peer_are_ignored(kind: type[Message]) -> None:
    assert not kind.__struct_config__.forbid_unknown_fields


def test_a_message_survives_the_wire() -> None:
    assert msgspec.json.decode(msgspec.json.encode(RUN), type=JobRun) == RUN
    assert wire(RUN)["type"] == "job.run.v1"
    assert msgspec.json.decode(msgspec.json.encode({**wire(RUN), "from_the_future": [1]}), type=JobRun) == RUN


def test_a_control_command_is_told_by_its_tag() -> None:
    sent = msgspec.json.encode(CancelJob(job="job-1", reason="no"))
    assert msgspec.json.decode(sent, type=ControlCommand) == CancelJob(job="job-1", reason="no")


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (JobRun, RUN, {"job": "../../etc"}),
        (JobRun, RUN, {"job": "UPPER"}),
        (JobRun, RUN, {"job": "x" * 65}),
        (JobRun, RUN, {"attempt": 0}),
        (JobRun, RUN, {"tasks": ["rm -rf"]}),
        (JobRun, RUN, {"lease_s": 0}),
        (JobRun, RUN, {"priority": "urgent"}),
        (MachineRequest, MachineRequest(), {"cpus": 65}),
        (MachineRequest, MachineRequest(), {"memory_mib": 1}),
        (MachineRequest, MachineRequest(), {"time_limit_s": 1e9}),
        (MachineRequest, MachineRequest(), {"network": "host"}),
        (Distribution, RUN.distribution, {"filename": "../six.tar.gz"}),
        (Distribution, RUN.distribution, {"filename": ".hidden"}),
        (Distribution, RUN.distribution, {"sha256": "A" * 64}),
        (BlobReference, BlobReference(uri="x", sha256="a" * 64, size=0), {"size": -1}),
        (BlobReference, BlobReference(uri="x", sha256="a" * 64, size=0), {"sha256": "a" * 65}),
    ],
)
def test_what_is_out_of_bounds_is_refused(kind: type, good: msgspec.Struct, bad: dict[str, Any]) -> None:
    assert msgspec.convert(wire(good), kind) == good
    with pytest.raises(msgspec.ValidationError, match=re.escape(next(iter(bad)))):
        msgspec.convert({**wire(good), **bad}, kind)


@given(junk=st.binary(max_size=200))
def test_junk_is_refused_with_an_error_of_msgspec(junk: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        msgspec.json.decode(junk, type=JobRun)


@pytest.mark.parametrize("kind", every_message(), ids=lambda kind: kind.__name__)
def test_the_reference_has_every_message_and_field(kind: type[Message]) -> None:
    tag = re.escape(str(kind.__struct_config__.tag))
    section = re.search(
        rf"^### `{tag}`$(.*?)(?=^##|\Z)", REFERENCE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert section is not None, f"{REFERENCE.name} has no section on {tag}"
    shown = set(re.findall(r"^\| `(\w+)` \|", section[1], re.MULTILINE))
    assert shown == {field.name for field in msgspec.structs.fields(kind)}


def test_the_reference_has_no_message_that_is_gone() -> None:
    shown = re.findall(r"^### `([\w.-]+\.v\d+)`$", REFERENCE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(shown) == [str(kind.__struct_config__.tag) for kind in every_message()]
