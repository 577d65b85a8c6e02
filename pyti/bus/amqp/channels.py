"""Opening channels, with the type that says what they can do."""

from __future__ import annotations

from typing import cast

from aiormq.abc import AbstractConnection
from aiormq.channel import Channel

__all__ = ["open_channel"]


async def open_channel(connection: AbstractConnection, *, confirms: bool) -> Channel:
    """Open a channel; with ``confirms``, publishes on it are confirmed and unroutable ones raise ``PublishError``."""
    channel = await connection.channel(publisher_confirms=confirms, on_return_raises=True)
    return cast(Channel, channel)
