"""Alembic's entry point: runs on the connection that `storage.migrate` hands over."""

from alembic import context

from trimtab.storage.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=False,  # the caller's transaction is the one
)
context.run_migrations()
