"""Running a handler for each delivery of a queue, in tasks of the bus's own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import structlog
from structlog.contextvars import bound_contextvars

from pyti.bus.delivery import Context, Reply
from pyti.bus.policy import Retry, after_failure
from pyti.bus.reading import Reader
from pyti.bus.settlement import Settlement
from pyti.bus.supervision import TaskSet
from pyti.bus.transport import Incoming, Subscription, Transport

__all__ = ["Consuming", "Handler"]

Handler = Callable[[Any, Context], Awaitable[None]]
"""Gets the message, whose type is one of the registry's, and its context."""

_SETTLE_LIMIT_S = 5.0
"""Longest time that giving a message back may take while its handler is being cancelled."""

_log = structlog.get_logger("pyti.bus")


class Consuming:
    """One consumer: at most ``prefetch`` runs of the handler at once, each settled by the policy."""

    def __init__(
        self,
        queue: str,
        handler: Handler,
        prefetch: int,
        *,
        reader: Reader,
        settlement: Settlement,
        reply: Reply,
        random: Random,
    ) -> None:
        self._queue = queue
        self._handler = handler
        self._room = asyncio.Semaphore(prefetch)
        self._prefetch = prefetch
        self._reader = reader
        self._settlement = settlement
        self._reply = reply
        self._random = random
        self._tasks = TaskSet()
        self._subscription: Subscription | None = None

    async def start(self, transport: Transport, tag: str) -> None:
        """Begin. Raises ``Unroutable`` when there is no such queue."""
        self._subscription = await transport.consume(self._queue, tag, self._prefetch, self._deliver)

    async def stop(self, grace_s: float) -> None:
        """Take no more, wait up to ``grace_s`` for running handlers, then cancel them and give their messages back."""
        if self._subscription is None:
            return
        try:
            await self._subscription.cancel()
            await self._tasks.finish(grace_s)
        finally:
            await self._tasks.cancel()
            await self._subscription.release()

    @property
    def failure(self) -> BaseException | None:
        """The first failure of the machinery itself; a handler's failure is not one."""
        return self._tasks.failure

    def _deliver(self, incoming: Incoming) -> None:
        self._tasks.start(self._run(incoming), f"{self._queue}:{incoming.envelope.message_id}")

    async def _run(self, incoming: Incoming) -> None:
        # After a reconnect, runs of the old connection may still go on: the semaphore keeps the bound all the same.
        settle = self._settlement
        try:
            async with self._room:
                await self._handle(incoming)
        except asyncio.CancelledError:
            try:
                async with asyncio.timeout(_SETTLE_LIMIT_S):
                    await settle.quietly("requeue", incoming, lambda: settle.requeue(incoming))
            except TimeoutError:
                _log.warning("could not give a message back in time; the broker will", queue=self._queue)
            raise

    async def _handle(self, incoming: Incoming) -> None:
        settle = self._settlement
        envelope = incoming.envelope
        with bound_contextvars(
            message_id=envelope.message_id, message_type=envelope.type[:128], correlation_id=envelope.correlation_id
        ):
            read = self._reader.read(incoming)
            if read.refusal is not None:
                refusal = read.refusal
                await settle.quietly("dead-letter", incoming, lambda: settle.dead_letter(incoming, refusal))
                return
            try:
                await self._handler(read.message, Context(incoming, self._reply))
            except Exception as error:  # noqa: BLE001 - the policy decides about every error of a handler
                await self._failed(incoming, error)
            else:
                await settle.quietly("ack", incoming, lambda: settle.ack(incoming))

    async def _failed(self, incoming: Incoming, error: Exception) -> None:
        settle = self._settlement
        retries = settle.retries_for(incoming.queue)
        backoff = None if retries is None else retries.backoff
        verdict = after_failure(error, incoming.envelope.attempt, backoff, self._random)
        _log.info("handler failed", queue=self._queue, attempt=incoming.envelope.attempt, exc_info=error)
        if isinstance(verdict, Retry):
            delay_s = verdict.delay_s
            await settle.quietly("retry", incoming, lambda: settle.retry(incoming, delay_s, error))
        else:
            dead = verdict
            await settle.quietly("dead-letter", incoming, lambda: settle.dead_letter(incoming, dead))
