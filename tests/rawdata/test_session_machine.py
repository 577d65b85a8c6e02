"""The raw data API against real machines: what a clone gets, and what hostile packages cannot do there."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pyti.machines import Hypervisor, Template
from pyti.rawdata import GuestDistribution, GuestJob, GuestSession, Limits, TaskFinished

pytestmark = pytest.mark.machine


def wheel(folder: Path, name: str, files: Mapping[str, str]) -> Path:
    """Write a pure wheel, version 1.0."""
    info = f"{name}-1.0.dist-info"
    contents = dict(files) | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = []
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in contents.items():
            archive.writestr(member, text)
            digest = urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            rows.append(f"{member},sha256={digest},{len(text.encode())}")
        archive.writestr(f"{info}/RECORD", "\n".join([*rows, f"{info}/RECORD,,"]) + "\n")
    return path


@asynccontextmanager
async def awake(hypervisor: Hypervisor, template: Template, hostname: str) -> AsyncIterator[GuestSession]:
    """A clone of the template, woken."""
    async with (
        await hypervisor.clone(template) as machine,
        await GuestSession.connect(machine.address, timeout_s=60) as session,
    ):
        await session.wake(seed=secrets.token_bytes(64), hostname=hostname)
        yield session


async def said(session: GuestSession, command: str) -> str:
    done = await session.run(["sh", "-c", command], timeout_s=60)
    assert done.exit_status == 0, done.stderr
    return done.stdout.decode().strip()


LIMITS = Limits(wall_s=60.0)


class Ran:
    """One job's spool and its finished tasks."""

    def __init__(self, spool: Path, tasks: dict[str, TaskFinished]) -> None:
        self.spool = spool
        self.tasks = tasks

    def __getitem__(self, task: str) -> TaskFinished:
        return self.tasks[task]

    def printed(self) -> str:
        return (self.spool / "streams/import/modules.stdout").read_text(errors="replace")


async def ran(
    session: GuestSession,
    folder: Path,
    name: str,
    code: str,
    *,
    limits: Limits = LIMITS,
    trace: bool = False,
) -> Ran:
    """Run the tasks up to ``import`` on a package of one module."""
    path = wheel(folder, name, {f"{name}.py": code})
    dist = GuestDistribution(name=name, version="1.0", filename=path.name, kind="wheel")
    job = GuestJob(job=f"job-{name}", dist=dist, tasks=("import",), task_limits={"import": limits}, trace=trace)
    await session.deliver(job, {f"dist/{path.name}": path})
    spool = folder / f"spool-{name}"
    records = [record async for record in session.follow(job.job, spool, timeout_s=120)]
    return Ran(spool, {one.task: one for one in records if isinstance(one, TaskFinished)})


IDENTITY = "hostname; cat /etc/machine-id; head -c 32 /dev/urandom | sha256sum; date +%s; ls /sys/class/net"


async def test_each_clone_has_its_own_name_randomness_and_time_and_no_network_card(
    hypervisor: Hypervisor, template: Template
):
    async with awake(hypervisor, template, "guest-1") as first, awake(hypervisor, template, "guest-2") as second:
        before = float(await said(first, "date +%s"))
        one, two = await asyncio.gather(said(first, IDENTITY), said(second, IDENTITY))
    names, machines, bytes_, times, cards = zip(one.splitlines(), two.splitlines(), strict=True)
    assert names == ("guest-1", "guest-2")
    assert machines[0] != machines[1]
    assert bytes_[0] != bytes_[1]
    assert abs(float(times[0]) - before) < 120
    assert cards == ("lo", "lo")


