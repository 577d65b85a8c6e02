"""Which messages are known: from the name and version in a tag to a type, and back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from pyti.errors import InvalidMessage, UnknownMessage

__all__ = ["Registry"]

TAG = re.compile(r"([a-z0-9]+(?:[.-][a-z0-9]+)*)\.v([1-9][0-9]{0,5})", re.ASCII)
_MAX_SHOWN = 128


class Registry:
    """The messages that a program understands, by (name, version).

    A message is a msgspec Struct whose tag is text like ``job.run.v1`` in a tag field of any name.
    """

    def __init__(self, *types: type[msgspec.Struct]) -> None:
        self._decoders: dict[tuple[str, int], msgspec.json.Decoder[Any]] = {}
        self._types: dict[tuple[str, int], type[msgspec.Struct]] = {}
        self._tags: dict[type[msgspec.Struct], str] = {}
        self._versions: dict[str, set[int]] = {}
        self._encoder = msgspec.json.Encoder()
        self.register(*types)

    def register(self, *types: type[msgspec.Struct]) -> None:
        """Add message types; doing it twice is harmless.

        Raises ``ValueError`` when a type has no tag ``<name>.v<version>``, or when another type has the same one.
        """
        for kind in types:
            tag = kind.__struct_config__.tag
            match = TAG.fullmatch(tag) if isinstance(tag, str) else None
            if match is None or not isinstance(tag, str):
                raise ValueError(f"{kind.__qualname__} needs a tag like 'job.run.v1', not {tag!r}")
            key = (match[1], int(match[2]))
            if self._types.setdefault(key, kind) is not kind:
                raise ValueError(f"{kind.__qualname__} and {self._types[key].__qualname__} share the tag {tag!r}")
            self._decoders[key] = msgspec.json.Decoder(kind)
            self._tags[kind] = tag
            self._versions.setdefault(key[0], set()).add(key[1])

    def __iter__(self) -> Iterator[type[msgspec.Struct]]:
        return iter(self._types.values())

    def __contains__(self, kind: object) -> bool:
        return kind in self._tags

    def encode(self, message: msgspec.Struct) -> tuple[str, bytes]:
        """Return the message's tag and its JSON. Raises ``UnknownMessage`` for a type that was not registered."""
        tag = self._tags.get(type(message))
        if tag is None:
            raise UnknownMessage(
                f"{type(message).__qualname__} is not registered",
                remedy="Register the type with the Registry that the bus was opened with.",
            )
        return tag, self._encoder.encode(message)

    def decode(self, tag: str, body: bytes) -> msgspec.Struct:
        """Return the message that ``body`` holds, by the envelope's ``tag``.

        Raises ``UnknownMessage`` when no type has that name or version, ``InvalidMessage`` when the body is not JSON,
        breaks a bound, or carries another tag than the envelope.
        """
        match = TAG.fullmatch(tag)
        if match is None or match[1] not in self._versions:
            raise UnknownMessage(f"no message is registered under {tag[:_MAX_SHOWN]!r}")
        key = (match[1], int(match[2]))
        decoder = self._decoders.get(key)
        if decoder is None:
            known = ", ".join(f"v{version}" for version in sorted(self._versions[key[0]]))
            raise UnknownMessage(f"version {key[1]} of {key[0]!r} is unknown; known: {known}")
        try:
            message: msgspec.Struct = decoder.decode(body)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise InvalidMessage(f"the body of a {tag} does not decode: {str(error)[:512]}") from error
        return message

    def knows_name(self, tag: str) -> bool:
        """Whether some version of the tag's name is registered."""
        match = TAG.fullmatch(tag)
        return match is not None and match[1] in self._versions
