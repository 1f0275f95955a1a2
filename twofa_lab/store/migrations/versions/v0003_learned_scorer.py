"""What a learned scorer needs of an account's past, and what an address was up to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision = "0003"
down_revision = "0002"

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_CHECK = "ck_history_kind"
_KINDS = (
    "kind in ('login', 'device', 'country', 'region', 'hour', 'asn', 'browser', 'place', 'rtt')"
)
_KEPT = "user_id, kind, value, count, first_seen, last_seen, trusted_at"


def upgrade() -> None:
    """A table, two columns of the history, and more kinds of its rows; no row changes."""
    op.create_table(
        "address_attempts",
        sa.Column("id", _BIG, nullable=False),
        sa.Column("address_hash", sa.LargeBinary(), nullable=False),
        sa.Column("name_hash", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("wrong", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_address_attempts"),
    )
    for columns in (["address_hash", "at"], ["at"]):
        op.create_index(f"ix_address_attempts_{'_'.join(columns)}", "address_attempts", columns)
    if op.get_bind().dialect.name == "sqlite":
        _made_anew()
        return
    op.add_column("history", sa.Column("x", sa.Double()))
    op.add_column("history", sa.Column("y", sa.Double()))
    op.drop_constraint(_CHECK, "history", type_="check")
    op.create_check_constraint(_CHECK, "history", _KINDS)


def _made_anew() -> None:
    """SQLite cannot change a CHECK: the table is made anew, and filled from the old one."""
    op.rename_table("history", "history_0002")
    op.create_table(
        "history",
        sa.Column("user_id", _BIG, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("first_seen", sa.BigInteger(), nullable=False),
        sa.Column("last_seen", sa.BigInteger(), nullable=False),
        sa.Column("trusted_at", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("x", sa.Double()),
        sa.Column("y", sa.Double()),
        sa.CheckConstraint(_KINDS, name=_CHECK),
        sa.ForeignKeyConstraint(
            ["user_id"], ["accounts.user_id"], name="fk_history_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "kind", "value", name="pk_history"),
        sqlite_with_rowid=False,
    )
    op.execute(f"insert into history ({_KEPT}) select {_KEPT} from history_0002")  # noqa: S608 - names of our own
    op.drop_table("history_0002")
