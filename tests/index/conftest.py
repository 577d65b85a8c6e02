"""A real package index on loopback, with faults on demand, and makers of small distributions."""

import asyncio
import gzip
import hashlib
import html
import io
import json
import tarfile
import zipfile
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from packaging import tags
from packaging.utils import canonicalize_name

from pyti.config import IndexSettings
from pyti.index import Downloads, IndexClient, Target

JSON = "application/vnd.pypi.simple.v1+json"


def make_metadata(name, version, requires=(), requires_python=None, extras=(), metadata_version="2.2", dynamic=()):
    lines = [f"Metadata-Version: {metadata_version}", f"Name: {name}", f"Version: {version}"]
    lines += [f"Dynamic: {field}" for field in dynamic]
    lines += [f"Requires-Python: {requires_python}"] if requires_python else []
    lines += [f"Requires-Dist: {text}" for text in requires]
    lines += [f"Provides-Extra: {extra}" for extra in extras]
    return ("\n".join(lines) + "\n\nDescription.\n").encode()


def make_wheel(name, version, *, metadata=None, **described):
    """Give a wheel's bytes."""
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(f"{name.replace('-', '_')}.py", f"VERSION = {version!r}\n" * 50)
        file.writestr(f"{info}/METADATA", metadata or make_metadata(name, version, **described))
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")
    return out.getvalue()


def make_sdist(name, version, *, files=None, pyproject=None, **described):
    """Give an sdist's bytes; ``files`` maps paths below its folder to text."""
    top = f"{name.replace('-', '_')}-{version}"
    contents = {"PKG-INFO": make_metadata(name, version, **described), **(files or {})}
    if pyproject is not None:
        contents["pyproject.toml"] = pyproject
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as file:
        for path, text in contents.items():
            data = text.encode() if isinstance(text, str) else text
            member = tarfile.TarInfo(f"{top}/{path}")
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
    return gzip.compress(out.getvalue(), mtime=0)


