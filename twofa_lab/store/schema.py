"""The tables of the store. Times are whole milliseconds since 1970 UTC.

What a thief of the file must not read is encrypted (`ENCRYPTED`) or a keyed hash (`*_hash`,
`expected`, the `key` of rate events). The shape that a released version created is frozen in
`migrations`; a test holds the two equal.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    false,
)

__all__ = [
    "ENCRYPTED",
    "MAX_CONSECUTIVE_FAILURES",
    "accounts",
    "address_attempts",
    "approvals",
    "audit",
    "audit_checkpoints",
    "authenticators",
    "challenges",
    "failed_passwords",
    "field_name",
    "history",
    "legal_holds",
    "messages",
    "metadata",
    "notices",
    "rate_events",
    "recovery_codes",
    "seen_webhooks",
    "send_claims",
    "sessions",
    "trusted_devices",
]

MAX_CONSECUTIVE_FAILURES = 100
"""Consecutive failures after which an authenticator is disabled: NIST SP 800-63B-4, 3.2.2."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite counts rows only in a column called INTEGER, which there holds 64 bits as well.
_Big = BigInteger().with_variant(Integer, "sqlite")


def _id() -> Column[int]:
    return Column("id", _Big, primary_key=True)


def _user(*, primary_key: bool = False) -> Column[int]:
    account = ForeignKey("accounts.user_id", ondelete="CASCADE")
    return Column("user_id", _Big, account, primary_key=primary_key, nullable=False)


def _count(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default="0")


def _time(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default="0")


