"""Alembic's entry: run the migrations on the connection, and in the transaction, of `upgrade`."""

from __future__ import annotations

from alembic import context

from twofa_lab.store.schema import metadata

__all__: list[str] = []

if hasattr(context, "config"):  # Alembic runs it; whoever merely imports it gets nothing
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=metadata,
        transactional_ddl=True,
    )
    context.run_migrations()
