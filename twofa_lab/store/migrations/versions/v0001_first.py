"""The first version of the tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision = "0001"
down_revision = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("user_id", BIG, autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("email", sa.LargeBinary()),
        sa.Column("phone", sa.LargeBinary()),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("home_zone", sa.Text(), nullable=False),
        sa.Column("line_type", sa.Text()),
        sa.Column("whatsapp", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("password_changed_at", sa.BigInteger(), nullable=False),
        sa.Column("stranger_failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("stranger_wait_until", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("own_device_failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("own_device_wait_until", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("factor_failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("factor_wait_until", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("prompted_at", sa.BigInteger()),
        sa.Column("prompts_declined", sa.Integer(), server_default="0", nullable=False),
        sa.CheckConstraint(
            "status in ('pending', 'active', 'recovery', 'locked', 'closed')",
            name="ck_accounts_status",
        ),
        sa.PrimaryKeyConstraint("user_id", name="pk_accounts"),
        sa.UniqueConstraint("name", name="uq_accounts_name"),
    )


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("seq", BIG, autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger()),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_audit"),
    )
    op.create_index("ix_audit_user_id_seq", "audit", ["user_id", "seq"])


def _audit_checkpoints() -> None:
    op.create_table(
        "audit_checkpoints",
        sa.Column("seq", BIG, autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("kind in ('checkpoint', 'pruned')", name="ck_audit_checkpoints_kind"),
        sa.PrimaryKeyConstraint("seq", "kind", name="pk_audit_checkpoints"),
    )


def _legal_holds() -> None:
    op.create_table(
        "legal_holds",
        sa.Column("id", BIG, nullable=False),
        sa.Column("user_id", sa.BigInteger()),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("placed_by", sa.Text(), nullable=False),
        sa.Column("placed_at", sa.BigInteger(), nullable=False),
        sa.Column("released_by", sa.Text()),
        sa.Column("released_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_legal_holds"),
        sqlite_autoincrement=True,
    )


def _rate_events() -> None:
    op.create_table(
        "rate_events",
        sa.Column("id", BIG, nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rate_events"),
    )
    op.create_index("ix_rate_events_key_at", "rate_events", ["key", "at"])


def _approvals() -> None:
    op.create_table(
        "approvals",
        sa.Column("id", BIG, nullable=False),
        sa.Column("user_id", BIG, nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("approved_by", sa.Text()),
        sa.Column("approved_at", sa.BigInteger()),
        sa.Column("used_at", sa.BigInteger()),
        sa.CheckConstraint("approved_by <> requested_by", name="ck_approvals_two_people"),
        sa.CheckConstraint(
            "used_at is null or approved_by is not null", name="ck_approvals_approved_first"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["accounts.user_id"], name="fk_approvals_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_approvals"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_approvals_user_id", "approvals", ["user_id"])


def _authenticators() -> None:
    op.create_table(
        "authenticators",
        sa.Column("id", BIG, nullable=False),
        sa.Column("user_id", BIG, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("confirmed_at", sa.BigInteger()),
        sa.Column("disabled_at", sa.BigInteger()),
        sa.Column("last_used_at", sa.BigInteger()),
        sa.Column("secret", sa.LargeBinary()),
        sa.Column("public_key", sa.LargeBinary()),
        sa.Column("credential_id", sa.LargeBinary()),
        sa.Column("sign_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("backup_eligible", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("backup_state", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("user_verified", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("last_totp_step", sa.BigInteger(), server_default="-1", nullable=False),
        sa.Column("preference", sa.Integer(), server_default="0", nullable=False),
        sa.Column("consecutive_failures", sa.Integer(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["accounts.user_id"], name="fk_authenticators_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_authenticators"),
        sa.UniqueConstraint("credential_id", name="uq_authenticators_credential_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_authenticators_user_id", "authenticators", ["user_id"])


def _failed_passwords() -> None:
    op.create_table(
        "failed_passwords",
        sa.Column("id", BIG, nullable=False),
        sa.Column("user_id", BIG, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["accounts.user_id"],
            name="fk_failed_passwords_user_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_failed_passwords"),
    )
    op.create_index("ix_failed_passwords_user_id_at", "failed_passwords", ["user_id", "at"])


def _history() -> None:
    op.create_table(
        "history",
        sa.Column("user_id", BIG, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("first_seen", sa.BigInteger(), nullable=False),
        sa.Column("last_seen", sa.BigInteger(), nullable=False),
        sa.Column("trusted_at", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint(
            "kind in ('login', 'device', 'country', 'region', 'hour')", name="ck_history_kind"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["accounts.user_id"], name="fk_history_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "kind", "value", name="pk_history"),
        sqlite_with_rowid=False,
    )


def _notices() -> None:
    op.create_table(
        "notices",
        sa.Column("id", BIG, nullable=False),
        sa.Column("user_id", BIG, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("masked_address", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["accounts.user_id"], name="fk_notices_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_notices"),
    )
    op.create_index("ix_notices_user_id", "notices", ["user_id"])


def _recovery_codes() -> None:
    op.create_table(
        "recovery_codes",
        sa.Column("id", BIG, nullable=False),
        sa.Column("user_id", BIG, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("set_id", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("code_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger()),
        sa.CheckConstraint("kind in ('lookup', 'saved')", name="ck_recovery_codes_kind"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["accounts.user_id"], name="fk_recovery_codes_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_recovery_codes"),
    )
    op.create_index("ix_recovery_codes_user_id_prefix", "recovery_codes", ["user_id", "prefix"])


def _sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("id_hash", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", BIG, nullable=False),
        sa.Column("aal", sa.SmallInteger(), nullable=False),
        sa.Column("amr", sa.Text(), nullable=False),
        sa.Column("device", sa.Text()),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("last_seen", sa.BigInteger(), nullable=False),
        sa.Column("ended", sa.BigInteger()),
        sa.CheckConstraint("aal between 1 and 3", name="ck_sessions_aal"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["accounts.user_id"], name="fk_sessions_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id_hash", name="pk_sessions"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"])


def _trusted_devices() -> None:
    op.create_table(
        "trusted_devices",
        sa.Column("id", BIG, nullable=False),
        sa.Column("user_id", BIG, nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("series", sa.Text(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("rotated_at", sa.BigInteger()),
        sa.Column("revoked_at", sa.BigInteger()),
        sa.ForeignKeyConstraint(
            ["user_id"], ["accounts.user_id"], name="fk_trusted_devices_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_trusted_devices"),
        sa.UniqueConstraint("series", name="uq_trusted_devices_series"),
    )
    op.create_index("ix_trusted_devices_user_id", "trusted_devices", ["user_id"])


def _challenges() -> None:
    op.create_table(
        "challenges",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("user_id", BIG, nullable=False),
        sa.Column("authenticator_id", BIG),
        sa.Column("session_binding", sa.LargeBinary(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("factor", sa.Text(), nullable=False),
        sa.Column("expected", sa.LargeBinary()),
        sa.Column("context", sa.Text()),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("consumed_at", sa.BigInteger()),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.CheckConstraint(
            "state in ('open', 'consumed', 'failed', 'cancelled')", name="ck_challenges_state"
        ),
        sa.CheckConstraint("attempts <= max_attempts", name="ck_challenges_attempts"),
        sa.ForeignKeyConstraint(
            ["authenticator_id"],
            ["authenticators.id"],
            name="fk_challenges_authenticator_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["accounts.user_id"], name="fk_challenges_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_challenges"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_challenges_user_id", "challenges", ["user_id"])


def _messages() -> None:
    op.create_table(
        "messages",
        sa.Column("id", BIG, nullable=False),
        sa.Column("challenge_id", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("provider_id", sa.Text()),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger()),
        sa.Column("delivered_at", sa.BigInteger()),
        sa.Column("price_microusd", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("masked_number", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "state in ('pending', 'sent', 'delivered', 'cancelled', 'failed', 'unknown')",
            name="ck_messages_state",
        ),
        sa.ForeignKeyConstraint(
            ["challenge_id"], ["challenges.id"], name="fk_messages_challenge_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_messages"),
        sa.UniqueConstraint("idempotency_key", name="uq_messages_idempotency_key"),
    )
    op.create_index("ix_messages_challenge_id", "messages", ["challenge_id"])
    op.create_index("ix_messages_provider_id", "messages", ["provider_id"])


def upgrade() -> None:
    """Create every table, one after those it points to."""
    _accounts()
    _audit()
    _audit_checkpoints()
    _legal_holds()
    _rate_events()
    _approvals()
    _authenticators()
    _failed_passwords()
    _history()
    _notices()
    _recovery_codes()
    _sessions()
    _trusted_devices()
    _challenges()
    _messages()
