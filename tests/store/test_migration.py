"""Opening a database brings it to the newest schema, or says why not."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from pyti.errors import StoreError
from pyti.store import Store
from pyti.store.engine import make_engine
from pyti.store.migration import MIGRATIONS, migrate
from pyti.store.tables import HEAD, metadata


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home" / "pyti.sqlite"


def test_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


async def test_the_migrations_lead_to_the_tables(store: Store) -> None:
    def difference(connection) -> list:
        return compare_metadata(MigrationContext.configure(connection), metadata)

    async with store._engine.connect() as connection:
        assert await connection.run_sync(difference) == []


async def test_a_new_database_has_a_write_ahead_log_and_foreign_keys(store: Store) -> None:
    async with store._engine.connect() as connection:
        values = [
            (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "foreign_keys", "synchronous")
        ]
    assert values == ["wal", 1, 2]


async def test_opening_again_changes_nothing(database_url: str, file: Path) -> None:
    async with Store.open(database_url):
        pass
    before = file.read_bytes()
    async with Store.open(database_url):
        pass
    assert file.read_bytes() == before


async def test_a_database_of_a_newer_version_is_left_alone(database_url: str, file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        connection.execute("INSERT INTO alembic_version VALUES ('9999')")
    connection.close()
    with pytest.raises(StoreError, match=r"written by a newer PyTI \(its schema is 9999") as caught:
        async with Store.open(database_url):
            pass
    assert "Upgrade PyTI" in caught.value.remedy


async def test_a_damaged_database_is_named(database_url: str, file: Path) -> None:
    file.write_bytes(os.urandom(4096))
    with pytest.raises(StoreError, match=rf"the database {file} is damaged"):
        async with Store.open(database_url):
            pass


async def test_a_database_with_a_damaged_page_is_named(database_url: str, file: Path, make_job) -> None:
    async with Store.open(database_url) as store:
        await store.add_jobs([make_job() for _ in range(100)])
    with file.open("r+b") as damaged:
        damaged.seek(100)
        damaged.write(os.urandom(file.stat().st_size - 100))
    with pytest.raises(StoreError, match="is damaged"):
        async with Store.open(database_url) as store:
            await store.jobs(100)


async def test_a_failed_upgrade_leaves_the_database_as_it_was(database_url: str, file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE slaves (mine TEXT)")  # in the way of the last table
    connection.close()
    with pytest.raises(StoreError, match="already exists"):
        async with Store.open(database_url):
            pass
    with sqlite3.connect(file) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master")]
    connection.close()
    assert names == ["slaves"]


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"file/deeper/pyti\.sqlite"):
        async with Store.open(f"sqlite+aiosqlite:///{tmp_path}/file/deeper/pyti.sqlite"):
            pass


async def test_migrating_twice_at_once_in_one_process_works(database_url: str, file: Path) -> None:
    import asyncio

    engines = [make_engine(database_url) for _ in range(4)]
    try:
        await asyncio.gather(*(migrate(engine) for engine in engines))
    finally:
        for engine in engines:
            await engine.dispose()
