"""Master and slave: the long-running services, composed of the rooms below them.

``Master`` and ``Slave`` embed in other programs; ``embedded`` runs both in one process; ``open_client`` asks a
master that runs elsewhere.
"""

from pyti.roles.client import Client, open_client
from pyti.roles.embedding import embedded, embedded_settings
from pyti.roles.garbage import keep_collections_short
from pyti.roles.loop_probe import Blocked, loop_probe
from pyti.roles.master import MAX_REPORT_BYTES, Master
from pyti.roles.profiles import PROFILES, check_tasks, tasks_of
from pyti.roles.slave import Slave
from pyti.roles.submission import stored_file
from pyti.roles.topology import bus_options, client_topology, registry

__all__ = [
    "MAX_REPORT_BYTES",
    "PROFILES",
    "Blocked",
    "Client",
    "Master",
    "Slave",
    "bus_options",
    "check_tasks",
    "client_topology",
    "embedded",
    "embedded_settings",
    "keep_collections_short",
    "loop_probe",
    "open_client",
    "registry",
    "stored_file",
    "tasks_of",
]
