"""A ZIP file read strictly: the central directory and the local headers must tell the same story.

Installers differ in which of the two they believe, so a file where they disagree can be one thing to a scanner and
another to an installer. Layout and numbers: PKWARE APPNOTE 6.3.10, sections 4.3 to 4.5.
"""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pyti.errors import MalformedArchive
from pyti.index.archive import Member, Tree

__all__ = ["walk_zip"]

END = struct.Struct("<4s4H2LH")
END64 = struct.Struct("<4sQ2H2L4Q")
LOCATOR64 = struct.Struct("<4sLQL")
CENTRAL = struct.Struct("<4s6H3L5H2L")
LOCAL = struct.Struct("<4s5H3L2H")
END_MAGIC, CENTRAL_MAGIC, LOCAL_MAGIC = b"PK\x05\x06", b"PK\x01\x02", b"PK\x03\x04"
END64_MAGIC, LOCATOR64_MAGIC, DESCRIPTOR_MAGIC = b"PK\x06\x06", b"PK\x06\x07", b"PK\x07\x08"
ENCRYPTED, DESCRIPTOR, PATCH, STRONG, UTF8, MASKED = 0x1, 0x8, 0x20, 0x40, 0x800, 0x2000
STORED, DEFLATED = 0, 8
FULL16, FULL32 = 0xFFFF, 0xFFFFFFFF
MAX_DIRECTORY = 128 * 1024 * 1024
CHUNK = 256 * 1024
OUTPUT = 4 * CHUNK


@dataclass(frozen=True)
class _Entry:
    """One record of the central directory."""

    name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    mode: int


