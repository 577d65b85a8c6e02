"""The tables, as the newest migration leaves them; a test compares the two.

Only types that SQLite and PostgreSQL share. Messages are kept as the JSON text that crossed the bus.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

__all__ = ["HEAD", "cursors", "jobs", "metadata", "seen_files", "slaves"]

HEAD = "0001"
"""The newest migration's revision; a test compares it with the folder of migrations."""

metadata = MetaData()

jobs = Table(
    "jobs",
    metadata,
    # SQLite numbers rows by itself only where the type is INTEGER
    Column("sequence", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("job", String(64), nullable=False),
    Column("master", String(200), nullable=False),
    Column("feed", String(200), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("dispatched", Integer, nullable=False),
    Column("dispatched_at", Double),
    Column("slave", String(200), nullable=False),
    Column("lease_until", Double),
    Column("cancelling", Boolean, nullable=False),
    Column("cancel_reason", Text, nullable=False),
    Column("step", String(32), nullable=False),
    Column("task", String(64), nullable=False),
    Column("machine", String(255), nullable=False),
    Column("finished", Double),
    Column("level", String(32), nullable=False),
    Column("exit_status", Integer),
    Column("passed", Integer, nullable=False),
    Column("not_passed", Integer, nullable=False),
    Column("detail", Text, nullable=False),
    Column("run", Text, nullable=False),
    Column("report", Text),
    Column("result", Text),
    UniqueConstraint("job", name="jobs_job"),
    Index("jobs_state", "state", "lease_until"),
)
"""The master's job table; ``sequence`` orders jobs by arrival, whatever the clocks say."""

cursors = Table(
    "cursors",
    metadata,
    Column("feed", String(200), primary_key=True),
    Column("project", String(200), primary_key=True),
    Column("value", Text, nullable=False),
    Column("at", Double, nullable=False),
)
"""How far each feed has read each project."""

seen_files = Table(
    "seen_files",
    metadata,
    Column("feed", String(200), primary_key=True),
    Column("project", String(200), primary_key=True),
    Column("filename", String(255), primary_key=True),
    Column("at", Double, nullable=False),
)
"""Files that a feed has met; the primary key is what makes a new file a job exactly once."""

slaves = Table(
    "slaves",
    metadata,
    Column("slave", String(200), primary_key=True),
    Column("at", Double, nullable=False),
    Column("presence", Text, nullable=False),
)
"""The last presence of each slave."""