SPY = """
import os, signal, socket

def attempt(name, function):
    try:
        print(name, "DONE", function())
    except BaseException as error:
        print(name, type(error).__name__)

def connect(path):
    socket.socket(socket.AF_UNIX).connect(path)

def parents():
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            found[int(pid)] = open(f"/proc/{pid}/cmdline").read()
        except OSError:
            pass
    return found

processes = parents()
agent = next(pid for pid, line in processes.items() if "pyti.guest.agent" in line)
strace = next(pid for pid, line in processes.items() if line.split(chr(0))[0].endswith("strace"))
print("uid", os.getuid())
attempt("kill-agent", lambda: os.kill(agent, signal.SIGKILL))
attempt("kill-strace", lambda: os.kill(strace, signal.SIGKILL))
attempt("read-agent", lambda: open(f"/proc/{agent}/mem", "rb").read(1))
attempt("list-outbox", lambda: os.listdir("/var/lib/pyti/outbox"))
attempt("write-outbox", lambda: open("/var/lib/pyti/outbox/job-spy/records.jsonl", "a").write("{}"))
attempt("write-inbox", lambda: open("/var/lib/pyti/inbox/job-spy/job.json", "a").write("{}"))
attempt("write-guest", lambda: open("/usr/lib/pyti/pyti/guest/agent.py", "a").write("x"))
attempt("write-interpreter", lambda: open("/usr/bin/python3", "ab").write(b"x"))
attempt("list-run", lambda: os.listdir("/run/pyti"))
attempt("connect-outbox", lambda: connect("/run/pyti/outbox.sock"))
attempt("connect-control", lambda: connect("/run/pyti/control.sock"))
attempt("read-key", lambda: open("/root/.ssh/authorized_keys").read())
attempt("read-shadow", lambda: open("/etc/shadow").read())
attempt("write-group", lambda: open("/sys/fs/cgroup/cgroup.procs", "w").write(str(os.getpid())))
attempt("become-root", lambda: os.setuid(0))
attempt("open-port", lambda: open("/dev/virtio-ports/org.pyti.ssh.0", "r+b"))
attempt("open-disk", lambda: open("/dev/vda", "rb").read(1))
"""

HUNGRY = "import sys\ndata = []\nwhile True:\n    data.append(bytearray(1 << 20))\n"

FORKS = """
import os, time
made = 0
try:
    while made < 5000:
        if os.fork() == 0:
            time.sleep(987)
        made += 1
except BlockingIOError:
    print("stopped after", made)
"""

SLEEPERS = """
import subprocess, time
subprocess.Popen(["sleep", "985"], start_new_session=True)
time.sleep(985)
"""

DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(984)
    os._exit(0)
"""

FLOOD = "import sys\nfor _ in range(300):\n    sys.stdout.write('o' * 10_000)\n"


async def test_limits_hold_and_the_package_is_locked_in(hypervisor: Hypervisor, template: Template, tmp_path: Path):
    """One machine for all: what one package does must not reach the next."""
    async with awake(hypervisor, template, "guest-3") as session:
        spied = await ran(session, tmp_path, "spy", SPY, trace=True)
        assert spied["import"].outcome == "passed", spied["import"].detail
        lines = spied.printed().splitlines()
        assert lines[0] == "uid 1000"
        assert len(lines) == 18
        allowed = [line for line in lines[1:] if line.split()[1] not in ("PermissionError", "FileNotFoundError")]
        assert allowed == []
        trace = spied["import"].phases[0].trace
        assert trace is not None
        assert "authorized_keys" in (spied.spool / trace.path).read_text()

        hungry = await ran(session, tmp_path, "hungry", HUNGRY, limits=Limits(wall_s=60.0, memory_bytes=100 * 2**20))
        assert hungry["import"].phases[0].limit == "memory"
        assert (hungry["import"].phases[0].max_rss_bytes or 0) <= 100 * 2**20
        assert (hungry["import"].outcome, hungry["import"].cause) == ("error", "resource"), hungry["import"].detail

        forks = await ran(session, tmp_path, "forks", FORKS, limits=Limits(wall_s=60.0, pids=20))
        assert forks["import"].phases[0].limit == "pids"
        assert 10 <= int(forks.printed().split()[-1]) < 20
        assert forks["import"].phases[0].processes_killed >= 10

        sleepers = await ran(session, tmp_path, "sleepers", SLEEPERS, limits=Limits(wall_s=2.0))
        assert (sleepers["import"].outcome, sleepers["import"].cause) == ("timeout", "resource")
        assert sleepers["import"].phases[0].limit == "wall"

        daemon = await ran(session, tmp_path, "daemon", DAEMON)
        assert daemon["import"].outcome == "passed"
        assert daemon["import"].phases[0].processes_killed == 1

        flood = await ran(session, tmp_path, "flood", FLOOD, limits=Limits(wall_s=60.0, output_bytes=5000))
        stdout = flood["import"].phases[0].stdout
        assert stdout is not None
        assert (stdout.size, stdout.total, stdout.truncated) == (5000, 3_000_000, True)
        assert flood.printed() == "o" * 5000

        assert await said(session, "ps -u tester -o pid= | wc -l") == "0"
        assert await said(session, "ls /sys/fs/cgroup/pyti | grep -c -- - || true") == "0"
