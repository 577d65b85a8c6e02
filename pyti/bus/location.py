"""Where the broker is: the URL, taken apart, and shown without its secrets."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import msgspec

from pyti.errors import ConfigError

__all__ = ["INPROCESS", "Location"]

INPROCESS = "inprocess"


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed bus URL. ``shown`` is safe in logs and errors; ``url`` is not."""

    url: str
    scheme: str
    name: str
    """The in-process broker's name."""
    user: str | None
    shown: str

    @classmethod
    def parse(cls, url: str) -> Location:
        """Take a URL apart. Raises ``ConfigError``, without repeating the URL's secrets, when it is not a bus URL."""
        scheme, separator, rest = url.partition(":")
        if separator and scheme == INPROCESS:
            return cls(url=url, scheme=scheme, name=rest, user=None, shown=url)
        remedy = "Use inprocess:<name>, or amqp[s]://user:password@host:port/vhost."
        try:
            parsed = urlsplit(url)
            port = parsed.port
        except ValueError:
            raise ConfigError("the bus URL is malformed", remedy=remedy) from None
        if parsed.scheme not in ("amqp", "amqps") or not parsed.hostname:
            raise ConfigError(f"the bus URL has an unusable scheme {scheme[:20]!r} or no host", remedy=remedy)
        host = f"[{parsed.hostname}]" if ":" in parsed.hostname else parsed.hostname
        shown = f"{parsed.scheme}://{host}{'' if port is None else f':{port}'}{parsed.path}"
        user = None if parsed.username is None else unquote(parsed.username)
        return cls(url=url, scheme=parsed.scheme, name="", user=user, shown=shown)

    @property
    def is_inprocess(self) -> bool:
        """Whether the broker is an object of this process."""
        return self.scheme == INPROCESS
