"""The names on the broker are those of the map."""

import pytest

from pyti import messages
from pyti.bus import Bus
from pyti.config import BusSettings
from pyti.messages import JobRun, MachineRequest, Message, Priority
from pyti.roles.topology import (
    Names,
    bus_options,
    capability,
    client_topology,
    job_key,
    job_queues,
    master_topology,
    registry,
    slave_topology,
)


def test_names_follow_the_map() -> None:
    names = Names("pyti")

    assert names.jobs("x86_64.bookworm", Priority.NORMAL) == "pyti.jobs.x86_64.bookworm"
    assert names.jobs("x86_64.bookworm", Priority.HIGH) == "pyti.jobs.x86_64.bookworm.high"
    assert names.results("master") == "pyti.results.master"
    assert names.control("slave-1") == "pyti.ctl.slave-1"
    assert job_key(MachineRequest(), Priority.HIGH) == "job.x86_64.bookworm.high"
    assert capability("x86_64", "bookworm") == "x86_64.bookworm"


def test_every_message_of_the_vocabulary_is_registered() -> None:
    known = set(registry())
    expected = {
        kind
        for kind in vars(messages).values()
        if isinstance(kind, type) and issubclass(kind, Message) and kind is not Message
    }

    assert known == expected
    assert JobRun in known


def test_jobs_and_results_survive_a_broker_and_are_dead_lettered_at_least_once() -> None:
    queues, _ = job_queues("pyti", "x86_64.bookworm")
    results = [queue for queue in master_topology("pyti", "master", ()).queues if queue.name == "pyti.results.master"]

    for queue in (*queues, *results):
        assert queue.kind == "quorum"
        assert queue.dead_letter_exchange == "pyti.dlx"
        assert queue.dead_letter_strategy == "at-least-once"


@pytest.mark.parametrize(
    "topology",
    [
        master_topology("pyti", "master", ("x86_64.bookworm",)),
        slave_topology("pyti", "slave-1", ("x86_64.bookworm",)),
        client_topology("pyti"),
    ],
    ids=["master", "slave", "client"],
)
async def test_a_role_can_declare_all_that_it_needs(topology: object, request: pytest.FixtureRequest) -> None:
    name = request.node.callspec.id

    async with Bus.open(f"inprocess:{name}", registry=registry(), topology=topology, name=name, app="pyti") as bus:  # type: ignore[arg-type]
        assert bus.connected


def test_the_limits_of_the_settings_are_those_of_the_bus() -> None:
    options = bus_options(BusSettings(connect_timeout_s=1.5, confirm_timeout_s=2.5))

    assert (options.connect_timeout_s, options.publish_timeout_s) == (1.5, 2.5)
