"""Which interpreter and platform an image has: from the image here, else from a slave that has it."""

from __future__ import annotations

import structlog

from pyti.bus import Bus
from pyti.config import Settings
from pyti.errors import ImageMissing, RequestTimeout, Unroutable
from pyti.index import Target
from pyti.machines import ImageStore
from pyti.messages import GetTarget, TargetReply
from pyti.roles.topology import Names
from pyti.store import Store

__all__ = ["TargetDirectory"]

log = structlog.get_logger(__name__)


class TargetDirectory:
    """Looks targets up and remembers them for as long as the master runs."""

    def __init__(self, settings: Settings, bus: Bus, store: Store) -> None:
        self._settings = settings
        self._bus = bus
        self._store = store
        self._known: dict[str, Target] = {}

    async def target(self, image: str) -> Target:
        """The target of that image; raises ``ImageMissing`` when neither this host nor a known slave has it."""
        if image not in self._known:
            try:
                manifest = ImageStore(self._settings.home).get(image).target
            except ImageMissing:
                manifest = await self._ask(image)
            self._known[image] = Target.from_manifest(manifest)
        return self._known[image]

    async def _ask(self, image: str) -> dict[str, object]:
        for presence in await self._store.slaves():
            if not presence.leaving and any(name.endswith(f".{image}") for name in presence.capabilities):
                try:
                    reply = await self._bus.request(
                        Names(self._settings.bus.namespace).ctl,
                        f"slave.{presence.slave}",
                        GetTarget(image=image),
                        timeout_s=self._settings.bus.request_timeout_s,
                    )
                except (Unroutable, RequestTimeout) as error:
                    # It may have died long ago; another one may live.
                    log.info("slave_does_not_answer", slave=presence.slave, error=error.message)
                    continue
                if isinstance(reply, TargetReply):
                    return reply.target
        raise ImageMissing(
            f"no image {image!r} on this host, and no slave that has it answers",
            remedy="Run `pyti image build` here, or start a slave that has the image.",
        )
