"""Embed PyTI in another program: master and slave as two context managers in one event loop.

python examples/embed.py six==1.17.0
"""

from __future__ import annotations

import asyncio
import sys

from pyti import Master, Report, Slave, load
from pyti.cli.logs import configure_logs


async def test_one(requirement: str) -> Report:
    """Test one requirement with the settings of the environment and return its report."""
    settings = load()
    async with Master(settings) as master, Slave(settings):
        return await master.test(requirement, profile="quick")


def main() -> None:
    """Print what a program would look at first."""
    configure_logs()
    report = asyncio.run(test_one(sys.argv[1] if len(sys.argv) > 1 else "six"))
    for task in report.tasks:
        print(f"{task.name:<14} {task.outcome:<16} {task.seconds:6.1f} s")
    print(f"malice: {report.malice.level}")
    sys.exit(report.exit_status)


if __name__ == "__main__":
    main()
