"""What Alembic runs: the migrations on the connection that `migrate.py` hands over."""

from __future__ import annotations

from alembic import context

from fullon_master_api.apis.orm.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    compare_type=False,
)
with context.begin_transaction():
    context.run_migrations()
