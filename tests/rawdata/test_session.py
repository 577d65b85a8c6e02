from __future__ import annotations

import asyncio
import sys
from typing import Any

import asyncssh
import msgspec
import pytest

from pyti.errors import GuestMisbehaved, GuestUnreachable, TimeLimitExceeded
from pyti.rawdata import GuestSession

from .conftest import Guest

CONTROL = "/run/pyti/control.sock"
PYTHON = sys.executable


async def test_a_command_runs_and_tells_everything(connected: GuestSession):
    done = await connected.run(["sh", "-c", "cat; echo wrong >&2; exit 3"], stdin=b"in\0\n")
    assert (done.exit_status, done.stdout, done.stderr, done.truncated) == (3, b"in\0\n", b"wrong\n", False)
    assert done.argv == ("sh", "-c", "cat; echo wrong >&2; exit 3")


async def test_arguments_arrive_as_they_are(connected: GuestSession):
    odd = ["a b", "'", '"', "$HOME", "*", "", ";false"]
    done = await connected.run(["printf", "[%s]", *odd])
    assert done.stdout.decode() == "".join(f"[{one}]" for one in odd)


async def test_a_command_that_a_signal_ends_has_no_exit_status(connected: GuestSession):
    assert (await connected.run(["exec", "sh", "-c", "kill -9 $$"])).exit_status is None


async def test_output_beyond_the_bound_is_dropped_and_the_command_still_ends(connected: GuestSession):
    code = "import sys; sys.stdout.write('o' * 3_000_000); sys.stderr.write('e' * 10)"
    done = await connected.run([PYTHON, "-c", code], output_bytes=1000)
    assert (done.exit_status, done.stdout, done.stderr, done.truncated) == (0, b"o" * 1000, b"e" * 10, True)


async def test_a_command_that_never_ends_is_given_up(connected: GuestSession):
    with pytest.raises(TimeLimitExceeded, match=r"sleep did not end within 0\.1 s"):
        await connected.run(["sleep", "9"], timeout_s=0.1)
    assert (await connected.run(["echo", "on"])).stdout == b"on\n"


async def test_a_server_that_goes_away_ends_a_command_at_once(guest: Guest, connected: GuestSession):
    running = asyncio.create_task(connected.run(["sh", "-c", "echo here; sleep 9"]))
    await asyncio.sleep(0.1)
    guest.break_connections()
    with pytest.raises(GuestUnreachable):
        await running
    assert not connected.connected


async def test_a_cancelled_command_leaves_the_session_usable(connected: GuestSession):
    running = asyncio.create_task(connected.run(["sleep", "9"]))
    await asyncio.sleep(0.05)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await connected.run(["true"])).exit_status == 0


async def test_another_host_key_is_refused(guest: Guest):
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    with pytest.raises(GuestUnreachable, match="is not the one expected"):
        await GuestSession.connect(guest.address(host_key=other), timeout_s=20)


async def test_a_client_key_that_the_guest_does_not_know_is_refused(guest: Guest):
    key = guest.write_key("other", asyncssh.generate_private_key("ssh-ed25519"))
    with pytest.raises(GuestUnreachable, match="is not the one expected"):
        await GuestSession.connect(guest.address(client_key=key), timeout_s=20)


@pytest.mark.parametrize("field", ["host_key", "client_key"])
async def test_keys_that_are_none_are_told(guest: Guest, field: str):
    (guest.folder / "garbage").write_text("no key")
    wrong: dict[str, Any] = {"host_key": "garbage", "client_key": guest.folder / "garbage"}
    with pytest.raises(GuestUnreachable, match="cannot be read"):
        await GuestSession.connect(guest.address(**{field: wrong[field]}))


async def test_nobody_at_the_socket(guest: Guest):
    with pytest.raises(GuestUnreachable, match=r"did not answer within 0\.2 s"):
        await GuestSession.connect(guest.address(socket=guest.folder / "nowhere"), timeout_s=0.2)


async def test_a_port_that_takes_the_connection_and_stays_silent(guest: Guest):
    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await held.wait()
        writer.close()

    held = asyncio.Event()
    server = await asyncio.start_unix_server(silent, guest.folder / "mute")
    async with server:
        with pytest.raises(GuestUnreachable, match=r"did not answer within 0\.3 s"):
            await GuestSession.connect(guest.address(socket=guest.folder / "mute"), timeout_s=0.3)
        held.set()


async def test_a_server_that_comes_late_is_waited_for(guest: Guest):
    await guest.stop()
    connecting = asyncio.create_task(GuestSession.connect(guest.address(), timeout_s=20))
    await asyncio.sleep(0.1)
    await guest.start()
    async with await connecting as session:
        assert session.connected
    assert not session.connected
    await session.close()


async def test_waking_sends_the_clone_its_own_seed_name_and_time(guest: Guest, connected: GuestSession):
    asked: list[dict[str, Any]] = []

    async def control(reader: Any, writer: Any) -> None:
        asked.append(msgspec.json.decode(await reader.readline()))
        writer.write(b'{"ok":true}\n')

    guest.sockets[CONTROL] = control
    await connected.wake(seed=b"1" * 32, hostname="guest-1", at=12.5)
    await connected.wake(seed=b"2" * 32, hostname="guest-1")
    first, second = asked
    assert (first["op"], first["seed"], first["hostname"], first["at"]) == ("wake", "31" * 32, "guest-1", 12.5)
    assert second["at"] > 1_700_000_000
    assert first["machine_id"] != second["machine_id"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b'{"ok":false,"error":"ValueError: not a host name"}\n', "refused to wake: ValueError: not a host name"),
        (b"", "gave no answer"),
        (b"\xff\xfe\n", "gave no answer"),
        (b"[" * 4096, "gave no answer"),
        (b'{"ok":"yes"}\n', "gave no answer"),
        (b"{}\n", "refused to wake"),
    ],
)
async def test_an_agent_that_does_not_wake_misbehaves(guest: Guest, connected: GuestSession, answer: bytes, said: str):
    async def control(reader: Any, writer: Any) -> None:
        await reader.readline()
        writer.write(answer)

    guest.sockets[CONTROL] = control
    with pytest.raises(GuestMisbehaved, match=said):
        await connected.wake(seed=b"1" * 32, hostname="guest-1")


async def test_an_answer_in_pieces_is_one_answer(guest: Guest, connected: GuestSession):
    async def control(reader: Any, writer: Any) -> None:
        await reader.readline()
        for piece in (b'{"ok', b'":true', b"}\n"):
            writer.write(piece)
            await asyncio.sleep(0.02)

    guest.sockets[CONTROL] = control
    await connected.wake(seed=b"1" * 32, hostname="guest-1")


async def test_an_answer_without_end_is_cut(guest: Guest, connected: GuestSession):
    async def control(reader: Any, writer: Any) -> None:
        await reader.readline()
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    guest.sockets[CONTROL] = control
    with pytest.raises(GuestMisbehaved, match="gave no answer"):
        await connected.wake(seed=b"1" * 32, hostname="guest-1")


async def test_an_agent_that_is_not_there_or_silent_cannot_be_woken(guest: Guest, connected: GuestSession):
    with pytest.raises(GuestUnreachable, match="does not answer"):
        await connected.wake(seed=b"1" * 32, hostname="guest-1")

    async def silent(reader: Any, _writer: Any) -> None:
        await reader.read()

    guest.sockets[CONTROL] = silent
    with pytest.raises(GuestUnreachable, match="does not answer"):
        await connected.wake(seed=b"1" * 32, hostname="guest-1", timeout_s=0.1)