def walk_zip(path: Path, tree: Tree, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """Check every byte of a ZIP file, put its members into ``tree``, and give the contents of the wanted ones.

    Raises ``MalformedArchive`` (also for what is only unusual: methods other than stored and deflate, encryption,
    several disks, anything before, between and after the members).
    """
    kept: dict[str, bytes] = {}
    with path.open("rb") as file:
        directory, entries = _central_directory(file, path.stat().st_size, tree.limits.max_members)
        position = 0
        for entry in sorted(entries, key=lambda entry: entry.offset):
            if entry.offset != position:
                raise MalformedArchive(
                    f"{ascii(entry.name[:120])[1:]} starts at {entry.offset}, where {position} was expected: "
                    "members overlap, or hide bytes between them."
                )
            member, position = _member(file, entry, directory, tree, wanted, kept)
            tree.add(member)
        if position != directory:
            raise MalformedArchive(f"{directory - position} bytes lie between the members and the central directory.")
    return kept


def _read(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise MalformedArchive("the ZIP file ends too early.")
    return data


def _central_directory(file: BinaryIO, length: int, max_members: int) -> tuple[int, list[_Entry]]:
    """Find and read the central directory; give where it starts and its records."""
    tail_length = min(length, END.size + FULL16)
    file.seek(length - tail_length)
    tail = file.read(tail_length)
    at = tail.rfind(END_MAGIC)
    if length < END.size or at < 0 or len(tail) - at < END.size:
        raise MalformedArchive("it is not a ZIP file, or its end is missing.")
    _, disk, first_disk, here, count, size, start, comment = END.unpack_from(tail, at)
    if at + END.size + comment != len(tail):
        raise MalformedArchive("bytes follow the end of the ZIP file.")
    if tail.find(END_MAGIC) != at and tail.find(END_MAGIC, at + 1) != -1:
        raise MalformedArchive("the ZIP file has two ends.")
    end = length - tail_length + at
    if FULL16 in (here, count, disk) or FULL32 in (size, start):
        end, disk, first_disk, here, count, size, start = _end64(file, end)
    if disk or first_disk or here != count:
        raise MalformedArchive("the ZIP file is a part of a set of several.")
    if count > max_members:
        raise MalformedArchive(f"the archive has more than {max_members} members.")
    if size > MAX_DIRECTORY or start + size != end:
        raise MalformedArchive("the central directory is not where the ZIP file's end says.")
    file.seek(start)
    data = _read(file, size)
    entries: list[_Entry] = []
    position = 0
    while position < size:
        if size - position < CENTRAL.size:
            raise MalformedArchive("the central directory ends too early.")
        entry, position = _central_record(data, position)
        entries.append(entry)
    if len(entries) != count:
        raise MalformedArchive(f"the central directory has {len(entries)} records where {count} are announced.")
    return start, entries


def _end64(file: BinaryIO, end: int) -> tuple[int, int, int, int, int, int, int]:
    """Read the ZIP64 end that stands right before the classic one."""
    if end < LOCATOR64.size + END64.size:
        raise MalformedArchive("the ZIP64 end is missing.")
    file.seek(end - LOCATOR64.size)
    magic, disk, start, _ = LOCATOR64.unpack(_read(file, LOCATOR64.size))
    if magic != LOCATOR64_MAGIC or disk or start != end - LOCATOR64.size - END64.size:
        raise MalformedArchive("the ZIP64 end is not where it must be.")
    file.seek(start)
    magic, length, _, _, disk, first_disk, here, count, size, offset = END64.unpack(_read(file, END64.size))
    if magic != END64_MAGIC or length != END64.size - 12:
        raise MalformedArchive("the ZIP64 end is malformed.")
    return start, disk, first_disk, here, count, size, offset


def _central_record(data: bytes, position: int) -> tuple[_Entry, int]:
    (magic, made, _, flags, method, _, _, crc, packed, size, name_length, extra_length, comment_length, disk, _,
     attributes, offset) = CENTRAL.unpack_from(data, position)  # fmt: skip
    name_at = position + CENTRAL.size
    extra_at = name_at + name_length
    after = extra_at + extra_length + comment_length
    if magic != CENTRAL_MAGIC or after > len(data):
        raise MalformedArchive("a record of the central directory is malformed.")
    extra = data[extra_at : extra_at + extra_length]
    size, packed, offset = _zip64(extra, [size, packed, offset])
    if disk not in {0, FULL16}:
        raise MalformedArchive("a member lies on another disk.")
    mode = attributes >> 16 if made >> 8 == 3 else 0  # 4.4.2: 3 is Unix
    return _Entry(data[name_at:extra_at], flags, method, crc, packed, size, offset, mode), after


def _zip64(extra: bytes, values: list[int]) -> list[int]:
    """Replace the values that are full by those of the ZIP64 extra field (4.5.3)."""
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, position)
        if position + 4 + length > len(extra):
            raise MalformedArchive("an extra field is longer than its place.")
        if kind == 1:
            at = position + 4
            for index, value in enumerate(values):
                if value == FULL32:
                    if at + 8 > position + 4 + length:
                        raise MalformedArchive("a ZIP64 field is too short.")
                    values[index] = struct.unpack_from("<Q", extra, at)[0]
                    at += 8
            return values
        position += 4 + length
    return values


def _member(
    file: BinaryIO, entry: _Entry, directory: int, tree: Tree, wanted: Callable[[str], bool], kept: dict[str, bytes]
) -> tuple[Member, int]:
    """Compare one member's two headers, unpack it, and tell where the next must start."""
    shown = ascii(entry.name[:120])[1:]
    if entry.offset + LOCAL.size > directory:
        raise MalformedArchive(f"{shown} starts behind the members.")
    file.seek(entry.offset)
    magic, _, flags, method, _, _, crc, packed, size, name_length, extra_length = LOCAL.unpack(_read(file, LOCAL.size))
    name = _read(file, name_length)
    extra = _read(file, extra_length)
    if magic != LOCAL_MAGIC:
        raise MalformedArchive(f"{shown} has no local header.")
    if (entry.flags | flags) & (ENCRYPTED | STRONG | MASKED | PATCH):
        raise MalformedArchive(f"{shown} is encrypted or a patch.")
    full_size = FULL32 in (size, packed)
    size, packed = _zip64(extra, [size, packed])
    agree = (name, flags & (DESCRIPTOR | UTF8), method) == (entry.name, entry.flags & (DESCRIPTOR | UTF8), entry.method)
    figures = (crc, packed, size)
    if not agree or (
        figures != (entry.crc, entry.packed, entry.size) and not (flags & DESCRIPTOR and not any(figures))
    ):
        raise MalformedArchive(f"the local header of {shown} disagrees with the central directory.")
    start = entry.offset + LOCAL.size + name_length + extra_length
    if start + entry.packed > directory:
        raise MalformedArchive(f"{shown} reaches into the central directory.")
    try:
        text = entry.name.decode("utf-8" if entry.flags & UTF8 else "ascii")
    except UnicodeDecodeError as error:
        raise MalformedArchive(f"the name {shown} is not in the encoding that its flags say.") from error
    path = tree.path(text)
    kind = stat.S_IFMT(entry.mode)
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        raise MalformedArchive(f"{shown} is a link, a device or another special file.")
    is_folder = text.endswith("/")
    if is_folder and (entry.size or entry.packed > 2):  # an empty deflate stream has two bytes
        raise MalformedArchive(f"the folder {shown} holds data.")
    if kind == stat.S_IFDIR and not is_folder:
        raise MalformedArchive(f"{shown} is a folder by its mode and a file by its name.")
    keep = entry.size <= tree.limits.max_kept and wanted(path)
    data = _unpack(file, entry, tree, shown, keep=keep)
    if keep:
        kept[path] = data
    after = start + entry.packed
    if flags & DESCRIPTOR:
        after = _descriptor(file, entry, after, directory, wide=full_size)
    return Member(path=path, size=entry.size, directory=is_folder), after


def _unpack(file: BinaryIO, entry: _Entry, tree: Tree, shown: str, *, keep: bool) -> bytes:
    """Unpack exactly the announced bytes and compare length and checksum."""
    if entry.method not in {STORED, DEFLATED}:
        raise MalformedArchive(f"{shown} is packed with method {entry.method}; wheels use stored and deflate only.")
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS) if entry.method == DEFLATED else None
    left, crc, size = entry.packed, 0, 0
    data = bytearray()
    while left:
        block = _read(file, min(left, CHUNK))
        left -= len(block)
        pending = block
        more = True
        while pending or more:
            try:
                piece = unpacker.decompress(pending, OUTPUT) if unpacker else pending
            except zlib.error as error:
                raise MalformedArchive(f"{shown} cannot be unpacked: {error}.") from error
            pending = unpacker.unconsumed_tail if unpacker else b""
            # zlib may have swallowed all its input and still hold output back.
            more = unpacker is not None and len(piece) == OUTPUT and not unpacker.eof
            size += len(piece)
            tree.grow(len(piece))
            if size > entry.size:
                raise MalformedArchive(f"{shown} unpacks to more than the announced {entry.size} bytes.")
            crc = zlib.crc32(piece, crc)
            if keep:
                data += piece
            if unpacker and unpacker.unused_data:
                raise MalformedArchive(f"bytes follow the packed data of {shown}.")
    if unpacker is not None and entry.packed and not unpacker.eof:
        raise MalformedArchive(f"the packed data of {shown} has no end.")
    if size != entry.size or crc != entry.crc:
        raise MalformedArchive(f"{shown} does not have the announced length and checksum.")
    return bytes(data)


def _descriptor(file: BinaryIO, entry: _Entry, at: int, directory: int, *, wide: bool) -> int:
    """Check the data descriptor (4.3.9): with or without its mark, with 4 or 8 byte sizes."""
    file.seek(at)
    data = file.read(min(24, directory - at))
    for form in ("<LQQ", "<LLL") if wide else ("<LLL", "<LQQ"):
        for mark in (DESCRIPTOR_MAGIC, b""):
            if form == "<LLL" and max(entry.packed, entry.size) > FULL32:
                continue
            expected = mark + struct.pack(form, entry.crc, entry.packed, entry.size)
            if data.startswith(expected):
                return at + len(expected)
    raise MalformedArchive(
        f"the data descriptor of {ascii(entry.name[:120])[1:]} disagrees with the central directory."
    )
