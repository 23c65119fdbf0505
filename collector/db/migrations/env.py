"""Run by Alembic, always on a connection that is handed in and inside its transaction."""

from alembic import context

from collector.db.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
