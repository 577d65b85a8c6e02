"""PyTI's exchanges, queues and routing keys: the one place where they are named (DESIGN: the command API)."""

from __future__ import annotations

from collections.abc import Sequence

from pyti import messages
from pyti.bus import Binding, Exchange, Options, Queue, Registry, Retries, Topology
from pyti.config import BusSettings
from pyti.messages import MachineRequest, Message, Priority

__all__ = [
    "Names",
    "bus_options",
    "capability",
    "client_topology",
    "job_key",
    "master_topology",
    "registry",
    "slave_topology",
]

INSPECT_LENGTH = 1000
"""Job events that people may peek at in the management UI; older ones are dropped."""

EVENTS_LENGTH = 10_000
"""Events kept for a master that is away; leases bridge what is dropped."""

DELIVERY_LIMIT = 20
"""Redeliveries before a message counts as poison. A slave acknowledges within seconds, so only crashes count."""

SLAVE_EVENTS = "slave.#"
JOB_EVENTS = "job.#"


class Names:
    """The names of everything on the broker, below one namespace."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.cmd = f"{namespace}.cmd"
        self.ctl = f"{namespace}.ctl"
        self.evt = f"{namespace}.evt"
        self.res = f"{namespace}.res"
        self.dlx = f"{namespace}.dlx"
        self.dead = f"{namespace}.dead"
        self.inspect = f"{namespace}.inspect"
        self.requests = f"{namespace}.requests"

    def jobs(self, capability: str, priority: Priority) -> str:
        """The queue of jobs for one capability (``<arch>.<image>``) and priority."""
        return f"{self.namespace}.jobs.{capability}" + (".high" if priority is Priority.HIGH else "")

    def control(self, slave: str) -> str:
        """A slave's own control queue."""
        return f"{self.namespace}.ctl.{slave}"

    def results(self, master: str) -> str:
        """A master's queue of results."""
        return f"{self.namespace}.results.{master}"

    def events(self, master: str) -> str:
        """A master's queue of events."""
        return f"{self.namespace}.events.{master}"


def capability(arch: str, image: str) -> str:
    """What a slave must have to serve a job."""
    return f"{arch}.{image}"


def job_key(machine: MachineRequest, priority: Priority) -> str:
    """A job's routing key: ``job.<arch>.<image>.<priority>``."""
    return f"job.{capability(machine.arch, machine.image)}.{priority.value}"


def registry() -> Registry:
    """Every message of the vocabulary."""
    found = [kind for kind in vars(messages).values() if isinstance(kind, type) and issubclass(kind, Message)]
    return Registry(*(kind for kind in found if kind is not Message))


def bus_options(settings: BusSettings) -> Options:
    """The bounds of a bus that the settings name."""
    return Options(connect_timeout_s=settings.connect_timeout_s, publish_timeout_s=settings.confirm_timeout_s)


def master_topology(namespace: str, master: str, capabilities: Sequence[str]) -> Topology:
    """What a master needs: its results, events and requests, and the queues of jobs that it may send."""
    names = Names(namespace)
    own = (
        _safe(names, names.results(master)),
        Queue(name=names.events(master), kind="classic", max_length=EVENTS_LENGTH, message_ttl_s=600.0),
        Queue(name=names.requests, kind="classic", message_ttl_s=60.0),
    )
    bindings = (
        Binding(exchange=names.res, queue=names.results(master), key=f"result.{master}"),
        Binding(exchange=names.evt, queue=names.events(master), key=SLAVE_EVENTS),
        Binding(exchange=names.evt, queue=names.events(master), key=JOB_EVENTS),
        Binding(exchange=names.ctl, queue=names.requests, key="master"),
    )
    return _topology(names, own, bindings, capabilities)


def slave_topology(namespace: str, slave: str, capabilities: Sequence[str]) -> Topology:
    """What a slave needs: its control queue and the queues of the jobs that it serves."""
    names = Names(namespace)
    own = (Queue(name=names.control(slave), kind="classic", exclusive=True, dead_letter_exchange=names.dlx),)
    bindings = tuple(
        Binding(exchange=names.ctl, queue=names.control(slave), key=key) for key in (f"slave.{slave}", "slave.all")
    )
    return _topology(names, own, bindings, capabilities)


def client_topology(namespace: str) -> Topology:
    """What a client needs: the exchange that masters listen to."""
    return Topology(exchanges=(Exchange(name=Names(namespace).ctl),))


def job_queues(namespace: str, capability: str) -> tuple[tuple[Queue, ...], tuple[Binding, ...]]:
    """The two queues of one capability, with their bindings."""
    names = Names(namespace)
    queues = tuple(_safe(names, names.jobs(capability, priority)) for priority in Priority)
    bindings = tuple(
        Binding(exchange=names.cmd, queue=names.jobs(capability, priority), key=f"job.{capability}.{priority.value}")
        for priority in Priority
    )
    return queues, bindings


def _topology(
    names: Names, own: tuple[Queue, ...], own_bindings: tuple[Binding, ...], capabilities: Sequence[str]
) -> Topology:
    queues = [
        *own,
        Queue(name=names.dead),
        Queue(name=names.inspect, kind="classic", max_length=INSPECT_LENGTH),
    ]
    bindings = [
        *own_bindings,
        Binding(exchange=names.dlx, queue=names.dead, key="#"),
        Binding(exchange=names.evt, queue=names.inspect, key=JOB_EVENTS),
    ]
    for each in capabilities:
        more, their_bindings = job_queues(names.namespace, each)
        queues.extend(more)
        bindings.extend(their_bindings)
    exchanges = (names.cmd, names.ctl, names.evt, names.res, names.dlx)
    return Topology(
        exchanges=tuple(Exchange(name=name) for name in exchanges),
        queues=tuple(queues),
        bindings=tuple(bindings),
        retries=Retries(namespace=names.namespace),
    )


def _safe(names: Names, name: str) -> Queue:
    """A queue that must lose nothing: what it refuses goes to the dead letters, at least once."""
    return Queue(
        name=name,
        delivery_limit=DELIVERY_LIMIT,
        dead_letter_exchange=names.dlx,
        dead_letter_strategy="at-least-once",
        overflow="reject-publish",
    )
