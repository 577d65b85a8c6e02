"""Calls that ordinary packages have no use for, whether or not they succeed."""

from __future__ import annotations

from collections.abc import Iterator

from pyti.reports.events import Event, Privileged
from pyti.reports.model import Severity
from pyti.reports.rules.sighting import PhaseContext, Sighting

__all__ = ["KernelRules"]

_QUIET: dict[str, Severity] = {
    "unshare": "medium", "setns": "medium", "perf_event_open": "medium", "userfaultfd": "medium", "keyctl": "low",
    "add_key": "low",
    "request_key": "low", "adjtimex": "low", "syslog": "medium", "quotactl": "medium", "acct": "medium",
    "chroot": "medium",
    "fanotify_init": "medium", "sethostname": "medium", "iopl": "medium", "ioperm": "medium",
}  # fmt: skip
"""What weighs less than the rule's own severity in quiet phases."""
_ORDINARY = frozenset({"io_uring_setup", "seccomp"})
"""Asked for by ordinary libraries (libuv; sandboxes that a program puts itself into)."""
_MEMORY_NAMES = ("libffi", "wayland", "xshmfence", "jit", "doublemapper", "pulseaudio", "qt")
"""What well-known libraries call their memory files."""


class KernelRules:
    """KERN-001 and KERN-002."""

    def __init__(self, context: PhaseContext) -> None:
        self._context = context

    def see(self, event: Event) -> Iterator[Sighting]:
        """Give the sightings in this event."""
        if not isinstance(event, Privileged) or event.call in _ORDINARY:
            return
        told = f"{event.call}({event.detail}) ({event.error or 'succeeded'})"
        if event.call.startswith("memfd"):
            if not event.detail.lstrip('"').lower().startswith(_MEMORY_NAMES):
                yield Sighting("KERN-002", told, key=event.detail)
            return
        severity = _QUIET.get(event.call) if self._context.stage == "quiet" else None
        yield Sighting("KERN-001", told, severity, key=event.call)
