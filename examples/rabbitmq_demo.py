"""The main job over RabbitMQ: a private broker, a master, a slave and a client, each a process of its own.

    python examples/rabbitmq_demo.py six

The broker has its own data folder and free ports, and its management plugin is on: the address is printed, so that a
job can be watched in the management UI. With ``--keep`` everything stays up until Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pyti.bus.testing import PrivateBroker

START_LIMIT_S = 120.0
STOP_LIMIT_S = 90.0


@asynccontextmanager
async def service(role: str, config: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run ``pyti <role>`` until the context is left, then end it with SIGTERM and wait for it."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "pyti", role, "--config", str(config))
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            async with asyncio.timeout(STOP_LIMIT_S):
                await process.wait()


async def client(*arguments: str) -> int:
    """Run one ``pyti`` command to its end and return its exit status."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "pyti", *arguments)
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def slave_ready(config: Path) -> None:
    """Wait until the master has heard of a slave."""
    async with asyncio.timeout(START_LIMIT_S):
        while True:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "pyti",
                "slaves",
                "--json",
                "--config",
                str(config),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            output, _ = await process.communicate()
            if b'"slave"' in output:
                return
            await asyncio.sleep(0.5)


async def demo(arguments: argparse.Namespace) -> int:
    """Start everything, submit the requirements, print the reports; returns the client's exit status."""
    with tempfile.TemporaryDirectory(prefix="pyti-demo-") as folder:
        async with PrivateBroker() as broker:
            print(f"RabbitMQ's management UI: {broker.management_url} (user guest, password guest)", file=sys.stderr)
            config = Path(folder) / "pyti.toml"
            config.write_text(
                f'[bus]\nurl = "{broker.url}"\n\n[store]\nurl = "sqlite+aiosqlite:///{folder}/demo.sqlite"\n'
                f'\n[slave]\nname = "demo-slave-{os.getpid()}"\n'
            )
            async with service("master", config), service("slave", config):
                await slave_ready(config)
                await client("slaves", "--config", str(config))
                status = await client("submit", "--wait", "--config", str(config), *arguments.requirements)
                await client("jobs", "--config", str(config))
                if arguments.keep:
                    print("Everything stays up; end it with Ctrl-C.", file=sys.stderr)
                    await asyncio.Event().wait()
    return status


def main() -> None:
    """Read the arguments and run the demo."""
    parser = argparse.ArgumentParser(description="Test distributions over a private RabbitMQ node.")
    parser.add_argument("requirements", nargs="+")
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    try:
        sys.exit(asyncio.run(demo(parser.parse_args())))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
