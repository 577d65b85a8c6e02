"""The outbox stream, decoded without I/O: bytes in, checked frames out.

A guest answers a follower with frames: a JSON header line ``{"path", "offset", "length"}``, then ``length`` bytes, and
at last ``{"end": true}``. Whatever breaks a bound raises ``GuestMisbehaved`` and ends the stream for good.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec

from pyti.errors import GuestMisbehaved
from pyti.rawdata.contract import MAX_FILES, MAX_OUTBOX_BYTES, OUTBOX_PATH

__all__ = ["MAX_FRAME_BYTES", "MAX_HEADER_BYTES", "Frame", "FrameDecoder"]

MAX_HEADER_BYTES = 1024
"""A header names one path of at most 300 characters and two numbers."""
MAX_FRAME_BYTES = 64 * 1024
"""As the agent cuts them."""

_PATH = re.compile(OUTBOX_PATH)


class Frame(msgspec.Struct, frozen=True):
    """A piece of one file: ``content`` begins at byte ``offset``."""

    path: str
    offset: int
    content: bytes


class _Header(msgspec.Struct):
    path: str = ""
    offset: int = -1
    length: int = -1
    end: bool = False


class FrameDecoder:
    """Decodes one connection's stream. ``offsets`` says how much of each file earlier connections brought."""

    def __init__(self, offsets: Mapping[str, int] | None = None) -> None:
        self._received = dict(offsets or {})
        self._total = sum(self._received.values())
        self._buffer = bytearray()
        self._header: _Header | None = None
        self._ended = False
        self._decode = msgspec.json.Decoder(_Header).decode

    @property
    def received(self) -> Mapping[str, int]:
        """Bytes of each file that have come in complete frames."""
        return self._received

    @property
    def ended(self) -> bool:
        """Whether the guest said that everything is sent."""
        return self._ended

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take in bytes and give out the frames that they complete. Raises ``GuestMisbehaved``."""
        if self._ended and data:
            raise GuestMisbehaved("the guest went on after it had said that everything was sent")
        self._buffer += data
        while (frame := self._next()) is not None:
            yield frame

    def _next(self) -> Frame | None:
        if self._header is None:
            self._header = self._read_header()
        header = self._header
        if header is None or len(self._buffer) < header.length:
            return None
        content = bytes(self._buffer[: header.length])
        del self._buffer[: header.length]
        self._header = None
        self._received[header.path] = header.offset + header.length
        self._total += header.length
        return Frame(header.path, header.offset, content)

    def _read_header(self) -> _Header | None:
        end = self._buffer.find(b"\n", 0, MAX_HEADER_BYTES + 1)
        if end < 0:
            if len(self._buffer) > MAX_HEADER_BYTES:
                raise GuestMisbehaved(f"a frame's header is longer than {MAX_HEADER_BYTES} bytes")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        try:
            header = self._decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise GuestMisbehaved(f"a frame's header is malformed: {error}") from error
        if header.end:
            self._ended = True
            if self._buffer:
                raise GuestMisbehaved("the guest went on after it had said that everything was sent")
            return None
        self._check(header)
        return header

    def _check(self, header: _Header) -> None:
        if not _PATH.fullmatch(header.path) or header.path.endswith("\n"):
            raise GuestMisbehaved(f"no outbox may hold {header.path[:200]!r}")
        expected = self._received.get(header.path, 0)
        if header.offset != expected:
            raise GuestMisbehaved(f"{header.path} goes on at byte {header.offset} instead of {expected}")
        if not 0 < header.length <= MAX_FRAME_BYTES:
            raise GuestMisbehaved(f"a frame of {header.length} bytes: 1 to {MAX_FRAME_BYTES} are allowed")
        if header.path not in self._received and len(self._received) >= MAX_FILES:
            raise GuestMisbehaved(f"the outbox has more than {MAX_FILES} files")
        if self._total + header.length > MAX_OUTBOX_BYTES:
            raise GuestMisbehaved(f"the outbox has more than {MAX_OUTBOX_BYTES} bytes")
