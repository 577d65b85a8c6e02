"""QEMU's own monitor (QMP), reached through libvirt: the few commands that libvirt has no call for."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import libvirt_qemu

from pyti.errors import MachineError, TimeLimitExceeded
from pyti.machines.connection import Connection

__all__ = ["MAX_STATE_BYTES", "Monitor"]

POLL_S = 0.01

MAX_STATE_BYTES = 64 * 1024 * 1024
"""A template's device state measures 0.4 MB; more than this means that RAM was in it."""


class Monitor:
    """One domain's monitor. Every method raises ``MachineError`` where QEMU refuses."""

    def __init__(self, connection: Connection, domain: Any) -> None:
        self._connection = connection
        self._domain = domain

    async def execute(self, command: str, **arguments: Any) -> Any:
        """Run one QMP command and return what it returns."""
        text = json.dumps({"execute": command, "arguments": arguments})
        reply = json.loads(await self._connection.call(libvirt_qemu.qemuMonitorCommand, self._domain, text, 0))
        if "error" in reply:
            raise MachineError(f"QEMU refused {command}: {reply['error'].get('desc', reply['error'])}")
        return reply.get("return")

    async def leave_ram_out(self) -> None:
        """Migrate without the shared RAM (``x-ignore-shared``): the clone maps the same file."""
        await self.execute("migrate-set-capabilities", capabilities=[{"capability": "x-ignore-shared", "state": True}])

    async def save_state(self, socket: Path, *, limit_s: float) -> bytes:
        """Have QEMU write its device state to the UNIX socket at ``socket``, which is made here; returns the state."""
        received: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            parts: list[bytes] = []
            try:
                while part := await reader.read(1 << 20):
                    parts.append(part)
                    if sum(map(len, parts)) > MAX_STATE_BYTES:
                        raise MachineError("the device state is far larger than device state can be")
                if not received.done():
                    received.set_result(b"".join(parts))
            except (OSError, MachineError) as error:
                if not received.done():
                    received.set_exception(error)
            finally:
                writer.close()

        server = await asyncio.start_unix_server(receive, socket)
        try:
            socket.chmod(0o666)  # QEMU runs as another user; the folder lets nobody else in
            async with asyncio.timeout(limit_s):
                await self.execute("migrate", uri=f"unix:{socket}")
                state = await received
                while (status := (await self.execute("query-migrate")).get("status")) != "completed":
                    if status in {"failed", "cancelled"}:
                        raise MachineError(f"QEMU could not save the device state: migration {status}")
                    await asyncio.sleep(POLL_S)
                return state
        except TimeoutError:
            raise TimeLimitExceeded(f"QEMU did not save the device state within {limit_s:.0f} s") from None
        finally:
            server.close()
            await server.wait_closed()
            socket.unlink(missing_ok=True)

    async def load_state(self, socket: Path, state: bytes, *, limit_s: float) -> None:
        """Pour ``state`` into a QEMU that waits for it; returns when the machine is paused and complete."""
        try:
            async with asyncio.timeout(limit_s):
                await self.execute("migrate-incoming", uri=f"unix:{socket}")
                _reader, writer = await asyncio.open_unix_connection(socket)
                try:
                    writer.write(state)
                    await writer.drain()
                finally:
                    writer.close()
                    await writer.wait_closed()
                # QEMU has an event for this, but libvirt keeps it to itself.
                while (await self.execute("query-status"))["status"] == "inmigrate":  # noqa: ASYNC110
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise TimeLimitExceeded(f"QEMU did not load the device state within {limit_s:.0f} s") from None
        except OSError as error:
            raise MachineError(f"QEMU did not take the device state: {error}") from error
        finally:
            socket.unlink(missing_ok=True)
