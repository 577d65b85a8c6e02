"""A database URL that cannot work is told before anything starts, without its password."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyti.errors import ConfigError, StoreError
from pyti.store.engine import OpeningLock, make_engine, opening_lock, shown


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nonsense", "cannot be used"),
        ("sqlite:////tmp/x.sqlite", "async"),
        ("unknowndb+driver://user:secret@host.invalid/db", "cannot be used"),
        ("sqlite+aiosqlite://", "in memory"),
        ("sqlite+aiosqlite:///:memory:", "in memory"),
        ("sqlite+aiosqlite:///file:x?mode=memory&uri=true", "in memory"),
    ],
)
def test_a_url_that_cannot_work(url: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        make_engine(url)
    assert "secret" not in caught.value.message
    assert "[store] url" in caught.value.remedy


def test_a_password_is_never_shown() -> None:
    from sqlalchemy import make_url

    assert "secret" not in shown(make_url("postgresql+asyncpg://user:secret@host.invalid/db"))


async def test_the_opening_lock_is_held_by_one(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    other = OpeningLock(path)
    assert other.try_take()
    with pytest.raises(StoreError, match="another process has held"):
        async with opening_lock(path, 0.05):
            pass
    other.give_back()
    async with opening_lock(path, 0.05):
        assert not OpeningLock(path).try_take()


async def test_the_opening_lock_is_given_back_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        async with opening_lock(tmp_path / "lock", 0.05):
            raise RuntimeError
    async with opening_lock(tmp_path / "lock", 0.05):
        pass


async def test_a_lock_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with pytest.raises(StoreError, match="lock cannot be used"):
        async with opening_lock(tmp_path / "lock", 0.05):
            pass
