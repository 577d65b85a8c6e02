"""A broker in memory: RabbitMQ's rules for queues, without I/O.

Models acknowledgement, redelivery, delivery limits, times to live, dead-lettering, length limits, exclusive queues,
mandatory publishing and direct reply-to. Everything is synchronous; only the clock's timers call back.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import msgspec

from pyti.bus.clock import Clock, SystemClock
from pyti.bus.envelope import Envelope
from pyti.bus.queueing import Consumer, Delivered, Entry, QueueState
from pyti.bus.routing import routes
from pyti.bus.topology import Binding, Declarable, Exchange, Queue
from pyti.errors import BusDisconnected, ConfigError, PublishRefused, Unroutable

__all__ = ["REPLY_PREFIX", "Broker", "Peer"]

REPLY_PREFIX = "amq.rabbitmq.reply-to."
"""Keys of the default exchange that lead straight to a requester, as on RabbitMQ."""
_MAX_HOPS = 16
"""Dead-letterings that one event may cause in a row; a longer chain is a cycle and the message is dropped."""


class Peer:
    """A connection to the broker: owns consumers, unsettled deliveries and exclusive queues."""

    def __init__(self, name: str, on_reply: Callable[[Envelope], None], on_lost: Callable[[], None]) -> None:
        self.name = name
        self.on_reply = on_reply
        self.on_lost = on_lost
        self.reply_key = ""


class Broker:
    """Exchanges and queues that several transports of one event loop share."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or SystemClock()
        self._exchanges: dict[str, Exchange] = {}
        self._bindings: dict[str, list[Binding]] = {}
        self._queues: dict[str, QueueState] = {}
        self._peers: dict[str, Peer] = {}
        self._numbers = itertools.count(1)
        self._stranded: list[tuple[QueueState, Entry, str]] = []
        self._waiting: dict[str, set[Callable[[], None]]] = {}

    # -- connections -----------------------------------------------------------------------------------------------

    def connect(self, peer: Peer) -> None:
        """Let a peer in and give it its address for replies."""
        peer.reply_key = f"{REPLY_PREFIX}{next(self._numbers)}"
        self._peers[peer.reply_key] = peer

    def disconnect(self, peer: Peer) -> None:
        """Lose a peer: its exclusive queues go, its unsettled deliveries come back, its consumers end."""
        if self._peers.pop(peer.reply_key, None) is None:
            return
        for state in list(self._queues.values()):
            if state.owner is peer:
                self._delete(state)
                continue
            state.consumers = [consumer for consumer in state.consumers if consumer.peer is not peer]
            self._return(state, [delivery for delivery in state.unsettled.values() if delivery.peer is peer])
        peer.on_lost()

    def is_connected(self, peer: Peer) -> bool:
        """Whether the peer was let in and not lost since."""
        return peer.reply_key in self._peers

    # -- topology --------------------------------------------------------------------------------------------------

    def declare(self, item: Declarable, peer: Peer) -> None:
        """Make it stand.

        ``ConfigError`` when it stands differently or belongs to another; ``Unroutable`` when a binding names something
        that is missing.
        """
        if isinstance(item, Exchange):
            if self._exchanges.setdefault(item.name, item) != item:
                raise ConfigError(f"exchange {item.name} stands with another kind")
            self._bindings.setdefault(item.name, [])
        elif isinstance(item, Queue):
            state = self._queues.get(item.name)
            if state is None:
                self._queues[item.name] = QueueState(item, peer if item.exclusive else None)
            elif state.owner is not None and state.owner is not peer:
                raise ConfigError(f"queue {item.name} is exclusive to another connection")
            elif state.spec != item:
                raise ConfigError(
                    f"queue {item.name} stands with other arguments",
                    remedy="Delete the queue, or change its limits by a policy.",
                )
        else:
            if item.exchange not in self._exchanges:
                raise Unroutable(f"no exchange {item.exchange!r} to bind {item.queue!r} to")
            self._state(item.queue, peer)
            if item not in self._bindings[item.exchange]:
                self._bindings[item.exchange].append(item)
        stranded, self._stranded = self._stranded, []
        for state, entry, reason in stranded:
            self._dead_letter(state, entry, reason)

    def length(self, queue: str) -> int:
        """Messages that are ready in a queue."""
        self._expire(state := self._state(queue, None))
        return len(state.ready)

    def unsettled(self, queue: str) -> int:
        """Messages of a queue that are handed out and not settled."""
        return len(self._state(queue, None).unsettled)

    def consumers(self, queue: str) -> tuple[str, ...]:
        """Return the tags of a queue's consumers."""
        return tuple(consumer.tag for consumer in self._state(queue, None).consumers)

    def delete(self, queue: str) -> None:
        """Delete a queue with all that is in it, as an operator might."""
        self._delete(self._state(queue, None))

    def exists(self, queue: str) -> bool:
        """Whether a queue stands."""
        return queue in self._queues

    # -- publishing ------------------------------------------------------------------------------------------------

    def publish(self, exchange: str, key: str, envelope: Envelope, *, mandatory: bool) -> None:
        """Route a message. ``Unroutable`` as on the ``Transport``; ``PublishRefused`` when a full queue rejects."""
        if not exchange and key.startswith(REPLY_PREFIX):
            peer = self._peers.get(key)
            if peer is not None:
                peer.on_reply(envelope)
            elif mandatory:
                raise Unroutable("the requester is gone")
            return
        targets = self._targets(exchange, key)
        if not targets and mandatory:
            raise Unroutable(
                f"no queue takes {key!r} from exchange {exchange!r}", remedy="Is the consumer's side running?"
            )
        full = [state for state in targets if state.is_full and state.spec.overflow == "reject-publish"]
        for state in targets:
            if state not in full:
                self._enqueue(state, Entry(envelope=envelope, exchange=exchange, key=key), hops=0)
        if full:
            raise PublishRefused(f"queue {full[0].spec.name} is full")

    def _targets(self, exchange: str, key: str) -> list[QueueState]:
        if not exchange:
            state = self._queues.get(key)
            return [state] if state is not None else []
        known = self._exchanges.get(exchange)
        if known is None:
            raise Unroutable(f"there is no exchange {exchange!r}")
        names = dict.fromkeys(
            binding.queue for binding in self._bindings[exchange] if routes(known.kind, binding.key, key)
        )
        return [self._queues[name] for name in names if name in self._queues]

    def _enqueue(self, state: QueueState, entry: Entry, hops: int) -> None:
        entry.number = next(self._numbers)
        entry.expires = state.expiry(entry, self.clock.time())
        state.ready.append(entry)
        limit = state.spec.max_length
        while limit is not None and len(state.ready) > limit and state.spec.overflow == "drop-head":
            self._dead_letter(state, state.ready.popleft(), "maxlen", hops)
        self._pump(state)
        for wake in tuple(self._waiting.get(state.spec.name, ())):
            wake()

    # -- consuming -------------------------------------------------------------------------------------------------

    def consume(self, queue: str, consumer: Consumer) -> None:
        """Register a consumer; deliveries start at once. ``Unroutable`` when there is no such queue."""
        state = self._state(queue, consumer.peer)
        state.consumers.append(consumer)
        self._pump(state)

    def cancel(self, queue: str, consumer: Consumer, *, release: bool) -> None:
        """End a consumer; with ``release``, take back what it has not settled."""
        state = self._queues.get(queue)
        if state is None:
            return
        if consumer in state.consumers:
            state.consumers.remove(consumer)
        if release:
            self._return(state, [found for found in state.unsettled.values() if found.consumer is consumer])
        if state.spec.auto_delete and not state.consumers and not state.unsettled:
            self._delete(state)

    def get(self, queue: str, peer: Peer) -> Delivered | None:
        """Hand out the next ready message of a queue, if there is one."""
        state = self._state(queue, peer)
        self._expire(state)
        return state.hand_out(peer, None) if state.ready else None

    def watch(self, queues: tuple[str, ...], wake: Callable[[], None]) -> Callable[[], None]:
        """Call ``wake`` whenever one of the queues gets a message; the answer ends that."""
        for queue in queues:
            self._waiting.setdefault(queue, set()).add(wake)

        def stop() -> None:
            for queue in queues:
                self._waiting.get(queue, set()).discard(wake)

        return stop

    def settle(self, delivery: Delivered, *, ack: bool, requeue: bool = False) -> None:
        """Settle a delivery. ``BusDisconnected`` when its connection or queue is gone, or when it was settled."""
        state = delivery.state
        if state.unsettled.get(delivery.tag) is not delivery:
            raise BusDisconnected("the delivery's channel is gone, or it was settled before")
        if ack:
            state.settle(delivery)
        elif requeue:
            self._return(state, [delivery])
        else:
            state.settle(delivery)
            self._dead_letter(state, delivery.entry, "rejected")
        self._pump(state)

    # -- the inner workings ----------------------------------------------------------------------------------------

    def _state(self, queue: str, peer: Peer | None) -> QueueState:
        state = self._queues.get(queue)
        if state is None:
            raise Unroutable(f"there is no queue {queue!r}")
        if peer is not None and state.owner is not None and state.owner is not peer:
            raise ConfigError(f"queue {queue} is exclusive to another connection")
        return state

    def _delete(self, state: QueueState) -> None:
        del self._queues[state.spec.name]
        state.unsettled.clear()
        for bindings in self._bindings.values():
            bindings[:] = [binding for binding in bindings if binding.queue != state.spec.name]
        consumers, state.consumers = state.consumers, []
        for consumer in consumers:
            consumer.on_cancelled()

    def _pump(self, state: QueueState) -> None:
        self._expire(state)
        while state.ready and (consumer := state.next_consumer()) is not None:
            consumer.deliver(state.hand_out(consumer.peer, consumer))
            self._expire(state)

    def _return(self, state: QueueState, deliveries: list[Delivered]) -> None:
        for delivery in deliveries:
            state.settle(delivery)
            entry = delivery.entry
            entry.redelivered = True
            if state.spec.kind == "quorum":
                entry.delivery_count += 1
                limit = state.spec.delivery_limit
                if limit is not None and entry.delivery_count > limit:
                    self._dead_letter(state, entry, "delivery_limit")
                    continue
            state.put_back(entry)
        self._pump(state)
        if state.ready:
            for wake in tuple(self._waiting.get(state.spec.name, ())):
                wake()

    def _expire(self, state: QueueState) -> None:
        now = self.clock.time()
        while state.ready and (due := state.ready[0].expires) is not None and due <= now:
            self._dead_letter(state, state.ready.popleft(), "expired")
        due = state.ready[0].expires if state.ready else None
        if due != state.timer_due:
            if state.timer is not None:
                state.timer.cancel()
            state.timer_due = due
            state.timer = None if due is None else self.clock.call_later(due - now, lambda: self._on_timer(state))

    def _on_timer(self, state: QueueState) -> None:
        state.timer = state.timer_due = None
        self._expire(state)

    def _dead_letter(self, state: QueueState, entry: Entry, reason: str, hops: int = 0) -> None:
        exchange = state.spec.dead_letter_exchange
        if exchange is None or hops >= _MAX_HOPS:
            return
        key = entry.key if state.spec.dead_letter_routing_key is None else state.spec.dead_letter_routing_key
        try:
            targets = self._targets(exchange, key)
        except Unroutable:
            targets = []
        if not targets and state.spec.dead_letter_strategy == "at-least-once":
            self._stranded.append((state, entry, reason))
            return
        envelope = msgspec.structs.replace(
            entry.envelope, headers=state.with_death(entry, reason, self.clock.time()), expiration_s=None
        )
        for target in targets:
            if not (target.is_full and target.spec.overflow == "reject-publish"):
                self._enqueue(target, Entry(envelope=envelope, exchange=exchange, key=key), hops + 1)
