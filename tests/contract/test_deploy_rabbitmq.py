"""The definitions that are shipped can be imported, and give each role what it may do and no more."""

import asyncio
from pathlib import Path

import pytest

from pyti.bus import Binding, Bus, Exchange, Queue, Registry, Retries, Topology
from pyti.errors import PublishRefused, Unroutable

pytestmark = pytest.mark.broker
DEFINITIONS = Path(__file__).parents[2] / "deploy" / "rabbitmq" / "definitions.json"
ROLES = ("pyti-master", "pyti-slave", "pyti-client")


async def test_each_role_can_do_its_work_and_not_the_others(rabbitmq, rabbit_wire):
    ping = rabbit_wire.Ping
    await rabbitmq.control("import_definitions", str(DEFINITIONS))
    for user in ROLES:
        await rabbitmq.control("change_password", user, "pw")

    exchanges = tuple(Exchange(name=f"pyti.{name}") for name in ("cmd", "ctl", "evt", "res", "dlx"))
    master_topology = Topology(
        exchanges=exchanges,
        queues=(
            Queue(name="pyti.jobs.t", dead_letter_exchange="pyti.dlx"),
            Queue(name="pyti.requests", kind="classic"),
        ),
        bindings=(
            Binding(exchange="pyti.cmd", queue="pyti.jobs.t", key="job.t.normal"),
            Binding(exchange="pyti.ctl", queue="pyti.requests", key="master"),
        ),
        retries=Retries(),
    )
    slave_topology = Topology(
        exchanges=exchanges,
        queues=(Queue(name="pyti.ctl.s", kind="classic", exclusive=True),),
        bindings=(Binding(exchange="pyti.ctl", queue="pyti.ctl.s", key="slave.s"),),
    )

    def open_as(user, topology):
        url = rabbitmq.url_for("pyti", user, "pw")
        return Bus.open(url, registry=Registry(ping, rabbit_wire.Pong), topology=topology, name=user)

    async def serve(message, context):
        assert context.user_id in ROLES
        await context.reply(rabbit_wire.Pong(n=message.n))

    async with (
        open_as("pyti-master", master_topology) as master,
        open_as("pyti-slave", slave_topology) as slave,
        open_as("pyti-client", Topology(exchanges=(Exchange(name="pyti.ctl"),))) as client,
        master.consume("pyti.requests", serve),
    ):
        await master.publish("pyti.cmd", "job.t.normal", ping(n=1))
        delivery = await slave.take(["pyti.jobs.t"], timeout_s=10)
        assert delivery.message.n == 1
        assert delivery.context.user_id == "pyti-master"
        await delivery.ack()
        await master.publish("pyti.ctl", "slave.s", ping(n=2))
        assert (await slave.take(["pyti.ctl.s"], timeout_s=10)).message.n == 2
        with pytest.raises(Unroutable):
            await slave.publish("pyti.evt", "job.progress", ping(n=3))
        assert (await client.request("pyti.ctl", "master", ping(n=4), timeout_s=10)).n == 4
        forbidden = await asyncio.gather(
            slave.publish("pyti.cmd", "job.t.normal", ping(n=5)),
            client.publish("pyti.ctl", "slave.s", ping(n=6)),
            client.publish("pyti.cmd", "job.t.normal", ping(n=7)),
            return_exceptions=True,
        )
        assert [type(found) for found in forbidden] == [PublishRefused] * 3
