"""The simple API client: one project's page at a time, bounded, retried, and conditional where the index allows."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec
from packaging.utils import InvalidName, NormalizedName, canonicalize_name
from yarl import URL

from pyti.config import IndexSettings
from pyti.errors import HashMismatch, IndexLied, IndexUnavailable, NoSuchDistribution, TooLarge, UsageError
from pyti.index.location import IndexLocation, locate, without_secrets
from pyti.index.page import ACCEPT, IndexFile, ProjectPage, parse_page
from pyti.index.transport import BadStatus, Transport

__all__ = ["IndexClient", "Validators", "normalized"]

T = TypeVar("T")

MAX_METADATA_BYTES = 8 * 1024 * 1024
"""A METADATA file holds the project's description; warehouse-like indexes refuse far smaller ones."""
PAGE_TIME_FACTOR = 10
"""A page may take this many times ``timeout_s`` in all, so that an endless trickle ends."""
CHUNK = 256 * 1024


class Validators(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a conditional request needs to know of the last answer (RFC 9110: validators)."""

    etag: str = ""
    last_modified: str = ""

    def headers(self) -> dict[str, str]:
        """Give the request headers that ask for news only."""
        sent = {"If-None-Match": self.etag} if self.etag else {}
        return {**sent, "If-Modified-Since": self.last_modified} if self.last_modified else sent


class _Stored(msgspec.Struct):
    """A page as kept in the cache."""

    validators: Validators
    content_type: str
    base: str
    body: bytes


def normalized(name: str) -> NormalizedName:
    """Check and normalize a project's name (PEP 503). Raises ``UsageError`` when it cannot be one."""
    try:
        if len(name) > 200:
            raise InvalidName("it is too long")
        return canonicalize_name(name, validate=True)
    except InvalidName as error:
        raise UsageError(
            f"{name[:80]!r} cannot be a project's name.",
            remedy="Names have letters, digits, '.', '_' and '-', and start and end with a letter or digit.",
        ) from error


class IndexClient:
    """Asks one package index; use it with ``async with``.

    ``cache`` is a folder where pages are kept with their validators, so that an index which knows conditional
    requests need not send them again; pages of an index which does not are not kept.
    """

    def __init__(
        self,
        settings: IndexSettings,
        *,
        cache: Path | None = None,
        location: IndexLocation | None = None,
        first_pause_s: float = 0.25,
    ) -> None:
        self.settings = settings
        self._location = location
        self._cache = cache / "pages" if cache else None
        self._first_pause_s = first_pause_s
        self._transport: Transport | None = None
        self._thread: ThreadPoolExecutor | None = None

    async def __aenter__(self) -> Self:
        location = self._location
        if location is None:
            location = await asyncio.to_thread(locate, self.settings)
        self._transport = Transport(self.settings, location, first_pause_s=self._first_pause_s)
        await self._transport.__aenter__()
        self._thread = ThreadPoolExecutor(1, "index-compute")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown(wait=False, cancel_futures=True)
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.__aexit__(kind, error, trace)

    @property
    def transport(self) -> Transport:
        """The session that downloads share."""
        if self._transport is None:
            raise RuntimeError("the index client is used outside its 'async with'")
        return self._transport

    async def compute(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run a computation in this client's one thread.

        One, because several threads that compute in Python take the interpreter lock from the event loop in turn:
        with six of them it was seen to wait 0.4 s.
        """
        if self._thread is None:
            raise RuntimeError("the index client is used outside its 'async with'")
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(function, *arguments))

    def page_url(self, name: NormalizedName) -> URL:
        """Tell where a project's page is."""
        return self.transport.location.root.joinpath(name, "")

    async def project(self, name: str) -> ProjectPage:
        """Get a project's page.

        Raises ``NoSuchDistribution`` when the index has no such project, ``UsageError`` for an impossible name,
        ``IndexUnavailable``, ``IndexLied`` and ``TooLarge`` for an index that is down, lying or boundless.
        """
        project = normalized(name)
        kept = await asyncio.to_thread(self._load, project)
        answer = await self._get_page(project, kept.validators if kept else Validators())
        if answer is None and kept is not None:
            return await self.compute(parse_page, project, kept.body, kept.content_type, kept.base)
        if answer is None:
            raise IndexLied(f"the index answers 'not modified' for {project}, though nothing conditional was asked.")
        page = await self.compute(parse_page, project, answer.body, answer.content_type, answer.base)
        await asyncio.to_thread(self._save, project, answer)
        return page

    async def project_if_changed(self, name: str, validators: Validators) -> tuple[ProjectPage | None, Validators]:
        """Get a project's page if it changed since the answer that ``validators`` came from, and the new validators."""
        project = normalized(name)
        answer = await self._get_page(project, validators)
        if answer is None:
            return None, validators
        page = await self.compute(parse_page, project, answer.body, answer.content_type, answer.base)
        return page, answer.validators

    async def core_metadata(self, file: IndexFile) -> bytes | None:
        """Get the METADATA file that the index offers beside a wheel (PEP 658), or ``None`` when it offers none.

        One without an announced hash is not used: the wheel itself is then the only trustworthy source.
        Raises ``HashMismatch`` when the bytes are not the announced ones.
        """
        if not file.core_metadata or file.core_metadata_sha256 is None:
            return None
        url = URL(file.url)
        url = url.with_path(url.raw_path + ".metadata", encoded=True)
        try:
            body = (await self._body(url, {}, MAX_METADATA_BYTES, file.filename + ".metadata")).body
        except BadStatus as error:
            if error.status in {403, 404, 410}:
                return None
            raise
        if hashlib.sha256(body).hexdigest() != file.core_metadata_sha256:
            raise HashMismatch(f"the metadata beside {file.filename} does not have the announced sha256.")
        return body

    async def _get_page(self, project: NormalizedName, validators: Validators) -> _Stored | None:
        url = self.page_url(project)
        try:
            return await self._body(
                url, {"Accept": ACCEPT, **validators.headers()}, self.settings.max_page_bytes, f"the page of {project}"
            )
        except BadStatus as error:
            if error.status == 304:
                return None
            if error.status in {404, 410}:
                raise NoSuchDistribution(
                    f"the index has no project named {project}.",
                    remedy=f"Check the spelling; asked was {without_secrets(self.transport.location.root)}",
                ) from error
            raise

    async def _body(self, url: URL, headers: Mapping[str, str], limit: int, what: str) -> _Stored:
        async def attempt() -> _Stored:
            seconds = self.settings.timeout_s * PAGE_TIME_FACTOR
            try:
                async with asyncio.timeout(seconds), self.transport.get(url, headers) as response:
                    if response.status != 200:
                        raise BadStatus(url, response.status)
                    if (response.content_length or 0) > limit:
                        raise TooLarge(f"{what} is larger than {limit} bytes.", remedy="Raise index.max_page_bytes.")
                    body = bytearray()
                    async for chunk in response.content.iter_chunked(CHUNK):
                        body += chunk
                        if len(body) > limit:
                            raise TooLarge(
                                f"{what} is larger than {limit} bytes.", remedy="Raise index.max_page_bytes."
                            )
                    return _Stored(
                        validators=Validators(
                            response.headers.get("ETag", "")[:1024], response.headers.get("Last-Modified", "")[:64]
                        ),
                        content_type=response.headers.get("Content-Type", ""),
                        base=str(response.url),
                        body=bytes(body),
                    )
            except TimeoutError as error:
                raise IndexUnavailable(f"{what} did not arrive within {seconds:g} s.") from error

        return await self.transport.retrying(attempt)

    def _file(self, project: NormalizedName) -> Path | None:
        if self._cache is None:
            return None
        root = hashlib.sha256(str(self.transport.location.root).encode()).hexdigest()[:16]
        return self._cache / root / f"{project}.msgpack"

    def _load(self, project: NormalizedName) -> _Stored | None:
        path = self._file(project)
        try:
            return msgspec.msgpack.decode(path.read_bytes(), type=_Stored) if path else None
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return None

    def _save(self, project: NormalizedName, page: _Stored) -> None:
        """Keep a page that can be asked for conditionally; a full disk costs the saving, not the job."""
        path = self._file(project)
        if path is None or not (page.validators.etag or page.validators.last_modified):
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_name(f".{path.name}.{id(page):x}")
            fresh.write_bytes(msgspec.msgpack.encode(page))
            fresh.replace(path)
        except OSError:
            return
