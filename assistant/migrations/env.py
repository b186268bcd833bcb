"""Alembic's entry: runs the steps in ``versions`` on the connection that ``assistant/database.py`` hands over.

Knows no URL and opens nothing; it is executed by Alembic and never imported.
"""

from alembic import context

from assistant.schema import REVISION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=REVISION_TABLE,
    compare_type=True,
    render_as_batch=True,  # SQLite alters a table by copying it
)
with context.begin_transaction():
    context.run_migrations()
