"""One SSH connection to one guest, over a UNIX socket: wake it, run commands, deliver a job, follow its raw data."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import shlex
import socket
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import asyncssh
import msgspec

from pyti.errors import GuestMisbehaved, GuestUnreachable, TimeLimitExceeded
from pyti.rawdata.contract import GuestAddress, GuestJob, RawRecord
from pyti.rawdata.delivery import JOB_MEMBER, check_names, tar_stream
from pyti.rawdata.follow import follow_outbox

__all__ = ["Completed", "GuestSession"]

INBOX = "/var/lib/pyti/inbox"
OUTBOX_SOCKET = "/run/pyti/outbox.sock"
CONTROL_SOCKET = "/run/pyti/control.sock"

CIPHERS = ("chacha20-poly1305@openssh.com", "aes128-gcm@openssh.com", "aes128-ctr")
"""In this order; without AES instructions chacha20 is the cheapest for an emulated guest (FACTS: 9 MB/s)."""
KEY_EXCHANGES = ("curve25519-sha256", "curve25519-sha256@libssh.org", "ecdh-sha2-nistp256")
RETRY_S = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Pauses between attempts; the last repeats. A guest's sshd serves one connection and is then started anew."""
KEEPALIVE_S = 15.0
KEEPALIVES = 8
"""An emulated guest under load may be silent for long; two minutes of it count as gone."""
MAX_ANSWER_BYTES = 4096
WAKE_S = 30.0

_UNPACK = """\
set -e; umask 022; mkdir -p {inbox}; mkdir {folder}; cd {folder}; mkdir dist wheelhouse; tar -x --no-same-owner -f -
n=0; for s in $(find . -type f -printf '%s '); do n=$((n+s)); done; echo "$n"; [ "$n" = {total} ]
mv {member} job.json"""


class Completed(msgspec.Struct, frozen=True, kw_only=True):
    """A command that has ended."""

    argv: tuple[str, ...]
    exit_status: int | None
    """``None`` when a signal ended it."""
    stdout: bytes
    stderr: bytes
    truncated: bool = False
    """Whether output beyond the bound was dropped."""


class _Answer(msgspec.Struct):
    ok: bool = False
    error: str = ""


