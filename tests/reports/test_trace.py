from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pyti.reports.events import Binding, Change, Contact, Event, Exec, Exit, Kill, Open, Privileged, Spawn
from pyti.reports.trace import TraceReader

ARGV = ("python3", "-I", "/home/tester/work/canary.py")


def read(data: bytes, argv: tuple[str, ...] = ARGV) -> tuple[TraceReader, list[Event]]:
    reader = TraceReader(data, argv)
    return reader, list(reader.events())


def test_a_real_trace_is_read_without_a_rest(canary: bytes) -> None:
    reader, events = read(canary)
    assert reader.marker_found
    assert reader.started
    assert reader.ended
    assert reader.unreadable == 0
    assert {type(event) for event in events} == {Binding, Change, Contact, Exec, Exit, Kill, Open, Privileged, Spawn}


def test_the_launcher_gives_no_events(canary: bytes) -> None:
    _, events = read(canary)
    first = events[0]
    assert isinstance(first, Exec)
    assert first.root
    assert first.argv == ARGV
    assert not any(isinstance(event, Exec) and event.path.endswith("setpriv") for event in events)


def test_without_the_marker_the_first_program_that_is_no_launcher_counts(canary: bytes) -> None:
    reader, events = read(canary, ("something", "else"))
    assert not reader.marker_found
    assert reader.started
    assert isinstance(events[0], Exec)
    assert events[0].path == "/usr/bin/python3"


def test_addresses_are_decoded(canary: bytes) -> None:
    _, events = read(canary)
    contacts = {(event.address, event.port, event.error) for event in events if isinstance(event, Contact)}
    assert ("192.0.2.1", 443, "ENETUNREACH") in contacts
    assert ("2001:db8::1", 443, "ENETUNREACH") in contacts
    assert ("@abs", 0, "ECONNREFUSED") in contacts
    sent = next(event for event in events if isinstance(event, Contact) and event.call == "sendto" and event.port == 53)
    assert sent.payload == 'hi\x00\\xff"quote'


def test_file_names_with_control_characters_are_decoded(canary: bytes) -> None:
    _, events = read(canary)
    assert '/home/tester/a\nb<c>"d\u202e' in {event.real for event in events if isinstance(event, Open)}


def test_a_child_knows_who_started_it_even_before_the_parents_line(canary: bytes) -> None:
    _, events = read(canary)
    shell = next(event for event in events if isinstance(event, Exec) and event.path == "/bin/sh")
    assert shell.parent_exe == "/usr/bin/python3"
    curl = next(event for event in events if isinstance(event, Exec) and event.path == "/usr/bin/curl")
    assert curl.parent_exe == "/bin/sh"


def test_a_signal_to_a_child_is_told_from_one_to_a_stranger(canary: bytes) -> None:
    _, events = read(canary)
    kills = {(event.target, event.signal): event.known for event in events if isinstance(event, Kill)}
    assert kills[1, "SIGKILL"] is False
    assert kills[8312, "SIGTERM"] is True


def test_relative_paths_are_made_absolute() -> None:
    data = (
        b'7 1.0 execve("/x", ["x"], 0x1) = 0\n'
        b'7 1.1 openat(AT_FDCWD</home/tester/work>, "../.bashrc", O_WRONLY|O_CREAT, 0666) = 3</home/tester/.bashrc>\n'
        b'7 1.2 rename("a", "../b") = 0\n'
        b'7 1.3 unlinkat(4</home/tester/q>, "c", 0) = 0\n'
    )
    _, events = read(data, ())
    assert [getattr(event, "path", None) or getattr(event, "target", None) for event in events[1:]] == [
        "/home/tester/.bashrc",
        "/home/tester/b",
        "/home/tester/q/c",
    ]


def test_a_trace_that_breaks_off_has_no_end(canary: bytes) -> None:
    reader, _ = read(canary[: len(canary) // 2])
    assert reader.started
    assert not reader.ended


@given(st.binary(max_size=1500))
def test_arbitrary_bytes_never_raise(data: bytes) -> None:
    read(b'7 1.0 execve("/x", ["x"], 0x1) = 0\n' + data, ())


_CALLS = st.sampled_from(
    [
        "openat",
        "open",
        "creat",
        "execve",
        "execveat",
        "clone",
        "clone3",
        "connect",
        "sendto",
        "sendmsg",
        "bind",
        "kill",
        "tgkill",
        "rename",
        "renameat2",
        "linkat",
        "symlinkat",
        "unlinkat",
        "chmod",
        "fchmodat",
        "fchmod",
        "mkdir",
        "truncate",
        "chdir",
        "ptrace",
        "memfd_create",
    ]
)
_PARTS = st.sampled_from(
    [
        '"a"',
        '"/x/y"',
        '"\\',
        "AT_FDCWD",
        "3</p>",
        "3<",
        "NULL",
        "0777",
        "-1",
        '{sa_family=AF_INET, sin_port=htons(99999), sin_addr=inet_addr("999.1.1.1")}',
        '{sa_family=AF_UNIX, sun_path="x',
        "[",
        '["a", "b"]',
        "99999999999999999999",
    ]
)


@given(
    st.lists(
        st.tuples(
            _CALLS, st.lists(_PARTS, max_size=6), st.sampled_from(["0", "3</q>", "-1 EPERM (x)", "?", "8", "x" * 50])
        ),
        max_size=8,
    )
)
def test_calls_with_strange_arguments_never_raise(calls: list[tuple[str, list[str], str]]) -> None:
    lines = ['7 1.0 execve("/x", ["x"], 0x1) = 0']
    lines += [f"7 1.{index} {name}({', '.join(parts)}) = {result}" for index, (name, parts, result) in enumerate(calls)]
    read("\n".join(lines).encode(), ())


def test_many_processes_are_forgotten_rather_than_remembered_for_ever() -> None:
    lines = [b'1 1.0 execve("/x", ["x"], 0x1) = 0\n']
    lines += [b"1 1.0 fork() = %d\n" % (index + 2) for index in range(25_000)]
    reader, events = read(b"".join(lines), ())
    assert len(events) == 25_001
    assert len(reader._processes) <= 20_000


def test_strace_itself_is_understood(tmp_path: Path) -> None:
    strace = shutil.which("strace")
    assert strace, "apt-get install strace"
    script = (
        "import socket, os\n"
        "s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()\n"
        "c = socket.create_connection(s.getsockname())\n"
        "open('new file', 'w').close(); os.rename('new file', 'other'); os.system('true')\n"
    )
    argv = (sys.executable, "-I", "-S", "-c", script)
    trace = tmp_path / "t.strace"
    subprocess.run(
        [
            strace,
            "-f",
            "-ttt",
            "-y",
            "-s",
            "256",
            "--seccomp-bpf",
            "-e",
            "trace=execve,connect,bind,openat,?rename,clone,?clone3,?vfork",
            "-o",
            str(trace),
            "--",
            "/bin/sh",
            "-c",
            'exec "$@"',
            "launcher",
            *argv,
        ],
        check=True,
        timeout=60,
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},
    )
    reader = TraceReader(trace.read_bytes(), argv)
    events = list(reader.events())
    assert reader.marker_found
    assert reader.ended
    assert reader.unreadable == 0
    assert any(isinstance(event, Contact) and event.address == "127.0.0.1" for event in events)
    assert any(
        isinstance(event, Open) and event.create and event.path == str(tmp_path / "new file") for event in events
    )
    assert any(isinstance(event, Change) and event.target == str(tmp_path / "other") for event in events)
    assert any(isinstance(event, Exec) and event.argv[:2] == ("sh", "-c") for event in events)
