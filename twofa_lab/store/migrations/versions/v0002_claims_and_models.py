"""Claims of sends, webhooks seen, and what is known of a WebAuthn authenticator's model."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Two tables and two columns; no row changes."""
    op.create_table(
        "send_claims",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("claimed_at", sa.BigInteger(), nullable=False),
        sa.Column("claims", sa.Integer(), nullable=False),
        sa.Column("verification_id", sa.Text()),
        sa.PrimaryKeyConstraint("key", name="pk_send_claims"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "seen_webhooks",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name="pk_seen_webhooks"),
        sqlite_with_rowid=False,
    )
    op.add_column("authenticators", sa.Column("aaguid", sa.Text()))
    op.add_column("authenticators", sa.Column("transports", sa.Text()))