accounts = Table(
    "accounts",
    metadata,
    # The caller draws the number: encryption binds to it before there is a row.
    Column("user_id", _Big, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False, unique=True),
    Column("email", LargeBinary),  # encrypted
    Column("phone", LargeBinary),  # encrypted
    Column("password_hash", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("home_zone", Text, nullable=False),  # tz database name
    Column("line_type", Text),
    Column("whatsapp", Boolean, nullable=False, server_default=false()),
    Column("status", Text, nullable=False, server_default="pending"),
    Column("password_changed_at", BigInteger, nullable=False),
    # Consecutive failures, and the end of the wait they caused. Passwords are counted apart for
    # devices the account knows and for strangers, so that a stranger cannot lock the owner out.
    _count("stranger_failures"),
    _time("stranger_wait_until"),
    _count("own_device_failures"),
    _time("own_device_wait_until"),
    _count("factor_failures"),  # over every session, challenge and factor
    _time("factor_wait_until"),
    Column("prompted_at", BigInteger),  # last offer of a (better) factor
    _count("prompts_declined"),
    CheckConstraint("status in ('pending', 'active', 'recovery', 'locked', 'closed')", "status"),
)

authenticators = Table(
    "authenticators",
    metadata,
    _id(),
    _user(),
    Column("kind", Text, nullable=False),  # one of twofa_lab.tables.FACTORS
    Column("label", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("confirmed_at", BigInteger),
    Column("disabled_at", BigInteger),
    Column("last_used_at", BigInteger),
    Column("secret", LargeBinary),  # encrypted: TOTP seed, phone number, push token
    Column("public_key", LargeBinary),
    Column("credential_id", LargeBinary, unique=True),
    Column("sign_count", BigInteger, nullable=False, server_default="0"),
    Column("backup_eligible", Boolean, nullable=False, server_default=false()),
    Column("backup_state", Boolean, nullable=False, server_default=false()),
    Column("user_verified", Boolean, nullable=False, server_default=false()),
    Column("last_totp_step", BigInteger, nullable=False, server_default="-1"),
    Column("preference", Integer, nullable=False, server_default="0"),
    _count("consecutive_failures"),
    Column("aaguid", Text),  # model of the WebAuthn authenticator, a UUID
    Column("transports", Text),  # of WebAuthn, separated by a space
    Index(None, "user_id"),
    sqlite_autoincrement=True,  # the audit names ids: none is used twice
)

challenges = Table(
    "challenges",
    metadata,
    Column("id", Text, primary_key=True),  # random, drawn by the caller
    _user(),
    Column("authenticator_id", _Big, ForeignKey("authenticators.id", ondelete="CASCADE")),
    Column("session_binding", LargeBinary, nullable=False),  # hash of the request it answers to
    Column("purpose", Text, nullable=False),
    Column("factor", Text, nullable=False),
    Column("expected", LargeBinary),  # keyed hash of the code, or the WebAuthn challenge
    Column("context", Text),  # JSON: what the login must still know when it completes
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    _count("attempts"),
    Column("max_attempts", Integer, nullable=False),
    Column("consumed_at", BigInteger),
    Column("state", Text, nullable=False, server_default="open"),
    CheckConstraint("state in ('open', 'consumed', 'failed', 'cancelled')", "state"),
    CheckConstraint("attempts <= max_attempts", "attempts"),
    Index(None, "user_id"),
    sqlite_with_rowid=False,
)

messages = Table(
    "messages",
    metadata,
    _id(),
    Column("challenge_id", Text, ForeignKey("challenges.id", ondelete="CASCADE"), nullable=False),
    Column("channel", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("provider_id", Text),
    Column("idempotency_key", Text, nullable=False, unique=True),
    Column("state", Text, nullable=False, server_default="pending"),
    Column("created", BigInteger, nullable=False),
    Column("sent_at", BigInteger),
    Column("delivered_at", BigInteger),
    Column("price_microusd", BigInteger, nullable=False, server_default="0"),
    Column("masked_number", Text, nullable=False),
    CheckConstraint(
        "state in ('pending', 'sent', 'delivered', 'cancelled', 'failed', 'unknown')", "state"
    ),
    Index(None, "challenge_id"),
    Index(None, "provider_id"),
)

# No foreign key to a message or account: a claim stands before the call, and whatever becomes of
# the rest.
send_claims = Table(
    "send_claims",
    metadata,
    Column("key", Text, primary_key=True),
    Column("claimed_at", BigInteger, nullable=False),
    Column("claims", Integer, nullable=False),  # how often somebody wanted to send it
    Column("verification_id", Text),  # null: no answer is known
    sqlite_with_rowid=False,
)

seen_webhooks = Table(
    "seen_webhooks",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    _id(),
    _user(),
    Column("kind", Text, nullable=False),
    Column("set_id", Text, nullable=False),
    Column("prefix", Text, nullable=False),  # in clear: finds the one row to hash against
    Column("code_hash", LargeBinary, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("used_at", BigInteger),
    # look-up codes (NIST 3.1.2) and one saved recovery code (4.2.1.1) are different things
    CheckConstraint("kind in ('lookup', 'saved')", "kind"),
    Index(None, "user_id", "prefix"),
)

trusted_devices = Table(
    "trusted_devices",
    metadata,
    _id(),
    _user(),
    Column("device", Text, nullable=False),
    Column("series", Text, nullable=False, unique=True),
    Column("token_hash", LargeBinary, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("rotated_at", BigInteger),
    Column("revoked_at", BigInteger),
    Index(None, "user_id"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id_hash", LargeBinary, primary_key=True),
    _user(),
    Column("aal", SmallInteger, nullable=False),
    Column("amr", Text, nullable=False),  # RFC 8176 values, separated by a space
    Column("device", Text),
    Column("created", BigInteger, nullable=False),
    Column("last_seen", BigInteger, nullable=False),
    Column("ended", BigInteger),
    CheckConstraint("aal between 1 and 3", "aal"),
    Index(None, "user_id"),
    sqlite_with_rowid=False,
)

history = Table(
    "history",
    metadata,
    _user(primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    _count("count"),
    Column("first_seen", BigInteger, nullable=False),
    Column("last_seen", BigInteger, nullable=False),
    _time("trusted_at"),  # devices only; 0: not trusted
    # place: latitude and longitude; rtt: mean and sum of squared deviations of its logarithm
    Column("x", Double),
    Column("y", Double),
    CheckConstraint(
        "kind in ('login', 'device', 'country', 'region', 'hour',"
        " 'asn', 'browser', 'place', 'rtt')",
        "kind",
    ),
    sqlite_with_rowid=False,
)

failed_passwords = Table(
    "failed_passwords",
    metadata,
    _id(),
    _user(),
    Column("at", BigInteger, nullable=False),
    Index(None, "user_id", "at"),
)

# Who tried to log in from where, for an hour. Names no account: the name tried may have none.
address_attempts = Table(
    "address_attempts",
    metadata,
    _id(),
    Column("address_hash", LargeBinary, nullable=False),
    Column("name_hash", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("wrong", Boolean, nullable=False),  # the password
    Index(None, "address_hash", "at"),
    Index(None, "at"),
)

rate_events = Table(
    "rate_events",
    metadata,
    _id(),
    Column("key", LargeBinary, nullable=False),  # keyed hash of a number, address or account
    Column("at", BigInteger, nullable=False),
    Index(None, "key", "at"),
)

notices = Table(
    "notices",
    metadata,
    _id(),
    _user(),
    Column("at", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("masked_address", Text, nullable=False),
    Index(None, "user_id"),
)

approvals = Table(
    "approvals",
    metadata,
    _id(),
    _user(),
    Column("action", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("requested_at", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("approved_by", Text),
    Column("approved_at", BigInteger),
    Column("used_at", BigInteger),
    CheckConstraint("approved_by <> requested_by", "two_people"),
    CheckConstraint("used_at is null or approved_by is not null", "approved_first"),
    Index(None, "user_id"),
    sqlite_autoincrement=True,  # the audit names ids: none is used twice
)

# No foreign key: the record of an account outlives it.
audit = Table(
    "audit",
    metadata,
    Column("seq", _Big, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("user_id", BigInteger),
    Column("event", Text, nullable=False),
    Column("detail", Text, nullable=False),  # canonical JSON, hashed as it stands
    Column("hash", LargeBinary, nullable=False),
    Index(None, "user_id", "seq"),
)

audit_checkpoints = Table(
    "audit_checkpoints",
    metadata,
    Column("seq", _Big, primary_key=True, autoincrement=False),
    Column("kind", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    CheckConstraint("kind in ('checkpoint', 'pruned')", "kind"),
)

legal_holds = Table(
    "legal_holds",
    metadata,
    _id(),
    Column("user_id", BigInteger),  # null: everybody
    Column("reason", Text, nullable=False),
    Column("placed_by", Text, nullable=False),
    Column("placed_at", BigInteger, nullable=False),
    Column("released_by", Text),
    Column("released_at", BigInteger),
    sqlite_autoincrement=True,  # the audit names ids: none is used twice
)

ENCRYPTED = (accounts.c.email, accounts.c.phone, authenticators.c.secret)
"""Columns under `Keyring.encrypt`; each of their tables has a `user_id`."""


def field_name(column: Column[Any]) -> str:
    """The name a ciphertext of that column is bound to.

    >>> field_name(accounts.c.phone)
    'accounts.phone'
    """
    return f"{column.table.name}.{column.name}"
