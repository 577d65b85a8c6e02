from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]
PYTHON = Path("/usr/bin/python3").resolve()
"""Debian's interpreter, as in the image; one of a version switcher may lie where other users cannot go."""
TOOLS = (
    "pytest",
    "_pytest",
    "pluggy",
    "py.py",
    "exceptiongroup",
    "iniconfig",
    "packaging",
    "pygments",
    "pylint",
    "astroid",
    "pycodestyle.py",
)
TOOLS_OF_PYLINT = ("isort", "mccabe.py", "platformdirs", "dill", "tomlkit", "typing_extensions.py")


def wheel(folder: Path, name: str, files: Mapping[str, str], *, metadata: str = "", entry_points: str = "") -> Path:
    """Write a pure wheel, version 1.0, as a build backend would."""
    info = f"{name}-1.0.dist-info"
    contents = dict(files) | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{metadata}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if entry_points:
        contents[f"{info}/entry_points.txt"] = entry_points
    rows = []
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in contents.items():
            archive.writestr(member, text)
            digest = urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            rows.append(f"{member},sha256={digest},{len(text.encode())}")
        archive.writestr(f"{info}/RECORD", "\n".join([*rows, f"{info}/RECORD,,"]) + "\n")
    return path


def sdist(folder: Path, name: str, files: Mapping[str, str]) -> Path:
    """Write an sdist, version 1.0, whose build backend is what ``files`` say."""
    path = folder / f"{name}-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for member, text in files.items():
            info = tarfile.TarInfo(f"{name}-1.0/{member}")
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return path


BACKEND = '''
"""A build backend of one file, so that no test needs one from an index."""
import base64, hashlib, os, zipfile

NAME = "{name}"

def get_requires_for_build_wheel(config_settings=None):
    return []

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    info = NAME + "-1.0.dist-info"
    contents = {{}}
    for base, folders, files in os.walk("src"):
        for file in files:
            if file.endswith(".py"):
                path = os.path.join(base, file)
                contents[os.path.relpath(path, "src")] = open(path, "rb").read()
    contents[info + "/METADATA"] = ("Metadata-Version: 2.1\\nName: " + NAME + "\\nVersion: 1.0\\n").encode()
    contents[info + "/WHEEL"] = b"Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    filename = NAME + "-1.0-py3-none-any.whl"
    rows = []
    with zipfile.ZipFile(os.path.join(wheel_directory, filename), "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
            rows.append(name + ",," + str(len(content)))
        archive.writestr(info + "/RECORD", "\\n".join(rows + [info + "/RECORD,,"]) + "\\n")
    return filename
'''
PYPROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


def source(name: str, files: Mapping[str, str]) -> dict[str, str]:
    """The files of an sdist that builds itself; modules lie below ``src``."""
    return {"pyproject.toml": PYPROJECT, "backend.py": BACKEND.format(name=name), **files}


@dataclass
class Ran:
    """The records of a job, and where its outbox lies."""

    records: list[dict[str, Any]]
    outbox: Path
    root: Path

    def task(self, name: str) -> dict[str, Any]:
        (found,) = [one for one in self.records if one["type"] == "task.finished" and one["task"] == name]
        return found

    def text(self, stream: str) -> str:
        return (self.outbox / "streams" / stream).read_text(errors="replace")


class Agent:
    """A real agent on a folder of this host."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.count = 0

    def job(self, dist: Path, *, tasks: list[str], wheelhouse: tuple[Path, ...] = (), **fields: Any) -> Ran:
        self.count += 1
        job = f"job-{self.count:04}"
        folder = self.root / "var/lib/pyti/inbox" / job
        for name in ("dist", "wheelhouse"):
            (folder / name).mkdir(parents=True)
        shutil.copy(dist, folder / "dist")
        for path in wheelhouse:
            shutil.copy(path, folder / "wheelhouse")
        described = {
            "name": dist.name.split("-")[0],
            "version": "1.0",
            "filename": dist.name,
            "kind": "wheel" if dist.suffix == ".whl" else "sdist",
        }
        text = json.dumps({"job": job, "attempt": 1, "dist": described, "tasks": tasks, **fields})
        (folder / ".job").write_text(text)
        (folder / ".job").rename(folder / "job.json")
        records = b""
        for header, content in frames(self.root, {"job": job, "offsets": {}}):
            if header.get("path") == "records.jsonl":
                records += content
        return Ran(
            [json.loads(line) for line in records.splitlines()], self.root / "var/lib/pyti/outbox" / job, self.root
        )


def frames(root: Path, request: dict[str, Any]) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Follow an outbox, plainly."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(str(root / "run/pyti/outbox.sock"))
        connection.sendall(json.dumps(request).encode() + b"\n")
        with connection.makefile("rb") as stream:
            while not (header := json.loads(stream.readline())).get("end"):
                yield header, stream.read(header["length"])


@pytest.fixture
def control():
    """Ask the control socket."""

    def ask(root: Path, request: bytes) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(30)
            connection.connect(str(root / "run/pyti/control.sock"))
            connection.sendall(request)
            with connection.makefile("rb") as stream:
                return json.loads(stream.readline())

    return ask


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's tools, copied from this environment's: no plugin of pytest comes along.

    Copies, because the user who runs the phases may not be able to enter the folder of the checkout.
    """
    folder = tmp_path_factory.mktemp("tools")
    site = folder / "lib/python3.11/site-packages"
    site.mkdir(parents=True)
    here = Path(pytest.__file__).parents[1]
    for name in TOOLS + TOOLS_OF_PYLINT:
        if (here / name).is_dir():
            shutil.copytree(here / name, site / name)
        elif (here / name).exists():
            shutil.copy(here / name, site / name)
    (folder / "bin").mkdir()
    shutil.copy(Path(sys.executable).parent / "uv", folder / "bin/uv")
    for path in (folder, *folder.parents):
        if path == Path(tempfile.gettempdir()):
            break
        path.chmod(0o755)
    return folder


@pytest.fixture
def agent(tools: Path) -> Iterator[Agent]:
    """An agent that is ready, run by root for ``nobody`` where tests run as root."""
    root = Path(tempfile.mkdtemp(prefix="pyti-guest-"))
    root.chmod(0o755)
    home = root / "home/tester"
    home.mkdir(parents=True)
    venv = [
        str(tools / "bin/uv"),
        "venv",
        "-q",
        "--offline",
        "--no-project",
        "--python",
        str(PYTHON),
        str(home / "venv"),
    ]
    subprocess.run(venv, check=True, timeout=60)
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        for base, folders, files in os.walk(root / "home"):
            for name in (".", *folders, *files):
                os.chown(Path(base, name), nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)
    argv = [sys.executable, "-m", "pyti.guest.agent", "--root", str(root), "--user", "nobody", "--no-warm"]
    argv += ["--tools", str(tools), "--python", str(PYTHON)]
    process = subprocess.Popen(argv, cwd=PROJECT, stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"PYTI-AGENT-READY\n"
        yield Agent(root)
    finally:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        shutil.rmtree(root)
