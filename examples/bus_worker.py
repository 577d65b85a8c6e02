"""A worker for long jobs: takes as many as it has free slots, acknowledges early, reports progress as events.

Run it as it is (in one process), or with a broker's URL: ``python bus_worker.py amqp://user:password@host/``.
"""

from __future__ import annotations

import asyncio
import sys

import msgspec

from pyti.bus import Binding, Bus, Delivery, Exchange, Queue, Registry, Retries, Topology

SLOTS = 2


class Render(msgspec.Struct, frozen=True, tag_field="type", tag="render.run.v1"):
    """Render one scene."""

    scene: str
    frames: int


class Rendered(msgspec.Struct, frozen=True, tag_field="type", tag="render.done.v1"):
    """A scene is ready."""

    scene: str
    frames: int


REGISTRY = Registry(Render, Rendered)
TOPOLOGY = Topology(
    exchanges=(Exchange(name="render"), Exchange(name="render.dlx")),
    queues=(
        Queue(name="render.high", delivery_limit=5, dead_letter_exchange="render.dlx"),
        Queue(name="render.normal", delivery_limit=5, dead_letter_exchange="render.dlx"),
        Queue(name="render.results"),
        Queue(name="render.dead"),
    ),
    bindings=(
        Binding(exchange="render", queue="render.high", key="job.high"),
        Binding(exchange="render", queue="render.normal", key="job.normal"),
        Binding(exchange="render", queue="render.results", key="done"),
        Binding(exchange="render.dlx", queue="render.dead", key="#"),
    ),
    retries=Retries(namespace="render"),
)


async def work(bus: Bus, jobs: int) -> None:
    """Take and run ``jobs`` jobs, ``SLOTS`` at once."""
    slots = asyncio.Semaphore(SLOTS)

    async def run(delivery: Delivery) -> None:
        try:
            job = delivery.message
            assert isinstance(job, Render)  # noqa: S101 - the queue's only type
            await delivery.ack()  # a real worker writes the job down first: from here on it is the worker's own
            await asyncio.sleep(0.01 * job.frames)
            done = Rendered(scene=job.scene, frames=job.frames)
            await bus.publish("render", "done", done, correlation_id=delivery.context.message_id)
        finally:
            slots.release()

    async with asyncio.TaskGroup() as running:
        for _ in range(jobs):
            await slots.acquire()
            delivery = None
            while delivery is None:
                delivery = await bus.take(("render.high", "render.normal"), timeout_s=5)
            running.create_task(run(delivery))


async def main(url: str) -> list[str]:
    """Publish four jobs, work them off, and return the scenes in the order in which they were ready."""
    ready: list[str] = []
    async with Bus.open(url, registry=REGISTRY, topology=TOPOLOGY, name="worker-1", app="render") as bus:
        for scene, priority in (("sea", "normal"), ("sky", "normal"), ("logo", "high"), ("fire", "normal")):
            await bus.publish("render", f"job.{priority}", Render(scene=scene, frames=2))
        await work(bus, jobs=4)
        while len(ready) < 4 and (result := await bus.take(["render.results"], timeout_s=5)) is not None:
            assert isinstance(result.message, Rendered)  # noqa: S101 - the queue's only type
            ready.append(result.message.scene)
            await result.ack()
    return ready


if __name__ == "__main__":
    print("rendered:", ", ".join(asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "inprocess:render"))))
