"""JSON Schemas of the messages, and what makes a newer one incompatible with an older one.

``schemas/messages/`` holds what the newest release promised; a change that breaks it needs a new version of the
message (``job.run.v2``), not a change of the old one. Pure: reading and writing files is the command's part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from pyti.messages import Message

__all__ = ["DIALECT", "SUFFIX", "Incompatibility", "compare", "message_schemas"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
"""The dialect that msgspec writes."""

SUFFIX = ".schema.json"
"""How the files are named: the message's tag and this."""

LOWER_BOUNDS = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
UPPER_BOUNDS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")

Schema = Mapping[str, Any]


class Incompatibility(msgspec.Struct, frozen=True, order=True):
    """One way in which a message that was fine before is refused or misread now."""

    message: str
    """The message's tag."""
    field: str
    """The path to the field (``distribution.blob.size``), or an empty string for the message itself."""
    reason: str

    def __str__(self) -> str:
        return f"{self.message}: {self.field or 'the message'} {self.reason}"


def message_schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON Schema of every message by its tag, in the order of the tags."""
    schemas: dict[str, dict[str, Any]] = {}
    for kind in _kinds(Message):
        tag = kind.__struct_config__.tag
        if isinstance(tag, str):
            schema = {"$schema": DIALECT, "$id": f"urn:pyti:{tag}", **msgspec.json.schema(kind)}
            # as JSON reads it back: defaults that are tuples become lists
            schemas[tag] = msgspec.json.decode(msgspec.json.encode(schema))
    return dict(sorted(schemas.items()))


def compare(old: Mapping[str, Schema], new: Mapping[str, Schema]) -> list[Incompatibility]:
    """Say what in ``new`` breaks readers or writers of ``old``; both map tags to schemas.

    Incompatible are: a removed message, a removed field, a changed type, a new required field, a narrowed bound or
    set of values. New messages, new optional fields and wider bounds are not.
    """
    found: list[Incompatibility] = []
    for tag, before in old.items():
        if tag not in new:
            found.append(Incompatibility(tag, "", "was removed"))
            continue
        comparison = _Comparison(tag, before, new[tag])
        found.extend(comparison.between(before, new[tag], ""))
    return sorted(set(found))


class _Comparison:
    """Walks an old and a new schema of one message side by side."""

    def __init__(self, tag: str, old: Schema, new: Schema) -> None:
        self._tag = tag
        self._old = old
        self._new = new
        self._walking: list[tuple[str, str]] = []

    def between(self, before: Schema, after: Schema, path: str) -> Iterator[Incompatibility]:
        """Yield what breaks between two schemas of the field at ``path``."""
        pair = (str(before.get("$ref", "")), str(after.get("$ref", "")))
        if all(pair):
            if pair in self._walking:
                return  # a record that contains itself is compared where it stands first
            self._walking.append(pair)
            yield from self.between(_resolved(before, self._old), _resolved(after, self._new), path)
            self._walking.pop()
            return
        before, after = _resolved(before, self._old), _resolved(after, self._new)
        if "anyOf" in before or "anyOf" in after:
            yield from self._alternatives(before, after, path)
            return
        if before.get("type") != after.get("type") and not _widened(before, after):
            yield self._broken(path, f"changed its type from {_name(before)} to {_name(after)}")
            return
        yield from self._values(before, after, path)
        yield from self._fields(before, after, path)
        for key in ("items", "additionalProperties"):
            if isinstance(before.get(key), Mapping) and isinstance(after.get(key), Mapping):
                yield from self.between(before[key], after[key], f"{path}[]")
            elif isinstance(after.get(key), Mapping) and before.get("type") == "array":
                yield self._broken(path, "narrowed what it may hold")

    def _alternatives(self, before: Schema, after: Schema, path: str) -> Iterator[Incompatibility]:
        """Each kind of value that was allowed must find its like; a lone schema is one alternative."""
        left: list[Schema] = after.get("anyOf", [after])
        for each in before.get("anyOf", [before]):
            was = _resolved(each, self._old)
            kinds = [(other, _resolved(other, self._new)) for other in left]
            alike = [other for other, kind in kinds if _name(kind) == _name(was)]
            alike = alike or [other for other, kind in kinds if _widened(was, kind)]
            if not alike:
                yield self._broken(path, f"no longer takes {_name(was)}")
                continue
            yield from min((list(self.between(each, other, path)) for other in alike), key=len)

    def _values(self, before: Schema, after: Schema, path: str) -> Iterator[Incompatibility]:
        if "enum" in after:
            gone = [value for value in before.get("enum", []) if value not in after["enum"]]
            if "enum" not in before:
                yield self._broken(path, f"narrowed to the values {after['enum']}")
            elif gone:
                yield self._broken(path, f"no longer takes the values {gone}")
        for key in LOWER_BOUNDS:
            if key in after and (key not in before or after[key] > before[key]):
                yield self._broken(path, f"narrowed its {key} from {before.get(key, 'none')} to {after[key]}")
        for key in UPPER_BOUNDS:
            if key in after and (key not in before or after[key] < before[key]):
                yield self._broken(path, f"narrowed its {key} from {before.get(key, 'none')} to {after[key]}")
        for key in ("pattern", "multipleOf", "format"):
            if key in after and after[key] != before.get(key):
                yield self._broken(path, f"changed its {key} from {before.get(key, 'none')} to {after[key]}")

    def _fields(self, before: Schema, after: Schema, path: str) -> Iterator[Incompatibility]:
        had, has = before.get("properties", {}), after.get("properties", {})
        for name in had:
            inner = f"{path}.{name}" if path else name
            if name not in has:
                yield self._broken(inner, "was removed")
            else:
                yield from self.between(had[name], has[name], inner)
        for name in after.get("required", []):
            inner = f"{path}.{name}" if path else name
            if name not in had:
                yield self._broken(inner, "is new and required")
            elif name not in before.get("required", []):
                yield self._broken(inner, "became required")

    def _broken(self, path: str, reason: str) -> Incompatibility:
        return Incompatibility(self._tag, path, reason)


def _kinds(base: type[Message]) -> Iterator[type[Message]]:
    for kind in base.__subclasses__():
        yield kind
        yield from _kinds(kind)


def _resolved(schema: Schema, root: Schema) -> Schema:
    while (reference := schema.get("$ref")) is not None:
        schema = root["$defs"][str(reference).removeprefix("#/$defs/")]
    return schema


def _name(schema: Schema) -> str:
    """Name the kind of value, for messages and for finding its like among alternatives."""
    kind = schema.get("type", "enum" if "enum" in schema else "anything")
    return f"{kind} {schema['title']}" if kind == "object" and "title" in schema else str(kind)


def _widened(before: Schema, after: Schema) -> bool:
    """Whether every value of the old kind is one of the new kind too."""
    if before.get("type") == "integer" and after.get("type") == "number":
        return True
    return "type" not in after and "enum" not in after and "properties" not in after
