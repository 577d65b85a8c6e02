"""Sends one job's outbox to a client while it grows.

A client sends ``{"job": id, "offsets": {path: bytes it has}}``. The answer is a run of frames, each a JSON header line
``{"path", "offset", "length"}`` and exactly ``length`` bytes, and at last ``{"end": true}``.
"""

from __future__ import annotations

import json
import select
import socket
from typing import BinaryIO

from .outbox import Outbox, Outboxes
from .sockets import read_request

__all__ = ["CHUNK", "Follower"]

CHUNK = 64 * 1024
"""Most bytes in one frame."""
LOOK_S = 5.0
"""How often an idle follower looks whether its client is still there."""


class Follower:
    """Serves the outbox socket."""

    def __init__(self, outboxes: Outboxes) -> None:
        self._outboxes = outboxes

    def __call__(self, connection: socket.socket) -> None:
        """Answer one client until its job is finished and sent, or the client leaves."""
        request = read_request(connection)
        job = request.get("job")
        offsets = request.get("offsets", {})
        if not isinstance(job, str) or not isinstance(offsets, dict):
            raise ValueError("a follower names a job and offsets")
        sent = {str(path): int(offset) for path, offset in offsets.items()}
        while (outbox := self._outboxes.find(job, LOOK_S)) is None:
            if _gone(connection):
                return
        while True:
            sizes, finished = outbox.snapshot()
            for path, size in sizes.items():
                _send(connection, outbox, path, sent, size)
            if finished:
                connection.sendall(b'{"end":true}\n')
                return
            outbox.wait_beyond(sizes, LOOK_S)
            if _gone(connection):
                return


def _send(connection: socket.socket, outbox: Outbox, path: str, sent: dict[str, int], size: int) -> None:
    offset = sent.get(path, 0)
    if offset >= size:
        return
    with (outbox.folder / path).open("rb") as file:
        file.seek(offset)
        while offset < size:
            offset += _frame(connection, path, offset, file, min(CHUNK, size - offset))
    sent[path] = offset


def _frame(connection: socket.socket, path: str, offset: int, file: BinaryIO, length: int) -> int:
    content = file.read(length)
    header = json.dumps({"path": path, "offset": offset, "length": len(content)}, separators=(",", ":"))
    connection.sendall(header.encode("ascii") + b"\n" + content)
    return len(content)


def _gone(connection: socket.socket) -> bool:
    readable, _, _ = select.select([connection], [], [], 0)
    return bool(readable) and connection.recv(1, socket.MSG_PEEK) == b""
