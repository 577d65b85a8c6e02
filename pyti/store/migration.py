"""Bring a database to the newest schema when it is opened, one process at a time."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine

from pyti.errors import StoreError
from pyti.store.database_errors import database_errors
from pyti.store.engine import database_file, opening_lock, shown, writing
from pyti.store.tables import HEAD

__all__ = ["MIGRATIONS", "migrate", "upgrade"]

MIGRATIONS = Path(__file__).with_name("migrations")
"""The folder of Alembic's environment."""

ADVISORY_LOCK = 7_798_180_001
"""The number of PostgreSQL's advisory lock that migrations hold; any constant that only PyTI uses."""


async def migrate(engine: AsyncEngine, *, limit_s: float = 60.0) -> None:
    """Create or upgrade the schema; waits at most ``limit_s`` for another process that is doing the same.

    The whole upgrade is one transaction: it happens or it does not. ``StoreError`` for a database that a newer
    PyTI wrote, a damaged one, and one that stays locked.
    """
    name = shown(engine.url)
    file = database_file(engine.url)
    if file is None:
        with database_errors(name):
            async with engine.begin() as connection:
                await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ADVISORY_LOCK})
                await connection.run_sync(upgrade, name)
        return
    async with opening_lock(file.with_name(f"{file.name}.lock"), limit_s):
        with database_errors(name):
            async with engine.connect() as connection:
                # no transaction may be open while the journal's mode changes; the mode stays in the file
                raw = await connection.get_raw_connection()
                await raw.driver_connection.execute_fetchall("PRAGMA journal_mode=WAL")  # type: ignore[union-attr]
            async with writing(engine).begin() as connection:
                await connection.run_sync(upgrade, name)


def upgrade(connection: Connection, name: str) -> None:
    """Bring the database behind ``connection`` to ``HEAD`` inside the transaction that is already open."""
    version = _version(connection)
    if version == HEAD:
        return
    # late imports: Alembic and Mako cost a start that a database at HEAD can do without
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if version is not None and version not in known:
        raise StoreError(
            f"the database {name} was written by a newer PyTI (its schema is {version}, this one knows {HEAD})",
            remedy="Upgrade PyTI here, or set [store] url to another database.",
        )
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
