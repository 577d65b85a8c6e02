"""The environment variables that tasks get: few, fixed, and no secrets."""

from __future__ import annotations

from pathlib import Path

from .layout import Account, Layout

__all__ = ["task_environment"]


def task_environment(layout: Layout, account: Account, venv: Path | None = None) -> dict[str, str]:
    """For a process that uses the environment ``venv`` (the target's by default)."""
    return {
        "HOME": str(layout.home),
        "USER": account.name,
        "LOGNAME": account.name,
        "PATH": f"{venv or layout.venv}/bin:/usr/local/bin:/usr/bin:/bin",
        "LC_CTYPE": "C.UTF-8",  # LANG would make every program read a dozen files more
        "TMPDIR": "/tmp",
        "UV_CACHE_DIR": str(layout.home / ".cache/uv"),
        "UV_NO_PROGRESS": "1",
        "UV_NO_CONFIG": "1",
        "UV_OFFLINE": "1",
        "UV_PYTHON_DOWNLOADS": "never",
    }
