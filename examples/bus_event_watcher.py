"""A watcher of events: a queue of its own that is bounded and goes with it, so a slow watcher harms nobody.

Run it as it is (in one process), or with a broker's URL as its argument.
"""

from __future__ import annotations

import asyncio
import sys

import msgspec

from pyti.bus import Binding, Bus, Context, Exchange, Queue, Registry, Topology


class Progress(msgspec.Struct, frozen=True, tag_field="type", tag="job.progress.v1"):
    """How far a job is."""

    job: str
    percent: int


REGISTRY = Registry(Progress)
EVENTS = Topology(exchanges=(Exchange(name="events"),))


def watching(name: str, pattern: str) -> Topology:
    """Return what a watcher declares: events whose key matches ``pattern``, the newest thousand of them."""
    queue = f"events.{name}"
    return Topology(
        exchanges=EVENTS.exchanges,
        queues=(Queue(name=queue, kind="classic", exclusive=True, max_length=1000),),
        bindings=(Binding(exchange="events", queue=queue, key=pattern),),
    )


async def main(url: str) -> list[str]:
    """Watch the jobs on host a while two hosts report, until one is done."""
    lines: list[str] = []
    done = asyncio.Event()

    async def on_progress(message: Progress, context: Context) -> None:
        lines.append(f"{context.routing_key}: {message.job} {message.percent} %")
        if message.percent == 100:
            done.set()

    async with (
        Bus.open(url, registry=REGISTRY, topology=EVENTS, name="host-a", app="watch") as reporter,
        Bus.open(url, registry=REGISTRY, topology=watching("me", "progress.a.#"), name="me", app="watch") as watcher,
        watcher.consume("events.me", on_progress, prefetch=1),
    ):
        for percent in (0, 50, 100):
            await reporter.publish("events", "progress.a.j1", Progress(job="j1", percent=percent), mandatory=False)
            await reporter.publish("events", "progress.b.j2", Progress(job="j2", percent=percent), mandatory=False)
        await asyncio.wait_for(done.wait(), 10)
    return lines


if __name__ == "__main__":
    print("\n".join(asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "inprocess:events"))))
