# ruff: noqa: INP001 (a script, not a module: it runs inside the image)
"""Prints the guest interpreter's PEP 508 markers and wheel tags as JSON; run inside the image by the tools' python."""

import json
import platform
import sys

from packaging.markers import default_environment
from packaging.tags import sys_tags

json.dump(
    {
        "implementation": sys.implementation.name,
        "python_full_version": platform.python_version(),
        "markers": dict(default_environment()),
        "tags": [str(tag) for tag in sys_tags()],
    },
    sys.stdout,
)
