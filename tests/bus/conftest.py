"""Waiting, within a limit, for what other tasks bring about."""

import asyncio

import pytest


@pytest.fixture
def eventually():
    async def until(condition, limit_s=10.0):
        async with asyncio.timeout(limit_s):
            while not condition():  # noqa: ASYNC110 - the conditions are plain expressions over recorded values
                await asyncio.sleep(0.005)

    return until
