"""The HTTP shell under pages and downloads: one session, bounded retries, errors named for who is at fault."""

from __future__ import annotations

import asyncio
import base64
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self, TypeVar

import aiohttp
from yarl import URL

from pyti.config import IndexSettings
from pyti.errors import IndexLied, IndexUnavailable, PytiError
from pyti.index.location import IndexLocation, tls_context, without_secrets

__all__ = ["BadStatus", "Transport", "backoff"]

T = TypeVar("T")

MAX_REDIRECTS = 5
"""Indexes redirect once for a normalized name and once to a file host; more is a loop or a chase."""
MAX_HEADER_BYTES = 16 * 1024
RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that say "later", RFC 9110 and RFC 6585; every other 4xx is an answer."""
LONGEST_PAUSE_S = 10.0


class BadStatus(IndexUnavailable):
    """The index answered with a status that is no success; ``status`` tells which."""

    def __init__(self, url: URL, status: int) -> None:
        super().__init__(
            f"the index answered {status} for {without_secrets(url)}.",
            remedy="Check index.url, credentials and the index's health, then try again.",
        )
        self.status = status


def backoff(attempts: int, *, first_s: float = 0.25, uniform: Callable[[], float] = random.random) -> Iterator[float]:
    """Yield the pauses between ``attempts`` tries: doubling, with full jitter, each at most ``LONGEST_PAUSE_S``."""
    for step in range(attempts - 1):
        yield min(LONGEST_PAUSE_S, first_s * 2**step) * (0.5 + uniform() / 2)


class Transport:
    """One HTTP session to the index and its file host; use it with ``async with``.

    ``first_pause_s`` is the first pause of the backoff; tests shorten it.
    """

    def __init__(self, settings: IndexSettings, location: IndexLocation, *, first_pause_s: float = 0.25) -> None:
        self.settings = settings
        self.location = location
        self._first_pause_s = first_pause_s
        self._session: aiohttp.ClientSession | None = None
        self._places = asyncio.Semaphore(settings.concurrency)
        self.requests = 0
        """Requests sent so far."""

    async def __aenter__(self) -> Self:
        context = await asyncio.to_thread(tls_context, self.location.certificates)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=self.settings.concurrency * 2),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=self.settings.timeout_s, sock_read=self.settings.timeout_s
            ),
            headers={"User-Agent": "pyti"},
            trust_env=True,
            auto_decompress=True,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    @asynccontextmanager
    async def get(
        self, url: URL, headers: Mapping[str, str], *, raw: bool = False
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send one GET and yield the response, whatever its status; ``raw`` leaves the body packed.

        Credentials go only to the index's own origin. Raises ``IndexUnavailable`` for connection trouble and
        timeouts, ``IndexLied`` for redirect loops and for redirects that leave HTTPS.
        """
        if self._session is None:
            raise RuntimeError("the transport is used outside its 'async with'")
        if url.scheme not in {"http", "https"} or not url.host:
            raise IndexLied(f"the index names a URL that is neither http nor https: {without_secrets(url)}")
        sent = dict(headers)
        if self.location.user is not None and url.origin() == self.location.root.origin():
            sent["Authorization"] = _basic(self.location.user, self.location.password or "")
        shown = without_secrets(url)
        async with self._places:
            self.requests += 1
            try:
                async with self._session.get(
                    url, headers=sent, max_redirects=MAX_REDIRECTS, auto_decompress=not raw
                ) as response:
                    if url.scheme == "https" and response.url.scheme != "https":
                        raise IndexLied(f"{shown} redirects to an address without TLS.")
                    yield response
            except aiohttp.TooManyRedirects as error:
                raise IndexLied(f"{shown} redirects more than {MAX_REDIRECTS} times.") from error
            except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
                raise IndexLied(f"{shown} redirects to something that is no http URL.") from error
            except TimeoutError as error:
                raise IndexUnavailable(
                    f"{shown}: no answer within {self.settings.timeout_s:g} s.",
                    remedy="Check the network, or raise index.timeout_s.",
                ) from error
            except (aiohttp.ClientError, OSError) as error:
                if isinstance(error, OSError) and not isinstance(error, (aiohttp.ClientError, ConnectionError)):
                    raise
                raise IndexUnavailable(
                    f"{shown} cannot be read: {type(error).__name__}: {str(error)[:300]}",
                    remedy="Check the network, the proxy and index.url.",
                ) from error

    async def retrying(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Run ``attempt`` until it succeeds, fails for good, or ``settings.attempts`` tries are used up."""
        for pause in backoff(self.settings.attempts, first_s=self._first_pause_s):
            try:
                return await attempt()
            except BadStatus as error:
                if error.status not in RETRIED:
                    raise
            except PytiError as error:
                if not error.retryable:
                    raise
            await asyncio.sleep(pause)
        return await attempt()


def _basic(user: str, password: str) -> str:
    """Encode credentials (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
