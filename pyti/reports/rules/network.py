"""Behaviour on the network: attempts to reach others, to be reached, and to use powerful local services.

The guest has no network card, so every attempt fails; it is the attempt that counts.
"""

from __future__ import annotations

import ipaddress
import posixpath
import re
from collections.abc import Iterator

from pyti.reports.events import Binding, Contact, Event
from pyti.reports.rules.sighting import PhaseContext, Sighting

__all__ = ["NetworkRules", "is_foreign"]

_POWERFUL = re.compile(
    r"/(docker|containerd/containerd|podman/podman|libvirt/libvirt-sock|crio/crio)(\.sock)?$"
    r"|/ssh-[^/]{1,40}/agent\.\d+$|/S\.gpg-agent(\.[a-z]+)?$|/keyring/(ssh|control)$|/bitwarden[^/]*\.sock$"
)


def is_foreign(address: str) -> bool:
    """Say whether an IP address means another machine; the unspecified one is this machine, as Linux has it."""
    try:
        parsed = ipaddress.ip_address(address.split("%", maxsplit=1)[0])
    except ValueError:
        return False
    return not (parsed.is_loopback or parsed.is_unspecified)


class NetworkRules:
    """NET-001 to NET-004."""

    def __init__(self, context: PhaseContext) -> None:
        self._context = context

    def see(self, event: Event) -> Iterator[Sighting]:
        """Give the sightings in this event."""
        if isinstance(event, Contact):
            yield from self._contact(event)
        elif isinstance(event, Binding) and event.family in ("AF_INET", "AF_INET6") and _is_open(event):
            where = _written(event.address, event.port)
            yield Sighting("NET-003", f"{_program(event.exe)} waited for connections at {where}", key=where)

    def _contact(self, event: Contact) -> Iterator[Sighting]:
        if event.family in ("AF_INET", "AF_INET6"):
            if not is_foreign(event.address):
                return
            where = _written(event.address, event.port)
            told = f"{_program(event.exe)}: {event.call} to {where} ({event.error or 'succeeded'})"
            if event.port in (53, 853, 5353):
                yield Sighting("NET-002", told, key=where, strong=False)
            else:
                sent = f", sending {event.payload[:80]!r}" if event.payload else ""
                yield Sighting("NET-001", told + sent, key=where)
        elif event.family == "AF_UNIX" and _POWERFUL.search(event.address):
            yield Sighting("NET-004", f"{_program(event.exe)}: {event.call} to {event.address}", key=event.address)


def _is_open(event: Binding) -> bool:
    return is_foreign(event.address) or (event.port != 0 and event.address in ("0.0.0.0", "::"))  # noqa: S104 - looked for


def _written(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _program(exe: str) -> str:
    return posixpath.basename(exe) or "a process"
