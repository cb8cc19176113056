"""Alembic's entry: runs the migrations on the connection that schema.upgrade hands over."""

from alembic import context

from factored.store.schema import VERSION_TABLE
from factored.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
