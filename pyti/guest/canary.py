"""Plants secrets that are none, so that whoever looks for secrets shows himself in the trace."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from .layout import Account

__all__ = ["CANARIES", "plant"]

CANARIES = {
    ".ssh/id_ed25519": "-----BEGIN OPENSSH PRIVATE KEY-----\n{token}{token}\n-----END OPENSSH PRIVATE KEY-----\n",
    ".aws/credentials": "[default]\naws_access_key_id = CANARY{token:.14}\naws_secret_access_key = {token}\n",
    ".netrc": "machine canary.invalid login canary password {token}\n",
    ".pypirc": "[canary]\nrepository = https://canary.invalid/\nusername = __token__\npassword = canary-{token}\n",
    ".git-credentials": "https://canary:{token}@canary.invalid\n",
    ".docker/config.json": '{{"auths": {{"canary.invalid": {{"auth": "{token}"}}}}}}\n',
    ".config/gcloud/credentials.db": "canary {token}\n",
    ".bash_history": "export CANARY_TOKEN={token}\n",
}
"""Where thieves look, and what they find."""


def plant(home: Path, account: Account) -> None:
    """Write the canaries that are not there yet, readable by the unprivileged user alone."""
    home.mkdir(parents=True, exist_ok=True)
    for name, template in CANARIES.items():
        path = home / name
        if path.exists():
            continue
        for folder in reversed(path.relative_to(home).parents[:-1]):
            (home / folder).mkdir(mode=0o700, exist_ok=True)
            _give(home / folder, account)
        path.write_text(template.format(token=secrets.token_hex(20)), encoding="ascii")
        path.chmod(0o600)
        _give(path, account)


def _give(path: Path, account: Account) -> None:
    if os.geteuid() == 0:
        os.chown(path, account.uid, account.gid)