class LocalIndex:
    """Serves what was added; ``fault`` makes it fail in chosen ways, a number of times or for ever."""

    def __init__(self):
        self.projects = {}
        self.bodies = {}
        self.faults = {}
        self.seen = Counter()
        self.headers = []
        self.format = JSON
        self.etags = True
        self.url = ""
        self.password = None
        self.hanging = asyncio.Event()
        self.over = asyncio.Event()

    def add(self, filename, body, *, project=None, metadata=None, **said):
        """Put a file on the index; ``said`` overrides what its page says of it."""
        project = canonicalize_name(project or filename.split("-")[0])
        entry = {
            "filename": filename,
            "url": f"../../files/{filename}",
            "hashes": {"sha256": hashlib.sha256(body).hexdigest()},
            "size": len(body),
            "upload-time": "2024-01-02T03:04:05.678Z",
            "yanked": False,
            "requires-python": None,
        }
        if metadata is not None:
            self.bodies[filename + ".metadata"] = metadata
            entry["core-metadata"] = {"sha256": hashlib.sha256(metadata).hexdigest()}
        entry.update(said)
        self.projects.setdefault(project, []).append(entry)
        self.bodies[filename] = body
        return entry

    def wheel(self, name, version, *, tag="py3-none-any", said=None, **described):
        said = said or {}
        filename = f"{name.replace('-', '_')}-{version}-{tag}.whl"
        return self.add(filename, make_wheel(name, version, **described), project=name, **said)

    def sdist(self, name, version, *, said=None, **described):
        filename = f"{name.replace('-', '_')}-{version}.tar.gz"
        return self.add(filename, make_sdist(name, version, **described), project=name, **(said or {}))

    def fault(self, path, kind, times=10**6):
        """Make the answers for a page (its name) or a file (its file name) fail."""
        self.faults[path] = [kind, times]

    def _fault(self, path):
        kind, times = self.faults.get(path, (None, 0))
        if not times:
            return None
        self.faults[path][1] -= 1
        return kind

    async def page(self, request):
        name = request.match_info["name"]
        self.seen[name] += 1
        self.headers.append(request.headers.copy())
        if (answer := await self._misbehave(request, name)) is not None:
            return answer
        if self.password and request.headers.get("Authorization") != self.password:
            return web.Response(status=401)
        if name not in self.projects:
            return web.Response(status=404)
        entries = self.projects[name]
        if self.format == JSON:
            body = json.dumps({"meta": {"api-version": "1.1"}, "name": name, "files": entries}).encode()
        else:
            body = self._html(entries).encode()
        headers = {"Content-Type": self.format}
        if self.etags:
            headers["ETag"] = '"' + hashlib.sha256(body).hexdigest()[:16] + '"'
            if request.headers.get("If-None-Match") == headers["ETag"]:
                return web.Response(status=304, headers=headers)
        return web.Response(body=body, headers=headers)

    @staticmethod
    def _html(entries):
        rows = []
        for entry in entries:
            extra = (
                f' data-requires-python="{html.escape(entry["requires-python"])}"' if entry["requires-python"] else ""
            )
            if entry["yanked"]:
                reason = entry["yanked"] if isinstance(entry["yanked"], str) else ""
                extra += f' data-yanked="{html.escape(reason)}"'
            if "core-metadata" in entry:
                extra += f' data-core-metadata="sha256={entry["core-metadata"]["sha256"]}"'
            url = entry["url"] + (f"#sha256={entry['hashes']['sha256']}" if entry["hashes"] else "")
            rows.append(f'<a href="{url}"{extra}>{entry["filename"]}</a><br>')
        return "<!DOCTYPE html><html><body>" + "\n".join(rows) + "</body></html>"

    async def file(self, request):
        name = request.match_info["name"]
        self.seen[name] += 1
        self.headers.append(request.headers.copy())
        if (answer := await self._misbehave(request, name)) is not None:
            return answer
        if name not in self.bodies:
            return web.Response(status=404)
        body = self.bodies[name]
        headers = {
            "ETag": '"' + hashlib.sha256(body).hexdigest()[:16] + '"',
            "Content-Type": "application/octet-stream",
        }
        condition = request.headers.get("If-Range")
        if "Range" in request.headers and condition in {None, headers["ETag"]}:
            start = request.http_range.start
            if start >= len(body):
                return web.Response(status=416)
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            return web.Response(status=206, body=body[start:], headers=headers)
        return web.Response(body=body, headers=headers)

    async def _misbehave(self, request, name):
        kind = self._fault(name)
        if kind is None:
            return None
        if kind.isdigit():
            return web.Response(status=int(kind))
        if kind == "hang":
            self.hanging.set()
            await self.over.wait()
            return web.Response(status=503)
        if kind == "loop":
            raise web.HTTPFound(request.path_qs)
        if kind == "file-url":
            raise web.HTTPFound("file:///etc/passwd")
        if kind == "garbage":
            return web.Response(body=b"\x00\xff{]" * 50, headers={"Content-Type": JSON})
        if kind == "content-type":
            return web.Response(body=b"<html></html>", headers={"Content-Type": "image/png"})
        if kind == "wrong-bytes":
            return web.Response(body=bytes(len(self.bodies[name])))
        if kind == "other-size":
            return web.Response(body=self.bodies[name] + b"more")
        response = web.StreamResponse()
        if kind in {"truncate", "reset"}:
            body = self.bodies.get(name, bytes(100))
            response.content_length = len(body)
            response.headers["ETag"] = '"' + hashlib.sha256(body).hexdigest()[:16] + '"'
            await response.prepare(request)
            await response.write(body[: len(body) // 2])
            request.transport.close()
            return response
        assert kind == "endless", kind
        response.content_type = JSON
        response.enable_chunked_encoding()
        await response.prepare(request)
        try:
            while True:
                await response.write(b" " * 65536)
        except ConnectionError:
            return response


@pytest.fixture
async def index():
    local = LocalIndex()
    app = web.Application()
    app.add_routes([web.get("/simple/{name}/", local.page), web.get("/files/{name}", local.file)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    local.url = f"http://127.0.0.1:{runner.addresses[0][1]}/simple/"
    yield local
    local.over.set()
    await runner.cleanup()


@pytest.fixture
def settings(index):
    return IndexSettings(url=index.url, timeout_s=5.0, attempts=3)


@pytest.fixture
def connect(index, settings, tmp_path):
    """Give an ``async with`` that opens a client (with changed settings) and its downloads."""

    @asynccontextmanager
    async def open_client(cache=tmp_path / "cache", **changes):
        changed = msgspec.structs.replace(settings, **changes)
        async with IndexClient(changed, cache=cache, first_pause_s=0.001) as client:
            yield client, Downloads(client, Path(cache), changed)

    return open_client


@pytest.fixture
async def client(connect):
    async with connect() as (client, _):
        yield client


def debian_12_manifest():
    """Describe CPython 3.11.2 of Debian 12 on x86-64 (glibc 2.36) as its image does."""
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in range(36, 4, -1)] + ["linux_x86_64"]
    legacy = ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"]
    platforms[-1:-1] = legacy
    supported = [*tags.cpython_tags((3, 11), ["cp311"], platforms), *tags.compatible_tags((3, 11), "cp311", platforms)]
    return {
        "implementation": "cpython",
        "python_full_version": "3.11.2",
        "tags": [str(tag) for tag in supported],
        "markers": {
            "implementation_name": "cpython",
            "implementation_version": "3.11.2",
            "os_name": "posix",
            "platform_machine": "x86_64",
            "platform_python_implementation": "CPython",
            "platform_release": "6.1.0-13-cloud-amd64",
            "platform_system": "Linux",
            "platform_version": "#1 SMP",
            "python_full_version": "3.11.2",
            "python_version": "3.11",
            "sys_platform": "linux",
        },
    }


@pytest.fixture
def manifest():
    return debian_12_manifest()


@pytest.fixture
def target(manifest):
    return Target.from_manifest(manifest)


@pytest.fixture
def wheel_bytes():
    return make_wheel


@pytest.fixture
def sdist_bytes():
    return make_sdist


@pytest.fixture
def metadata_bytes():
    return make_metadata
