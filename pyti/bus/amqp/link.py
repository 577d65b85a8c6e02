"""One connection to RabbitMQ that is kept open: connects, restores, notices its end, and begins again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import aiormq
import structlog
from aiormq import exceptions as amqp
from aiormq.abc import AbstractConnection

from pyti.bus.amqp.faults import translated
from pyti.bus.location import Location
from pyti.bus.options import Options
from pyti.bus.supervision import TaskSet
from pyti.errors import BusDisconnected, BusError, PytiError

__all__ = ["Link"]

_CLOSE_LIMIT_S = 5.0
_REFUSALS = (amqp.AuthenticationError, amqp.ProbableAuthenticationError, amqp.ConnectionNotAllowed)
_log = structlog.get_logger("pyti.bus")


class Link:
    """A named connection. ``on_up`` restores what belongs on it before anybody may use it; ``on_down`` cleans up."""

    def __init__(
        self,
        location: Location,
        label: str,
        *,
        app: str,
        options: Options,
        random: Random,
        on_up: Callable[[AbstractConnection], Awaitable[None]],
        on_down: Callable[[], None],
    ) -> None:
        self.label = label
        self._location = location
        self._app = app
        self._options = options
        self._random = random
        self._on_up = on_up
        self._on_down = on_down
        self._up = asyncio.Event()
        self._connection: AbstractConnection | None = None
        self._tasks = TaskSet()
        self._last_error: Exception | None = None
        self.reconnects = 0

    @property
    def is_up(self) -> bool:
        """Whether the connection stands and is restored."""
        return self._up.is_set() and self._connection is not None and not self._connection.is_closed

    async def open(self) -> None:
        """Connect. ``BusDisconnected`` after the connect limit; at once when the broker refuses the user."""
        first = asyncio.get_running_loop().create_future()
        self._tasks.start(self._keep(first), f"{self.label}:link")
        try:
            async with asyncio.timeout(self._options.connect_timeout_s):
                await first
        except TimeoutError:
            await self.close()
            last = self._last_error
            why = f": {last}" if isinstance(last, PytiError) else f" ({type(last).__name__})" if last else ""
            raise BusDisconnected(
                f"no connection to the broker at {self._location.shown}"
                f" within {self._options.connect_timeout_s:g} s{why}",
                remedy="Is the broker running, and the URL right?",
            ) from last
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Disconnect for good."""
        await self._tasks.cancel()
        self._up.clear()
        await self._drop()

    async def connection(self) -> AbstractConnection:
        """Return the connection as soon as it stands; the caller bounds the wait."""
        while not self.is_up or self._connection is None:
            if not self._up.is_set():
                await self._up.wait()
            else:
                await asyncio.sleep(0.01)  # the end was seen here before the keeper saw it
        return self._connection

    async def _keep(self, first: asyncio.Future[None]) -> None:
        attempt = 0
        while True:
            try:
                connection = await self._connect()
            except _REFUSALS as error:
                refused = BusDisconnected(
                    f"the broker at {self._location.shown} refuses the user or the virtual host",
                    remedy="Check user, password and virtual host in the bus URL, and the broker's permissions.",
                )
                refused.__cause__ = error
                self._fail(first, refused, fatal=True)
            except (BusError, PytiError, amqp.AMQPError, OSError, TimeoutError) as error:
                # A topology that stands differently is a fault of the program when it starts; later it may be mended.
                self._fail(first, error, fatal=isinstance(error, PytiError) and not error.retryable)
            else:
                attempt = 0
                self._up.set()
                if not first.done():
                    first.set_result(None)
                else:
                    self.reconnects += 1
                    _log.info("reconnected", connection=self.label, broker=self._location.shown)
                await asyncio.wait([connection.closing])
                self._up.clear()
                self._on_down()
                _log.warning("connection lost", connection=self.label, broker=self._location.shown)
                await self._drop()
            attempt += 1
            delay = self._options.reconnect.unbounded_delay(attempt)
            await asyncio.sleep(self._options.reconnect.jittered(delay, self._random))

    def _fail(self, first: asyncio.Future[None], error: Exception, *, fatal: bool) -> None:
        self._last_error = error
        if fatal and not first.done():
            first.set_exception(error)
        _log.warning("cannot connect", connection=self.label, broker=self._location.shown, error=type(error).__name__)

    async def _connect(self) -> AbstractConnection:
        parts = urlsplit(self._location.url)
        query = urlencode([*parse_qsl(parts.query), ("heartbeat", str(self._options.heartbeat_s))])
        connection = aiormq.Connection(
            urlunsplit(parts._replace(query=query)),
            client_properties={"connection_name": self.label, "product": self._app},
        )
        self._connection = connection
        try:
            async with asyncio.timeout(self._options.connect_timeout_s):
                with translated():
                    await connection.connect()
                    await self._on_up(connection)
        except BaseException as error:
            await self._drop()
            if isinstance(error.__cause__, _REFUSALS):
                raise error.__cause__ from None
            raise
        return connection

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None or not hasattr(connection, "_writer_task"):
            return
        try:
            async with asyncio.timeout(_CLOSE_LIMIT_S):
                await connection.close()
        except (TimeoutError, amqp.AMQPError, OSError, RuntimeError) as error:
            _log.warning("connection did not close cleanly", connection=self.label, error=type(error).__name__)
