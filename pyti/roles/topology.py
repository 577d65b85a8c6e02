"""PyTI's exchanges, queues and routing keys: the one place where they are named (DESIGN: the command API)."""

from __future__ import annotations

from pyti import messages
from pyti.bus import Binding, Exchange, Queue, Registry, Topology
from pyti.messages import JobRun, MachineRequest, Priority

__all__ = [
    "CMD",
    "CTL",
    "DEAD",
    "DLX",
    "EVT",
    "INSPECT",
    "RES",
    "capability",
    "control_queue",
    "events_queue",
    "job_key",
    "job_queues",
    "requests_queue",
    "results_queue",
    "registry",
    "topology",
]
