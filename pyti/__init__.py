"""PyTI tests Python distributions in fresh isolated virtual machines, before anyone installs them.

The public API, for embedding the roles in other programs::

    async with Master(settings) as master, Slave(settings):
        report = await master.test("six==1.17.0")

Names are imported when they are first used (PEP 562), so that a program pays only for the rooms that it enters.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from pyti._version import __version__

if TYPE_CHECKING:
    from pyti.config import Settings, load
    from pyti.errors import PytiError
    from pyti.messages import Distribution, FileChoice, MachineRequest, Submission
    from pyti.reports import Report
    from pyti.roles import Client, Master, Slave, embedded, open_client

__all__ = [
    "Client",
    "Distribution",
    "FileChoice",
    "MachineRequest",
    "Master",
    "PytiError",
    "Report",
    "Settings",
    "Slave",
    "Submission",
    "__version__",
    "embedded",
    "load",
    "open_client",
]

_HOMES = {
    "Client": "pyti.roles",
    "Distribution": "pyti.messages",
    "FileChoice": "pyti.messages",
    "MachineRequest": "pyti.messages",
    "Master": "pyti.roles",
    "PytiError": "pyti.errors",
    "Report": "pyti.reports",
    "Settings": "pyti.config",
    "Slave": "pyti.roles",
    "Submission": "pyti.messages",
    "embedded": "pyti.roles",
    "load": "pyti.config",
    "open_client": "pyti.roles",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'pyti' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
