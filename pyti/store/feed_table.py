"""The statements on cursors, seen files and slaves; each takes a connection whose transaction the caller has begun."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import and_, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from pyti.messages import SlavePresence
from pyti.store.records import CursorUpdate, Upload, decode, encode
from pyti.store.tables import cursors, seen_files, slaves

__all__ = ["cursor", "note_slave", "note_uploads", "seen", "set_cursor", "slave_presences"]


async def note_uploads(
    connection: AsyncConnection, feed: str, uploads: Iterable[Upload], now: float
) -> set[tuple[str, str]]:
    """Remember the files; returns (project, filename) of those that the feed had not met before.

    ``IntegrityError`` when another master remembers one of them at this very moment: begin anew.
    """
    fresh: set[tuple[str, str]] = set()
    known: dict[str, set[str]] = {}
    for upload in uploads:
        if upload.project not in known:
            known[upload.project] = await seen(connection, feed, upload.project)
        if upload.filename in known[upload.project]:
            continue
        known[upload.project].add(upload.filename)
        fresh.add((upload.project, upload.filename))
    if fresh:
        await connection.execute(
            insert(seen_files),
            [{"feed": feed, "project": project, "filename": name, "at": now} for project, name in sorted(fresh)],
        )
    return fresh


async def seen(connection: AsyncConnection, feed: str, project: str) -> set[str]:
    """Return the names of the files that the feed has met for the project."""
    query = select(seen_files.c.filename).where(and_(seen_files.c.feed == feed, seen_files.c.project == project))
    return set((await connection.execute(query)).scalars())


async def cursor(connection: AsyncConnection, feed: str, project: str) -> str | None:
    """How far the feed has read the project, or ``None`` before the first time."""
    query = select(cursors.c.value).where(and_(cursors.c.feed == feed, cursors.c.project == project))
    value: str | None = (await connection.execute(query)).scalar()
    return value


async def set_cursor(connection: AsyncConnection, feed: str, change: CursorUpdate, now: float) -> None:
    """Remember how far the feed has read the project."""
    where = and_(cursors.c.feed == feed, cursors.c.project == change.project)
    written = await connection.execute(update(cursors).where(where).values(value=change.value, at=now))
    if written.rowcount == 0:
        await connection.execute(insert(cursors).values(feed=feed, project=change.project, value=change.value, at=now))


async def note_slave(connection: AsyncConnection, presence: SlavePresence) -> None:
    """Keep the newest presence of a slave, by the time that it carries."""
    values = {"at": presence.at, "presence": encode(presence)}
    known = (
        await connection.execute(select(slaves.c.at).where(slaves.c.slave == presence.slave).with_for_update())
    ).scalar()
    if known is None:
        await connection.execute(insert(slaves).values(slave=presence.slave, **values))
    elif known <= presence.at:
        await connection.execute(update(slaves).where(slaves.c.slave == presence.slave).values(**values))


async def slave_presences(connection: AsyncConnection) -> list[SlavePresence]:
    """Return the last presence of every slave, by name."""
    rows = (await connection.execute(select(slaves).order_by(slaves.c.slave))).all()
    return [decode(SlavePresence, row.presence, f"slave {row.slave}") for row in rows]
