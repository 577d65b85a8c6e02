"""A UNIX socket that only its owner may use, each connection served in its own thread."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["read_request", "serve"]

MAX_REQUEST_BYTES = 1024 * 1024
IDLE_S = 600.0
"""A peer that takes or gives nothing for so long is dropped."""


def serve(path: Path, handle: Callable[[socket.socket], None]) -> socket.socket:
    """Listen at ``path`` and call ``handle`` in a thread of its own for every connection; returns the listener."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(16)
    threading.Thread(target=_accept, args=(listener, handle), name=path.name, daemon=True).start()
    return listener


def read_request(connection: socket.socket) -> dict[str, Any]:
    """Return the one JSON line that a client sends first; ``ValueError`` when it is none."""
    line = bytearray()
    while not line.endswith(b"\n"):
        piece = connection.recv(65536)
        if not piece or len(line) + len(piece) > MAX_REQUEST_BYTES:
            raise ValueError("no complete request line")
        line += piece
    request = json.loads(line)
    if not isinstance(request, dict):
        raise ValueError("a request is a JSON object")
    return request


def _accept(listener: socket.socket, handle: Callable[[socket.socket], None]) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_handle, args=(connection, handle), daemon=True).start()


def _handle(connection: socket.socket, handle: Callable[[socket.socket], None]) -> None:
    with connection:
        connection.settimeout(IDLE_S)
        try:
            handle(connection)
        except (OSError, ValueError) as error:
            print(f"connection dropped: {error}", file=sys.stderr)  # noqa: T201 - the journal of the machine
        except Exception:  # noqa: BLE001 - one bad connection must not end the agent
            traceback.print_exc()
