"""A target comes from the image here, else from a slave that has it, and is asked for once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from pyti.bus import Bus
from pyti.config import Settings
from pyti.errors import ConfigError, ImageMissing
from pyti.messages import GetTarget, Refusal, SlavePresence, TargetReply
from pyti.roles.targets import TargetDirectory
from pyti.roles.topology import master_topology, registry
from pyti.store import Store

Make = Callable[..., Any]


@pytest.fixture
async def directory(settings: Settings, store: Store) -> AsyncIterator[TargetDirectory]:
    topology = master_topology("pyti", "master", ())
    async with Bus.open(settings.bus.url, registry=registry(), topology=topology, name="master", app="test") as bus:
        yield TargetDirectory(settings, bus, store)


def presence(name: str, **fields: Any) -> SlavePresence:
    values = {"slave": name, "version": "1", "capabilities": ("x86_64.bookworm",), "at": 1.0} | fields
    return SlavePresence(**values)


async def test_a_slave_that_has_the_image_is_asked_once(directory: TargetDirectory, store: Store, slave: Any) -> None:
    await store.slave_seen(presence("slave-1"))

    first, second = await directory.target("bookworm"), await directory.target("bookworm")

    assert first is second
    assert str(first.python_full_version) == "3.11.2"
    assert isinstance(slave.commands.get_nowait(), GetTarget)
    assert slave.commands.empty()


async def test_a_slave_that_has_died_does_not_keep_a_living_one_from_answering(
    directory: TargetDirectory, store: Store, slave: Any
) -> None:
    await store.slave_seen(presence("a-dead-one"))
    await store.slave_seen(presence("slave-1"))

    assert (await directory.target("bookworm")).implementation == "cpython"


async def test_a_slave_that_refuses_is_passed_over(
    directory: TargetDirectory, store: Store, slave: Any, open_slave: Make, settings: Settings
) -> None:
    slave.targets["bookworm"] = Refusal(error="ImageMissing", message="deleted meanwhile")
    await store.slave_seen(presence("slave-1"))
    await store.slave_seen(presence("slave-2"))

    async with open_slave(settings, "slave-2"):
        assert (await directory.target("bookworm")).implementation == "cpython"


@pytest.mark.parametrize(
    "known",
    [
        [],
        [presence("slave-1", leaving=True)],
        [presence("slave-1", capabilities=("x86_64.trixie",))],
        [presence("slave-1", capabilities=("x86_64.old-bookworm",))],
        [presence("gone")],
    ],
    ids=["none", "left", "another image", "a name that ends alike", "dead"],
)
async def test_without_image_and_without_such_a_slave_the_remedy_is_named(
    directory: TargetDirectory, store: Store, slave: Any, known: list[SlavePresence]
) -> None:
    for each in known:
        await store.slave_seen(each)

    with pytest.raises(ImageMissing, match="no image 'bookworm'") as caught:
        await directory.target("bookworm")

    assert "pyti image build" in caught.value.remedy
    assert slave.commands.empty()


async def test_a_slave_that_describes_no_interpreter_is_not_believed(
    directory: TargetDirectory, store: Store, slave: Any
) -> None:
    slave.targets["bookworm"] = TargetReply(image="bookworm", target={"tags": "none"})
    await store.slave_seen(presence("slave-1"))

    with pytest.raises(ConfigError, match="does not describe its interpreter"):
        await directory.target("bookworm")

    slave.targets["bookworm"] = msgspec.structs.replace(slave.targets["bookworm"], target={})
    with pytest.raises(ConfigError):
        await directory.target("bookworm")
