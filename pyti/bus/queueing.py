"""One queue of the in-memory broker: what is ready, what is handed out, and to whom the next message goes."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pyti.bus.clock import Timer
from pyti.bus.envelope import Envelope
from pyti.bus.topology import Queue

if TYPE_CHECKING:
    from pyti.bus.broker import Peer

__all__ = ["Consumer", "Delivered", "Entry", "QueueState"]


class Entry:
    """A message in a queue: its place, its age limit, and how often it came back."""

    __slots__ = ("delivery_count", "envelope", "exchange", "expires", "key", "number", "redelivered")

    def __init__(self, *, envelope: Envelope, exchange: str, key: str) -> None:
        self.envelope = envelope
        self.exchange = exchange
        self.key = key
        self.number = 0
        self.expires: float | None = None
        self.redelivered = False
        self.delivery_count = 0


class Consumer:
    """Who gets a queue's messages, at most ``prefetch`` unsettled ones at a time (0: no bound)."""

    def __init__(
        self,
        peer: Peer,
        tag: str,
        prefetch: int,
        deliver: Callable[[Delivered], None],
        on_cancelled: Callable[[], None],
    ) -> None:
        self.peer = peer
        self.tag = tag
        self.prefetch = prefetch
        self.deliver = deliver
        self.on_cancelled = on_cancelled
        self.in_flight = 0


class Delivered:
    """An entry that is handed out and not settled yet."""

    __slots__ = ("consumer", "entry", "peer", "state", "tag")

    def __init__(self, state: QueueState, entry: Entry, peer: Peer, consumer: Consumer | None, tag: int) -> None:
        self.state = state
        self.entry = entry
        self.peer = peer
        self.consumer = consumer
        self.tag = tag


class QueueState:
    """What the broker knows about one queue."""

    def __init__(self, spec: Queue, owner: Peer | None) -> None:
        self.spec = spec
        self.owner = owner
        self.ready: deque[Entry] = deque()
        self.unsettled: dict[int, Delivered] = {}
        self.consumers: list[Consumer] = []
        self.timer: Timer | None = None
        self.timer_due: float | None = None
        self._tags = itertools.count(1)
        self._turn = 0

    @property
    def is_full(self) -> bool:
        """Whether another message would exceed the queue's length limit."""
        return self.spec.max_length is not None and len(self.ready) >= self.spec.max_length

    def expiry(self, entry: Entry, now: float) -> float | None:
        """Unix time at which the entry is too old: the lower of the queue's and the message's own time to live."""
        lives = [life for life in (self.spec.message_ttl_s, entry.envelope.expiration_s) if life is not None]
        return now + min(lives) if lives else None

    def next_consumer(self) -> Consumer | None:
        """Return the next consumer, in turn, that may get another message."""
        for step in range(len(self.consumers)):
            consumer = self.consumers[(self._turn + step) % len(self.consumers)]
            if consumer.prefetch == 0 or consumer.in_flight < consumer.prefetch:
                self._turn = (self._turn + step + 1) % len(self.consumers)
                return consumer
        return None

    def hand_out(self, peer: Peer, consumer: Consumer | None) -> Delivered:
        """Move the entry at the head to the unsettled ones."""
        delivery = Delivered(self, self.ready.popleft(), peer, consumer, next(self._tags))
        self.unsettled[delivery.tag] = delivery
        if consumer is not None:
            consumer.in_flight += 1
        return delivery

    def settle(self, delivery: Delivered) -> None:
        """Forget an unsettled delivery."""
        del self.unsettled[delivery.tag]
        if delivery.consumer is not None:
            delivery.consumer.in_flight -= 1

    def put_back(self, entry: Entry) -> None:
        """Put an entry back where it stood."""
        index = 0
        while index < len(self.ready) and self.ready[index].number < entry.number:
            index += 1
        self.ready.insert(index, entry)

    def with_death(self, entry: Entry, reason: str, now: float) -> dict[str, Any]:
        """Return the entry's headers with this dead-lettering on top of ``x-death``, as RabbitMQ writes it."""
        headers = dict(entry.envelope.headers)
        rows = headers.get("x-death")
        trail = [dict(row) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
        name = self.spec.name
        known = next((row for row in trail if row.get("queue") == name and row.get("reason") == reason), None)
        if known is None:
            known = {"queue": name, "reason": reason, "count": 0, "exchange": entry.exchange}
            known |= {"routing-keys": [entry.key], "time": now}
        else:
            trail.remove(known)
        known["count"] = known["count"] + 1 if isinstance(known.get("count"), int) else 1
        headers["x-death"] = [known, *trail]
        headers.setdefault("x-first-death-queue", name)
        headers.setdefault("x-first-death-reason", reason)
        headers.setdefault("x-first-death-exchange", entry.exchange)
        return headers
