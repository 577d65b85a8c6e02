"""A gzipped tar file read strictly, block by block, without the standard library's tar reader.

The guest's and the host's Python may be of 2023, when ``tarfile`` had neither filters nor a defence against negative
sizes; and what counts is what is in the bytes, not what one reader makes of them. Formats: POSIX.1-2001 pax and ustar,
and GNU's long names.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from pyti.errors import MalformedArchive
from pyti.index.archive import Member, Tree

__all__ = ["walk_tar"]

BLOCK = 512
CHUNK = 256 * 1024
MAX_EXTENSION = 1024 * 1024
"""A pax header or a long name; git and setuptools write a few hundred bytes."""
GZIP = 16 + zlib.MAX_WBITS
FILES, HARD, SOFT, FOLDER = (b"0", b"\0", b"7"), b"1", b"2", b"5"
PAX, PAX_GLOBAL, LONG_NAME, LONG_TARGET = b"x", b"g", b"L", b"K"
ZERO = bytes(BLOCK)
PAX_RECORD = re.compile(rb"([1-9][0-9]{0,7}) ")


class _Gunzip:
    """Gives the unpacked bytes of one gzip member, counted; nothing but zeros may follow it."""

    def __init__(self, file: BinaryIO, tree: Tree) -> None:
        self._file = file
        self._tree = tree
        self._unpacker = zlib.decompressobj(GZIP)
        self._packed = b""
        self._ready = bytearray()

    def read(self, count: int) -> bytes:
        """Give up to ``count`` bytes; fewer only at the end."""
        while len(self._ready) < count and self._fill():
            pass
        data = bytes(self._ready[:count])
        del self._ready[:count]
        return data

    def _fill(self) -> bool:
        if self._unpacker.eof:
            return False
        if not self._packed:
            self._packed = self._file.read(CHUNK)
            if not self._packed:
                raise MalformedArchive("the gzip stream ends too early.")
        try:
            piece = self._unpacker.decompress(self._packed, CHUNK * 4)
        except zlib.error as error:
            raise MalformedArchive(f"it is not a sound gzip stream: {error}.") from error
        self._packed = self._unpacker.unconsumed_tail
        self._tree.grow(len(piece))
        self._ready += piece
        self._check_rest()
        return True

    def _check_rest(self) -> None:
        """Refuse anything but zeros behind the gzip member."""
        rest = self._unpacker.unused_data if self._unpacker.eof else b""
        while rest:
            if rest.strip(b"\0"):
                raise MalformedArchive("bytes follow the end of the gzip stream.")
            rest = self._file.read(CHUNK)


@dataclass
class _Extensions:
    """What pax headers and GNU long names say of the next member, or (``world``) of all that follow."""

    own: dict[str, str] = field(default_factory=dict)
    world: dict[str, str] = field(default_factory=dict)

    def get(self, key: str) -> str | None:
        return self.own.get(key, self.world.get(key))


def walk_tar(path: Path, tree: Tree, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """Check every byte of a gzipped tar file, put its members into ``tree``, give the contents of the wanted ones.

    Raises ``MalformedArchive``; devices, pipes, sparse and multi-volume members are refused.
    """
    kept: dict[str, bytes] = {}
    with path.open("rb") as file:
        stream = _Gunzip(file, tree)
        extensions = _Extensions()
        first = True
        while block := stream.read(BLOCK):
            if len(block) != BLOCK:
                raise MalformedArchive("the tar file ends inside a header.")
            if block == ZERO:
                if first:
                    raise MalformedArchive("the tar file is empty.")
                _only_zeros(stream)
                return kept
            first = False
            _one(block, stream, extensions, tree, wanted, kept)
        if first:
            raise MalformedArchive("the tar file is empty.")
        tree.note("the tar file has no end mark")
    return kept


def _only_zeros(stream: _Gunzip) -> None:
    while rest := stream.read(CHUNK):
        if rest.strip(b"\0"):
            raise MalformedArchive("bytes follow the end of the tar file.")


def _one(
    block: bytes,
    stream: _Gunzip,
    extensions: _Extensions,
    tree: Tree,
    wanted: Callable[[str], bool],
    kept: dict[str, bytes],
) -> None:
    """Read one header and what belongs to it."""
    _check_sum(block)
    kind = block[156:157]
    size = _number(block[124:136])
    if kind in (PAX, PAX_GLOBAL, LONG_NAME, LONG_TARGET):
        data = _extension(stream, size)
        if kind == LONG_NAME:
            extensions.own["path"] = _text(data.rstrip(b"\0"))
        elif kind == LONG_TARGET:
            extensions.own["linkpath"] = _text(data.rstrip(b"\0"))
        else:
            (extensions.own if kind == PAX else extensions.world).update(_pax(data))
        return
    declared = extensions.get("size")
    if declared is not None:
        if not re.fullmatch(r"[0-9]{1,15}", declared):
            raise MalformedArchive("a pax header has a size that is no number.")
        size = int(declared)
    raw = extensions.get("path") or _name(block)
    target = extensions.get("linkpath") or _text(_cut(block[157:257]))
    extensions.own.clear()
    name = tree.path(raw)
    if kind in FILES and not (kind == b"\0" and raw.endswith("/")):
        keep = wanted(name) and size <= tree.limits.max_kept
        data = _skip(stream, size, keep=keep)
        if keep:
            kept[name] = data
        tree.add(Member(path=name, size=size))
    elif kind == FOLDER or kind in FILES:
        _skip(stream, size, keep=False)
        tree.add(Member(path=name, directory=True))
    elif kind in (HARD, SOFT):
        if size and kind == SOFT:
            raise MalformedArchive(f"the link {raw[:120]!a} holds data.")
        _skip(stream, size, keep=False)
        tree.add(Member(path=name, target=target, hard=kind == HARD))
    else:
        raise MalformedArchive(f"{raw[:120]!a} is a device, a pipe or another special member (type {kind!r}).")


def _check_sum(block: bytes) -> None:
    recorded = _number(block[148:156])
    blanked = block[:148] + b" " * 8 + block[156:]
    signed = sum(byte - 256 if byte > 127 else byte for byte in blanked)
    if recorded not in (sum(blanked), signed):
        raise MalformedArchive("a tar header's checksum is wrong.")


def _number(data: bytes) -> int:
    """Read an octal number, or GNU's base-256 one where it is not negative."""
    if data[0] & 0x80:
        value = int.from_bytes(bytes([data[0] & 0x7F]) + data[1:], "big")
        if data[0] & 0x40 or value > 1 << 50:
            raise MalformedArchive("a tar header has a negative or absurd number.")
        return value
    text = data.strip(b"\0 ")
    if not text:
        return 0
    if not re.fullmatch(rb"[0-7]+", text):
        raise MalformedArchive("a tar header has a number that is not octal.")
    return int(text, 8)


