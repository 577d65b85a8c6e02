"""What Alembic runs: the migrations on the connection that ``pyti.store.migration`` hands over.

For a developer's ``alembic -x url=… revision --autogenerate`` it opens a connection of its own.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, create_engine

from pyti.store.tables import metadata

__all__: list[str] = []


def run(connection: Connection) -> None:
    """Run the migrations on ``connection``, inside its transaction if it has one."""
    # SQLite takes part in transactions with DDL too, since pyti.store.engine begins them itself
    context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with create_engine(context.get_x_argument(as_dictionary=True)["url"]).begin() as opened:
        run(opened)
