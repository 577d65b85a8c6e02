"""Logs go to standard error, as JSON where nobody watches, and standard output stays the report's."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import structlog
from pyti.cli.logs import configure_logs
configure_logs()
structlog.get_logger().info("quiet", secret=1)
structlog.get_logger().warning("loud", job="j-1")
"""


@pytest.mark.parametrize(("level", "events"), [(None, ["loud"]), ("info", ["quiet", "loud"]), ("no-level", ["loud"])])
def test_what_is_logged_depends_on_the_level_and_is_json_on_stderr(level: str | None, events: list[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTI_LOG"}
    if level:
        environment["PYTI_LOG"] = level

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout == ""
    assert [json.loads(line)["event"] for line in done.stderr.splitlines()] == events