def _cut(data: bytes) -> bytes:
    return data.partition(b"\0")[0]


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _name(block: bytes) -> str:
    name = _cut(block[:100])
    if block[257:263] == b"ustar\0" and (prefix := _cut(block[345:500])):
        name = prefix + b"/" + name
    return _text(name)


def _extension(stream: _Gunzip, size: int) -> bytes:
    if size > MAX_EXTENSION:
        raise MalformedArchive(f"a tar extension header is larger than {MAX_EXTENSION} bytes.")
    return _skip(stream, size, keep=True)


def _skip(stream: _Gunzip, size: int, *, keep: bool) -> bytes:
    """Read a member's data with its padding; keep it if told so."""
    padded = size + -size % BLOCK
    kept = bytearray()
    while padded:
        piece = stream.read(min(padded, CHUNK))
        if not piece:
            raise MalformedArchive("the tar file ends inside a member.")
        padded -= len(piece)
        if keep:
            kept += piece
    return bytes(kept[:size])


def _pax(data: bytes) -> dict[str, str]:
    """Read pax records, ``length key=value newline`` each."""
    records: dict[str, str] = {}
    position = 0
    while position < len(data):
        match = PAX_RECORD.match(data, position)
        if match is None:
            raise MalformedArchive("a pax header is malformed.")
        end = position + int(match[1])
        record = data[match.end() : end]
        key, equals, value = record[:-1].partition(b"=")
        if end > len(data) or not equals or not record.endswith(b"\n"):
            raise MalformedArchive("a pax header is malformed.")
        if key.startswith(b"GNU.sparse"):
            raise MalformedArchive("a member is sparse; sdists have no such members.")
        if key in {b"path", b"linkpath", b"size"}:
            if b"\0" in value or not value:
                raise MalformedArchive("a pax header has an empty name or one with a NUL.")
            records[key.decode()] = _text(value)
        position = end
    return records
