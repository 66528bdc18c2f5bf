"""Runs the migrations on the connection that `server.store.schema` hands over, inside its transaction."""

from alembic import context

from server.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
