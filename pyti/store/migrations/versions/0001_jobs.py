"""The first schema: jobs, cursors, seen files, slaves."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "jobs",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("job", sa.String(64), nullable=False),
        sa.Column("master", sa.String(200), nullable=False),
        sa.Column("feed", sa.String(200), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("dispatched", sa.Integer, nullable=False),
        sa.Column("dispatched_at", sa.Double),
        sa.Column("slave", sa.String(200), nullable=False),
        sa.Column("lease_until", sa.Double),
        sa.Column("cancelling", sa.Boolean, nullable=False),
        sa.Column("cancel_reason", sa.Text, nullable=False),
        sa.Column("step", sa.String(32), nullable=False),
        sa.Column("task", sa.String(64), nullable=False),
        sa.Column("machine", sa.String(255), nullable=False),
        sa.Column("finished", sa.Double),
        sa.Column("level", sa.String(32), nullable=False),
        sa.Column("exit_status", sa.Integer),
        sa.Column("passed", sa.Integer, nullable=False),
        sa.Column("not_passed", sa.Integer, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("run", sa.Text, nullable=False),
        sa.Column("report", sa.Text),
        sa.Column("result", sa.Text),
        sa.UniqueConstraint("job", name="jobs_job"),
    )
    op.create_index("jobs_state", "jobs", ["state", "lease_until"])
    op.create_table(
        "cursors",
        sa.Column("feed", sa.String(200), primary_key=True),
        sa.Column("project", sa.String(200), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
    )
    op.create_table(
        "seen_files",
        sa.Column("feed", sa.String(200), primary_key=True),
        sa.Column("project", sa.String(200), primary_key=True),
        sa.Column("filename", sa.String(255), primary_key=True),
        sa.Column("at", sa.Double, nullable=False),
    )
    op.create_table(
        "slaves",
        sa.Column("slave", sa.String(200), primary_key=True),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("presence", sa.Text, nullable=False),
    )