class GuestSession:
    """A connection to a guest; an async context manager, made by ``connect``."""

    def __init__(self, address: GuestAddress, connection: asyncssh.SSHClientConnection) -> None:
        self._address = address
        self._connection = connection

    @classmethod
    async def connect(cls, address: GuestAddress, *, timeout_s: float = 30.0) -> Self:
        """Connect, trying again while the guest's sshd starts. Raises ``GuestUnreachable`` after ``timeout_s``."""
        return cls(address, await _connect(address, timeout_s))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; may be called more than once."""
        self._connection.abort()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._connection.wait_closed(), 5.0)

    @property
    def connected(self) -> bool:
        """Whether the connection is still there."""
        return not self._connection.is_closed()

    async def wake(self, *, seed: bytes, hostname: str, at: float | None = None, timeout_s: float = WAKE_S) -> None:
        """Give a fresh clone its own randomness, name and time (``at``, Unix time; now where it is ``None``).

        Raises ``GuestMisbehaved`` when the agent refuses, ``GuestUnreachable`` when it does not answer.
        """
        request = {
            "op": "wake",
            "seed": seed.hex(),
            "hostname": hostname,
            "machine_id": hashlib.sha256(hostname.encode() + b"\0" + seed).hexdigest()[:32],
            "at": time.time() if at is None else at,
        }
        try:
            async with asyncio.timeout(timeout_s):
                reader, writer = await self._connection.open_unix_connection(CONTROL_SOCKET, encoding=None)
                try:
                    writer.write(msgspec.json.encode(request) + b"\n")
                    line = await _line(reader)
                finally:
                    writer.close()
        except (asyncssh.Error, OSError, TimeoutError) as error:
            raise GuestUnreachable(f"the guest's agent does not answer: {_say(error)}") from error
        try:
            answer = msgspec.json.decode(line, type=_Answer)
        except msgspec.DecodeError as error:
            raise GuestMisbehaved(f"the guest's agent gave no answer: {error}") from error
        if not answer.ok:
            raise GuestMisbehaved(f"the guest's agent refused to wake: {answer.error[:500]}")

    async def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float = 60.0,
        output_bytes: int = 1024 * 1024,
        stdin: bytes = b"",
    ) -> Completed:
        """Run a command as root and wait for its end; at most ``output_bytes`` of each output are kept.

        Raises ``TimeLimitExceeded`` after ``timeout_s`` and ``GuestUnreachable`` when the connection fails.
        """
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._process(shlex.join(argv)) as process,
            ):
                async with asyncio.TaskGroup() as tasks:
                    out = tasks.create_task(_read(process.stdout, output_bytes))
                    err = tasks.create_task(_read(process.stderr, output_bytes))
                    process.stdin.write(stdin)
                    process.stdin.write_eof()
                await process.wait_closed()
        except TimeoutError as error:
            raise TimeLimitExceeded(f"{argv[0]} did not end within {timeout_s:g} s in the guest") from error
        except (asyncssh.Error, OSError, ExceptionGroup) as error:
            raise GuestUnreachable(f"the connection to the guest failed: {_say(error)}") from error
        if process.exit_status is None:
            raise GuestUnreachable(f"the guest closed the channel of {argv[0]} without telling how it ended")
        (stdout, cut_out), (stderr, cut_err) = out.result(), err.result()
        return Completed(
            argv=tuple(argv),
            exit_status=None if process.exit_signal else process.exit_status,
            stdout=stdout,
            stderr=stderr,
            truncated=cut_out or cut_err,
        )

    async def deliver(self, job: GuestJob, files: Mapping[str, Path], *, timeout_s: float = 600.0) -> int:
        """Stream ``files`` (names as in the inbox: ``dist/…``, ``wheelhouse/…``) and then the job; returns bytes sent.

        Raises ``UsageError`` for wrong names, ``GuestUnreachable`` when the guest does not take it all.
        """
        check_names(job, files)
        sizes = [(await asyncio.to_thread(path.stat)).st_size for path in files.values()]
        script = _UNPACK.format(
            inbox=INBOX,
            folder=shlex.quote(f"{INBOX}/{job.job}"),
            total=sum(sizes) + len(msgspec.json.encode(job)),
            member=JOB_MEMBER,
        )
        sent = 0
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._process(script) as process,
            ):
                with contextlib.suppress(BrokenPipeError):
                    async for piece in tar_stream(job, files):
                        process.stdin.write(piece)
                        await process.stdin.drain()
                        sent += len(piece)
                    process.stdin.write_eof()
                stderr, _ = await _read(process.stderr, MAX_ANSWER_BYTES)
                await process.wait_closed()
        except TimeoutError as error:
            raise GuestUnreachable(f"the guest did not take the job within {timeout_s:g} s") from error
        except (asyncssh.Error, OSError) as error:
            raise GuestUnreachable(f"the connection failed while the job was delivered: {_say(error)}") from error
        if process.exit_status != 0:
            said = stderr.decode("utf-8", "replace").strip()[:500]
            raise GuestUnreachable(f"the guest could not take the job: {said or process.exit_status}")
        return sent

    async def follow(
        self, job: str, spool: Path, *, attempt: int = 1, timeout_s: float = 86400.0
    ) -> AsyncGenerator[RawRecord, None]:
        """Yield the job's records as they come; streams and artefacts grow below ``spool`` meanwhile.

        When a record is yielded, the bytes it refers to are already in ``spool``. Connects anew and resumes when the
        connection fails. Raises ``GuestMisbehaved`` when a bound is broken, ``GuestUnreachable`` when the guest is
        gone for good, ``TimeLimitExceeded`` when the job has not finished after ``timeout_s``.
        """
        records = follow_outbox(self._open_outbox, job, attempt, spool, timeout_s)
        async with contextlib.aclosing(records):
            async for record in records:
                yield record

    @contextlib.asynccontextmanager
    async def _process(self, command: str) -> AsyncGenerator[asyncssh.SSHClientProcess[bytes], None]:
        """Start a command; its channel is dropped at the end, since a guest may never confirm a closing."""
        process = await self._connection.create_process(command, encoding=None)
        try:
            yield process
        finally:
            process.channel.abort()

    async def _open_outbox(self, timeout_s: float) -> tuple[asyncssh.SSHReader[bytes], asyncssh.SSHWriter[bytes]]:
        if self._connection.is_closed():
            self._connection = await _connect(self._address, timeout_s)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._connection.open_unix_connection(OUTBOX_SOCKET, encoding=None)
        except (asyncssh.Error, OSError, TimeoutError) as error:
            raise GuestUnreachable(f"the guest's outbox cannot be reached: {_say(error)}") from error


async def _connect(address: GuestAddress, timeout_s: float) -> asyncssh.SSHClientConnection:
    deadline = time.monotonic() + timeout_s
    try:
        host_key = asyncssh.import_public_key(address.host_key)
        client_key = await asyncio.to_thread(asyncssh.read_private_key, str(address.client_key))
    except (asyncssh.KeyImportError, OSError) as error:
        raise GuestUnreachable(f"a key of the guest cannot be read: {_say(error)}") from error
    attempt = 0
    while True:
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + deadline - time.monotonic()):
                return await _attempt(address, host_key, client_key)
        except (asyncssh.HostKeyNotVerifiable, asyncssh.PermissionDenied, asyncssh.KeyExchangeFailed) as error:
            raise GuestUnreachable(f"the guest at {address.socket} is not the one expected: {_say(error)}") from error
        except (asyncssh.Error, OSError, TimeoutError) as error:
            pause = RETRY_S[min(attempt, len(RETRY_S) - 1)]
            if time.monotonic() + pause >= deadline:
                raise GuestUnreachable(
                    f"the guest at {address.socket} did not answer within {timeout_s:g} s: {_say(error)}"
                ) from error
        attempt += 1
        await asyncio.sleep(pause)


async def _attempt(
    address: GuestAddress, host_key: asyncssh.SSHKey, client_key: asyncssh.SSHKey
) -> asyncssh.SSHClientConnection:
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connected.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connected, str(address.socket))
        return await asyncssh.connect(
            host="",
            sock=connected,
            config=None,
            username=address.user,
            client_keys=[client_key],
            agent_path=None,
            known_hosts=([host_key], [], []),
            preferred_auth=["publickey"],
            compression_algs=None,
            encryption_algs=list(CIPHERS),
            kex_algs=list(KEY_EXCHANGES),
            keepalive_interval=KEEPALIVE_S,
            keepalive_count_max=KEEPALIVES,
        )
    except BaseException:
        connected.close()
        raise


async def _line(reader: asyncssh.SSHReader[bytes]) -> bytes:
    line = b""
    while not line.endswith(b"\n") and len(line) < MAX_ANSWER_BYTES:
        piece = await reader.read(MAX_ANSWER_BYTES - len(line))
        if not piece:
            break
        line += piece
    return line


async def _read(reader: asyncssh.SSHReader[bytes], bound: int) -> tuple[bytes, bool]:
    kept = bytearray()
    truncated = False
    while piece := await reader.read(65536):
        room = bound - len(kept)
        kept += piece[:room]
        truncated = truncated or len(piece) > room
    return bytes(kept), truncated


def _say(error: BaseException) -> str:
    return str(error) or type(error).__name__
