"""A service that answers requests, and a client that asks: direct reply-to, time limits, an answer for "nobody there".

Run it as it is (in one process), or with a broker's URL as its argument.
"""

from __future__ import annotations

import asyncio
import sys

import msgspec

from pyti.bus import Binding, Bus, Context, Exchange, Queue, Registry, Topology
from pyti.errors import Unroutable


class Convert(msgspec.Struct, frozen=True, tag_field="type", tag="units.convert.v1"):
    """Convert a temperature."""

    celsius: float


class Converted(msgspec.Struct, frozen=True, tag_field="type", tag="units.converted.v1"):
    """The answer."""

    fahrenheit: float


REGISTRY = Registry(Convert, Converted)
CLIENT = Topology(exchanges=(Exchange(name="units"),))
SERVER = Topology(
    exchanges=CLIENT.exchanges,
    queues=(Queue(name="units.requests", kind="classic", auto_delete=True),),
    bindings=(Binding(exchange="units", queue="units.requests", key="convert"),),
)


async def serve(message: Convert, context: Context) -> None:
    """Answer one request."""
    await context.reply(Converted(fahrenheit=message.celsius * 9 / 5 + 32))


async def main(url: str) -> list[str]:
    """Ask before the service is there, then ask it three things at once."""
    lines = []
    async with Bus.open(url, registry=REGISTRY, topology=CLIENT, name="client", app="units") as client:
        try:
            await client.request("units", "convert", Convert(celsius=20), timeout_s=5)
        except Unroutable:
            lines.append("nobody converts yet")
        async with (
            Bus.open(url, registry=REGISTRY, topology=SERVER, name="server", app="units") as server,
            server.consume("units.requests", serve, prefetch=4),
        ):
            asked = [client.request("units", "convert", Convert(celsius=value), timeout_s=5) for value in (0, 20, 100)]
            lines.extend(f"{reply.fahrenheit:g} °F" for reply in await asyncio.gather(*asked))
    return lines


if __name__ == "__main__":
    print("\n".join(asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "inprocess:units"))))
