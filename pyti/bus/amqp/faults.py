"""From the client library's many failures to the few that the bus knows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from aiormq import exceptions as amqp

from pyti.errors import BusDisconnected, BusError, ConfigError, PublishRefused, Unroutable

__all__ = ["CHANNEL_ERRORS", "blames", "refusal", "translated"]

CHANNEL_ERRORS = (
    amqp.ChannelNotFoundEntity,
    amqp.ChannelAccessRefused,
    amqp.ChannelPreconditionFailed,
    amqp.ChannelLockedResource,
)
"""What the broker answers, by closing the channel, to a request that it will not carry out."""


@contextmanager
def translated() -> Iterator[None]:
    """Turn every sign of a lost channel or connection into ``BusDisconnected``; the broker's answers pass through.

    The library rejects pending waits with ``CancelledError`` or a bare ``Exception`` when a connection ends. Such a
    cancellation is not ours, which the task tells: nobody has asked it to end.
    """
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise BusDisconnected("the connection to the broker was lost") from None
    except (*CHANNEL_ERRORS, amqp.DeliveryError):
        raise
    except (amqp.AMQPError, ConnectionError, OSError, EOFError, RuntimeError) as error:
        raise BusDisconnected(f"the connection to the broker was lost ({type(error).__name__})") from error
    except Exception as error:
        if type(error) is not Exception:
            raise
        raise BusDisconnected("the connection to the broker was lost") from error


def blames(error: amqp.AMQPError, exchange: str, key: str) -> bool:
    """Say whether a channel error is about this publish and not about another one on the same channel.

    The broker's text names what it refused, in quotes.
    """
    text = str(error)
    if "topic '" in text:
        return f"topic '{key}'" in text and f"'{exchange}'" in text
    return f"exchange '{exchange}'" in text or "user_id" in text


def refusal(error: amqp.AMQPError, what: str) -> BusError | ConfigError:
    """Return the error of ours for a channel error of the broker's."""
    text = str(error.args[0]) if error.args else type(error).__name__
    if isinstance(error, amqp.ChannelNotFoundEntity):
        return Unroutable(f"{what}: {text}")
    if isinstance(error, amqp.ChannelAccessRefused):
        return PublishRefused(f"{what}: {text}", remedy="Grant the broker's user the permission.")
    return ConfigError(
        f"{what}: {text}",
        remedy="It stands with other arguments or belongs to another connection; delete it, or change a policy.",
    )
