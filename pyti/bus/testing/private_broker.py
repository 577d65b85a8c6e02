"""A private RabbitMQ node that any user can start, stop and kill; it shares nothing with the system's own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Self

import aiormq
import structlog

from pyti.bus.testing.node_files import HOST, NodeFiles, free_ports
from pyti.errors import BusError

__all__ = ["PrivateBroker"]

START_LIMIT_S = 60.0
STOP_LIMIT_S = 20.0
CONTROL_LIMIT_S = 60.0
_POLL_S = 0.2
_log = structlog.get_logger("pyti.bus")


class PrivateBroker:
    """An asynchronous context manager around a RabbitMQ node with its management plugin on.

    ``folder`` is kept afterwards when it is given, or when the node failed; else a temporary one is removed.
    Raises ``BusError`` with the logs' place when the node does not answer within 60 s.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._given = folder
        self._files: NodeFiles | None = None
        self._server: asyncio.subprocess.Process | None = None
        self._epmd: asyncio.subprocess.Process | None = None

    @property
    def files(self) -> NodeFiles:
        """The node's folder and ports."""
        if self._files is None:
            raise BusError("the private broker was not started")
        return self._files

    @property
    def url(self) -> str:
        """Where buses connect to: ``amqp://guest:guest@127.0.0.1:<port>/``."""
        return self.url_for("%2F")

    def url_for(self, vhost: str, user: str = "guest", password: str = "guest") -> str:  # noqa: S107 - the broker's own default
        """Return the URL of a virtual host, given as it stands in a URL."""
        return f"amqp://{user}:{password}@{HOST}:{self.files.amqp_port}/{vhost}"

    @property
    def management_url(self) -> str:
        """Where a browser sees the node; log in as guest with the password guest."""
        return f"http://{HOST}:{self.files.management_port}/"

    async def __aenter__(self) -> Self:
        folder = self._given or Path(tempfile.mkdtemp(prefix="pyti-rabbitmq-"))
        amqp_port, management_port, epmd_port, dist_port = free_ports(4)
        self._files = NodeFiles(
            folder=folder,
            amqp_port=amqp_port,
            management_port=management_port,
            epmd_port=epmd_port,
            dist_port=dist_port,
        )
        try:
            await asyncio.to_thread(self._files.write)
            self._epmd = await self._spawn("epmd", "-port", str(epmd_port))
            await self.start()
        except BaseException:
            await self._stop_all()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        await self._stop_all()
        if self._given is None and kind is None:
            await asyncio.to_thread(shutil.rmtree, self.files.folder, ignore_errors=True)
        elif kind is not None:
            _log.warning("the private broker's folder is kept", folder=str(self.files.folder))

    async def start(self) -> None:
        """Start the server and wait until it speaks AMQP."""
        self._server = await self._spawn("rabbitmq-server")
        await self._ready()

    async def stop_app(self) -> None:
        """Stop the broker inside its node: every connection is closed."""
        await self.control("stop_app")

    async def start_app(self) -> None:
        """Start the broker inside its node again, and wait until it speaks AMQP."""
        await self.control("start_app")
        await self._ready()

    async def kill(self) -> None:
        """Kill the node as a power cut would; ``start`` brings it back with what it had stored."""
        await self._end(self._server, signal.SIGKILL)
        self._server = None

    async def control(self, *arguments: str) -> str:
        """Run ``rabbitmqctl`` against this node and return what it prints. ``BusError`` when it fails."""
        process = await asyncio.create_subprocess_exec(
            "rabbitmqctl",
            "-q",
            "-n",
            self.files.node,
            *arguments,
            env=self.files.environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(CONTROL_LIMIT_S):
                output, _ = await process.communicate()
        except BaseException:
            await self._end(process, signal.SIGKILL)
            raise
        text = output.decode("utf-8", "replace")
        if process.returncode:
            raise BusError(f"rabbitmqctl {arguments[0]} failed: {text[:2000]}")
        return text

    # -- processes -------------------------------------------------------------------------------------------------

    async def _spawn(self, *command: str) -> asyncio.subprocess.Process:
        environment = self.files.environment()
        path = shutil.which(command[0], path=environment["PATH"])
        if path is None:
            raise BusError(f"{command[0]} is not installed", remedy="Install the package rabbitmq-server.")
        with (self.files.folder / f"{command[0]}.out").open("ab") as output:
            return await asyncio.create_subprocess_exec(
                path,
                *command[1:],
                env=environment,
                cwd=self.files.folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    async def _ready(self) -> None:
        try:
            async with asyncio.timeout(START_LIMIT_S):
                while not await self._answers():
                    if self._server is None or self._server.returncode is not None:
                        raise BusError(f"the private RabbitMQ node ended; its logs are in {self.files.logs}")
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise BusError(
                f"the private RabbitMQ node did not answer within {START_LIMIT_S:g} s; logs are in {self.files.logs}"
            ) from None

    async def _answers(self) -> bool:
        try:
            _, writer = await asyncio.open_connection(HOST, self.files.amqp_port)
        except OSError:
            return False  # nobody listens yet; the client library would log each of these as an error
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        try:
            async with aiormq.connect(self.url):
                return True
        except (aiormq.exceptions.AMQPError, OSError, EOFError):
            return False

    async def _stop_all(self) -> None:
        try:
            await self._end(self._server, signal.SIGTERM)
        finally:
            self._server = None
            await self._end(self._epmd, signal.SIGTERM)
            self._epmd = None

    @staticmethod
    async def _end(process: asyncio.subprocess.Process | None, how: signal.Signals) -> None:
        """End the process group that we started, by its own id, and wait for its leader."""
        if process is None:
            return
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, how)
            try:
                async with asyncio.timeout(STOP_LIMIT_S):
                    await process.wait()
            except TimeoutError:
                _log.warning("a process of the private broker had to be killed", pid=process.pid)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
