"""What Alembic runs for each command; `whybox_server.database.upgrade` gives it a connection in a transaction."""

from alembic import context

from whybox_server.database.tables import Base
from whybox_server.database.upgrade import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    # SQLite changes a column by making the table anew.
    render_as_batch=True,
)
context.run_migrations()
