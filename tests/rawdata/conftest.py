"""A guest as a slave sees it: a real SSH server on a UNIX socket, on which commands really run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from pyti.rawdata import GuestAddress, GuestDistribution, GuestJob, GuestSession, session

Talk = Callable[[Any, Any], Awaitable[None]]
"""What the far end of a forwarded UNIX socket does with its reader and writer."""


class Guest:
    """One guest's SSH server; its inbox is a folder, its sockets are what a test says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inbox = folder / "inbox"
        self.host_key = asyncssh.generate_private_key("ssh-ed25519")
        self.client_key = asyncssh.generate_private_key("ssh-ed25519")
        self.write_key("client", self.client_key)
        self.sockets: dict[str, Talk | Path] = {}
        """By the path in the guest: a script, or a real socket on this host."""
        self.connections: list[asyncssh.SSHServerConnection] = []
        self._acceptor: asyncssh.SSHAcceptor | None = None

    def write_key(self, name: str, key: asyncssh.SSHKey) -> Path:
        path = self.folder / name
        path.write_bytes(key.export_private_key())
        return path

    def address(self, **fields: Any) -> GuestAddress:
        public = self.host_key.export_public_key().decode().strip()
        given = {"socket": self.folder / "ssh", "client_key": self.folder / "client", "host_key": public}
        return GuestAddress(**(given | fields))

    async def start(self) -> None:
        guest = self

        class Server(asyncssh.SSHServer):
            def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
                self.connection = conn
                guest.connections.append(conn)

            def unix_connection_requested(self, dest_path: str) -> Any:
                target = guest.sockets.get(dest_path)
                if target is None:
                    raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, "no such socket")
                return self.connection.create_unix_channel(encoding=None), _talk(target)

        (self.folder / "ssh").unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.folder / "ssh"))
        self._acceptor = await asyncssh.listen(
            sock=listener,
            server_factory=Server,
            server_host_keys=[self.host_key],
            authorized_client_keys=asyncssh.import_authorized_keys(self.client_key.export_public_key().decode()),
            process_factory=_execute,
            encoding=None,
            compression_algs=None,
        )

    async def stop(self) -> None:
        if self._acceptor is not None:
            self._acceptor.close()
            await self._acceptor.wait_closed()
            self._acceptor = None
        self.break_connections()

    def break_connections(self) -> None:
        """End every connection at once, as a dying sshd does."""
        for connection in self.connections:
            connection.abort()
        self.connections.clear()


def _talk(target: Talk | Path) -> Talk:
    async def talk(reader: Any, writer: Any) -> None:
        try:
            if isinstance(target, Path):
                await _bridge(target, reader, writer)
            else:
                await target(reader, writer)
        except (asyncssh.Error, OSError):
            pass  # the client has left
        finally:
            writer.close()

    return talk


async def _bridge(target: Path, reader: Any, writer: Any) -> None:
    far_reader, far_writer = await asyncio.open_unix_connection(target)

    async def up() -> None:
        while piece := await reader.read(65536):
            far_writer.write(piece)
        far_writer.write_eof()

    async def down() -> None:
        while piece := await far_reader.read(65536):
            writer.write(piece)
            await writer.drain()

    upwards = asyncio.create_task(up())
    try:
        await down()
    finally:
        upwards.cancel()
        await asyncio.gather(upwards, return_exceptions=True)
        far_writer.close()


async def _execute(process: asyncssh.SSHServerProcess[bytes]) -> None:
    """Run a command as sshd does, and kill it when its client has left."""
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", process.command or "", stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
    )
    feeding = asyncio.create_task(_feed(process.stdin, child.stdin))
    leaving = asyncio.create_task(process.channel.wait_closed())
    output = asyncio.gather(_pump(child.stdout, process.stdout), _pump(child.stderr, process.stderr))
    try:
        await asyncio.wait({output, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not leaving.done():
            status = await child.wait()
            if status < 0:
                process.exit_with_signal(signal.Signals(-status).name.removeprefix("SIG"))
            else:
                process.exit(status)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        for task in (feeding, leaving, output):
            task.cancel()
        await asyncio.gather(feeding, leaving, output, return_exceptions=True)
        await child.wait()


async def _pump(reader: Any, writer: Any) -> None:
    try:
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    except (asyncssh.Error, OSError):
        pass  # one side has left


async def _feed(reader: Any, writer: Any) -> None:
    await _pump(reader, writer)
    with contextlib.suppress(OSError):
        writer.write_eof()


@pytest.fixture
async def guest(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Guest]:
    with tempfile.TemporaryDirectory(prefix="pyti-") as folder:  # short: a UNIX socket's path has 107 bytes
        started = Guest(Path(folder))
        monkeypatch.setattr(session, "INBOX", str(started.inbox))
        await started.start()
        try:
            yield started
        finally:
            await started.stop()


@pytest.fixture
async def connected(guest: Guest) -> AsyncIterator[GuestSession]:
    async with await GuestSession.connect(guest.address(), timeout_s=20) as opened:
        yield opened


@pytest.fixture
def job() -> GuestJob:
    dist = GuestDistribution(name="good", version="1.0", filename="good-1.0-py3-none-any.whl", kind="wheel")
    return GuestJob(job="job-1", dist=dist, tasks=("import",))
