"""Carrying verdicts out: acknowledge, retry through a delay queue, dead-letter with the reason, give back.

A copy is published and confirmed before the original is acknowledged, so a message may be doubled but is never lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog

from pyti.bus.clock import Clock
from pyti.bus.envelope import ATTEMPT, HISTORY, MAX_TEXT, Envelope, Failure, history_header, without_trail
from pyti.bus.policy import DeadLetter
from pyti.bus.topology import Queue, Retries
from pyti.bus.transport import Incoming, Transport
from pyti.errors import BusDisconnected, PublishRefused, Unroutable

__all__ = ["Settlement"]

_log = structlog.get_logger("pyti.bus")


class Settlement:
    """Settles deliveries of one bus; ``counters`` says how many, by what became of them."""

    def __init__(
        self,
        transport: Transport,
        clock: Clock,
        counters: Counter[str],
        *,
        find_queue: Callable[[str], Queue | None],
        retries: Retries | None,
        user: str | None,
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._counters = counters
        self._find_queue = find_queue
        self._retries = retries
        self._user = user

    def retries_for(self, queue: str) -> Retries | None:
        """Return the delay queues that lead back to ``queue``; none for one that dies with its connection."""
        spec = self._find_queue(queue)
        return None if spec is not None and spec.exclusive else self._retries

    async def ack(self, incoming: Incoming) -> None:
        """Settle for good."""
        await incoming.ack()
        self._counters["acked"] += 1

    async def requeue(self, incoming: Incoming, delay_s: float = 0.0) -> None:
        """Give back, at once or through a delay queue; this is no failed attempt."""
        retries = self.retries_for(incoming.queue)
        if delay_s > 0 and retries is not None and retries.backoff.delays():
            await self._delay(incoming, retries, delay_s, without_trail(incoming.envelope.headers))
        else:
            await incoming.nack(requeue=True)
        self._counters["requeued"] += 1

    async def retry(self, incoming: Incoming, delay_s: float, error: Exception) -> None:
        """Come back after ``delay_s`` with one more attempt and one more line of history."""
        retries = self.retries_for(incoming.queue)
        if retries is None:
            raise ValueError(f"queue {incoming.queue} has no retry queues")
        envelope = incoming.envelope
        failure = Failure(
            attempt=envelope.attempt,
            queue=incoming.queue,
            error=type(error).__name__,
            message=str(error)[:MAX_TEXT],
            at=round(self._clock.time(), 3),
            delay_s=round(delay_s, 3),
        )
        headers = without_trail(envelope.headers)
        headers[ATTEMPT] = envelope.attempt + 1
        headers[HISTORY] = history_header((*envelope.history, failure))
        await self._delay(incoming, retries, delay_s, headers)
        self._counters["retried"] += 1
        _log.warning("message will be retried", queue=incoming.queue, delay_s=failure.delay_s, error=failure.message)

    async def _delay(self, incoming: Incoming, retries: Retries, delay_s: float, headers: dict[str, Any]) -> None:
        exchange = retries.exchange_for(delay_s)
        copy = self._copy(incoming.envelope, headers, expiration_s=delay_s)
        try:
            await self._transport.publish(exchange, incoming.queue, copy, mandatory=True)
        except (Unroutable, PublishRefused) as error:
            _log.error("the retry queue takes nothing; giving back at once", exchange=exchange, error=str(error))
            await incoming.nack(requeue=True)
            return
        await incoming.ack()

    async def dead_letter(self, incoming: Incoming, verdict: DeadLetter) -> None:
        """Put aside under the queue's dead-letter exchange with the reason; without one, drop it loudly."""
        envelope = incoming.envelope
        spec = self._find_queue(incoming.queue)
        self._counters["dead_lettered"] += 1
        self._counters[f"dead_lettered.{verdict.reason}"] += 1
        _log.error(
            "message dead-lettered",
            queue=incoming.queue,
            message_id=envelope.message_id,
            message_type=envelope.type[:MAX_TEXT],
            reason=str(verdict.reason),
            detail=verdict.detail[:MAX_TEXT],
            kept=spec is not None and spec.dead_letter_exchange is not None,
        )
        if spec is None or spec.dead_letter_exchange is None:
            await incoming.nack(requeue=False)
            return
        headers = dict(envelope.headers)
        headers |= {
            "dead-reason": str(verdict.reason),
            "dead-detail": verdict.detail[:MAX_TEXT],
            "dead-queue": incoming.queue,
            "dead-exchange": incoming.exchange,
            "dead-routing-key": incoming.routing_key,
            "dead-at": repr(round(self._clock.time(), 3)),
        }
        key = spec.dead_letter_routing_key if spec.dead_letter_routing_key is not None else incoming.routing_key
        copy = self._copy(envelope, headers, expiration_s=None)
        try:
            await self._transport.publish(spec.dead_letter_exchange, key, copy, mandatory=True)
        except (Unroutable, PublishRefused) as error:
            _log.error("the dead-letter exchange takes no copy; the broker's own rules apply", error=str(error))
            await incoming.nack(requeue=False)
            return
        await incoming.ack()

    def _copy(self, envelope: Envelope, headers: dict[str, Any], expiration_s: float | None) -> Envelope:
        # The broker refuses a user id that is not the connection's own, so the first publisher's moves to a header.
        if envelope.user_id and envelope.user_id != self._user:
            headers.setdefault("origin-user", envelope.user_id)
        return msgspec.structs.replace(envelope, headers=headers, expiration_s=expiration_s, user_id=self._user)

    async def quietly(self, action: str, incoming: Incoming, work: Callable[[], Awaitable[None]]) -> None:
        """Settle where a lost connection needs no handling: the message is given back, by us or by the broker."""
        try:
            await work()
        except BusDisconnected as error:
            self._counters["settlements_lost"] += 1
            _log.warning("could not settle; the message will come again", action=action, why=str(error))
            try:
                await incoming.nack(requeue=True)  # the connection for consuming may stand while the other is away
            except BusDisconnected:
                _log.debug("its channel is gone; the broker gives it back", queue=incoming.queue)
