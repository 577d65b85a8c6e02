"""What tests of several rooms share: one built image, found again by the next run."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pyti.config import Settings, default_home
from pyti.errors import ImageDamaged, ImageMissing
from pyti.machines import Hypervisor, Image, ImageStore, Template

START_SERVICES = Path(__file__).parent.parent / "deploy" / "start-services.sh"

MACHINE_TEST_LIMIT_S = 900
"""The first test that needs a machine may have to build image and template: 2 minutes, and more on a slow mirror."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("machine") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(MACHINE_TEST_LIMIT_S))


@pytest.fixture(scope="session")
def machine_home() -> Path:
    """Where images are kept between runs: ``$PYTI_TEST_HOME``, else PyTI's default home."""
    return Path(os.environ.get("PYTI_TEST_HOME") or default_home())


@pytest.fixture(scope="session")
def machine_settings(machine_home: Path) -> Settings:
    """Settings with libvirt running and the shared home."""
    subprocess.run([START_SERVICES], check=True, timeout=120)
    return Settings(home=machine_home)


@pytest.fixture(scope="session")
def image(machine_settings: Settings) -> Image:
    """The image, built where there is none or the guest's code has changed since."""
    store = ImageStore(machine_settings.home)
    try:
        found = store.get("bookworm")
    except (ImageMissing, ImageDamaged):
        return asyncio.run(store.build("bookworm"))
    return asyncio.run(store.build("bookworm")) if found.stale else found


@pytest.fixture
def owner() -> str:
    """An owner's name that no other test has."""
    return f"t{secrets.token_hex(4)}"


@pytest.fixture
async def hypervisor(machine_settings: Settings, owner: str, image: Image) -> AsyncIterator[Hypervisor]:
    """A hypervisor of the test's own, for an image that is there."""
    async with Hypervisor.open(machine_settings, owner=owner) as opened:
        yield opened


@pytest.fixture
async def template(hypervisor: Hypervisor, image: Image) -> Template:
    """The template of the default machine; made once, then found on disk."""
    return await hypervisor.template(image, cpus=1, memory_mib=1024)
