"""Files that hold secrets, read where nothing should need them. Only an open counts; a stat or a lookup does not."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pyti.reports.events import Event, Open
from pyti.reports.model import Severity
from pyti.reports.rules.sighting import PhaseContext, Sighting

__all__ = ["SecretRules"]

_HOME = re.compile(
    r"\.ssh/(?!known_hosts|config$|authorized_keys|rc$)[^/]+$"
    r"|\.aws/(credentials|sso/|cli/cache/|login/)|\.azure/|\.config/gcloud/|\.kube/config$|\.docker/config\.json$"
    r"|\.(netrc|pypirc|git-credentials|npmrc|pgpass|my\.cnf|vault-token|boto|s3cfg)$|\.config/(gh/hosts\.yml|git/credentials|hub)$"
    r"|\.gnupg/(private-keys|secring)|\.password-store/|\.local/share/keyrings/|\.config/(op|keepassxc|Bitwarden)/"
    r"|\.(mozilla/firefox|config/(google-chrome|chromium|BraveSoftware|microsoft-edge|opera))/"
    r".*(Login Data|Cookies|logins\.json|key[34]\.db|cookies\.sqlite|Web Data|Local State)"
    r"|\.(bash|zsh|python|psql|mysql|node_repl)_history$|\.(bitcoin|ethereum|electrum|monero|solana|config/solana|config/Exodus)/"
    r"|\.config/(discord|Slack|Signal|Telegram Desktop)/"
    r"|\.cargo/credentials(\.toml)?$|\.terraform\.d/credentials|\.config/rclone/rclone\.conf$"
)
_WEAK = re.compile(r"\.(netrc|git-credentials|pypirc|npmrc|python_history)$")
"""Read by honest libraries and tools on their usual way (requests reads ~/.netrc before a request):
no combination builds on it."""
_SYSTEM = re.compile(
    r"/etc/(g?shadow-?|sudoers(\.d/.*)?|ssh/ssh_host_[a-z0-9]+_key|ssl/private/.+|krb5\.keytab)$|/root/\.(ssh|aws|netrc)"
)
_OTHER = re.compile(r"/proc/(\d+)/(task/\d+/)?(environ|mem|maps)$")
_TRUSTED_READERS = re.compile(r"/(usr|opt)/([a-z0-9._-]+/)*(uv|git|ssh)$")
"""Programs of the image that read such files by themselves and run none of the distribution's code."""


class SecretRules:
    """SECRET-001 to SECRET-003 and KERN-003's reading part."""

    def __init__(self, context: PhaseContext) -> None:
        self._context = context

    def see(self, event: Event) -> Iterator[Sighting]:
        """Give the sightings in this event."""
        if not isinstance(event, Open) or not event.read:
            return
        for path in {event.path, event.real} - {""}:
            if path.startswith("/proc/"):
                yield from self._process(path, event)
                return
            if path.startswith(("/sys/class/dmi/id/", "/sys/hypervisor")):
                yield Sighting("KERN-003", f"read {path}", key=path)
                return
            home = self._context.layout.home + "/"
            rest = path[len(home) :] if path.startswith(home) else None
            if (rest is not None and _HOME.match(rest)) or _SYSTEM.match(path):
                if _TRUSTED_READERS.fullmatch(event.exe) and _WEAK.search(path):
                    return
                yield self._secret(path, event)
                return

    def _secret(self, path: str, event: Open) -> Sighting:
        strong = not _WEAK.search(path)
        if event.error is None:
            weak: Severity | None = "medium" if not strong and self._context.stage != "late" else None
            return Sighting(
                "SECRET-001",
                f"read {path}",
                weak,
                path,
                strong,
            )
        severity: Severity | None = "info" if event.error == "ENOENT" and not strong else None
        return Sighting("SECRET-002", f"tried to read {path} ({event.error})", severity, path, strong=False)

    def _process(self, path: str, event: Open) -> Iterator[Sighting]:
        found = _OTHER.match(path)
        if found and int(found.group(1)) != event.pid and event.path == path and found.group(3) != "maps":
            severity: Severity | None = "medium" if event.error and self._context.stage != "late" else None
            outcome = f"({event.error})" if event.error else ""
            yield Sighting(
                "SECRET-003", f"read {path} {outcome}".rstrip(), severity, key=path, strong=event.error is None
            )
        elif event.path in ("/proc/self/status", f"/proc/{event.pid}/status"):
            yield Sighting("KERN-003", f"read {event.path}, which tells whether it is traced", key="status")
