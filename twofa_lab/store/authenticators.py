"""Authenticators and recovery codes: bind, confirm, use once, disable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from twofa_lab.errors import InputError, WorkError
from twofa_lab.store.keyring import Keyring
from twofa_lab.store.schema import MAX_CONSECUTIVE_FAILURES, authenticators, field_name
from twofa_lab.store.schema import recovery_codes as codes
from twofa_lab.store.statements import Prepared

__all__ = [
    "Authenticator",
    "RecoveryCode",
    "add_authenticator",
    "authenticator_by_credential",
    "authenticators_of",
    "bump_sign_count",
    "burn_totp_step",
    "confirm_authenticator",
    "disable_authenticator",
    "recovery_codes_left",
    "recovery_codes_with_prefix",
    "rename_authenticator",
    "replace_recovery_codes",
    "secret_of",
    "set_preference",
    "use_recovery_code",
]

_SECRET = field_name(authenticators.c.secret)


@dataclass(frozen=True, slots=True)
class Authenticator:
    """One row of `authenticators`, its columns in order; see `schema` for what each means."""

    id: int
    user_id: int
    kind: str
    label: str
    created: int
    confirmed_at: int | None
    disabled_at: int | None
    last_used_at: int | None
    secret: bytes | None = field(repr=False)
    public_key: bytes | None = field(repr=False)
    credential_id: bytes | None = field(repr=False)
    sign_count: int
    backup_eligible: bool
    backup_state: bool
    user_verified: bool
    last_totp_step: int
    preference: int
    consecutive_failures: int
    aaguid: str | None
    transports: str | None

    def __post_init__(self) -> None:
        for name in ("backup_eligible", "backup_state", "user_verified"):
            object.__setattr__(self, name, bool(getattr(self, name)))  # SQLite gives 0 or 1

    @property
    def usable(self) -> bool:
        """Confirmed, not disabled, and below the hard stop on failures."""
        return self.confirmed_at is not None and self.disabled_at is None and not self.stopped

    @property
    def stopped(self) -> bool:
        """At the hard stop on failures: taken out of use, but not by its owner."""
        return self.consecutive_failures >= MAX_CONSECUTIVE_FAILURES


class RecoveryCode(NamedTuple):
    """One unused code: its row, kind (lookup or saved), hash, and the set it is bound to."""

    id: int
    kind: str
    code_hash: bytes
    set_id: str

    def __repr__(self) -> str:
        return f"RecoveryCode(id={self.id}, kind={self.kind!r})"


_a = authenticators.c
_ROW = select(*(_a[name] for name in Authenticator.__slots__))
_OF_USER = Prepared(_ROW.where(_a.user_id == bindparam("user_id")).order_by(_a.id))
_BY_CREDENTIAL = Prepared(_ROW.where(_a.credential_id == bindparam("credential_id")))
_INSERT = insert(authenticators).returning(_a.id)
_LIVE = update(authenticators).where(_a.id == bindparam("of"), _a.disabled_at.is_(None))
_BURN = Prepared(
    _LIVE.where(_a.last_totp_step < bindparam("step")).values(last_totp_step=bindparam("step"))
)
# an authenticator without a counter sends 0 each time: WebAuthn Level 3, 6.1.1
_NO_COUNTER = and_(_a.sign_count == 0, bindparam("count") == 0)
_BUMP = Prepared(
    _LIVE.where(or_(_a.sign_count < bindparam("count"), _NO_COUNTER)).values(
        sign_count=bindparam("count"), backup_state=bindparam("backed_up")
    )
)


def add_authenticator(
    connection: Connection,
    keyring: Keyring,
    *,
    user_id: int,
    kind: str,
    label: str,
    created: int,
    secret: bytes | None = None,
    public_key: bytes | None = None,
    credential_id: bytes | None = None,
    sign_count: int = 0,
    backup_eligible: bool = False,
    backup_state: bool = False,
    user_verified: bool = False,
    confirmed_at: int | None = None,
    aaguid: str | None = None,
    transports: str | None = None,
) -> int:
    """Bind an authenticator and give its id. It is not used before it is confirmed.

    `secret` is what must be encrypted: the TOTP seed, the phone number, the push token. `aaguid`
    and `transports` (separated by a space) are what registration said of a WebAuthn one.
    `InputError` when the credential is registered already.
    """
    row = {
        "user_id": user_id,
        "kind": kind,
        "label": label,
        "created": created,
        "confirmed_at": confirmed_at,
        "secret": None if secret is None else keyring.encrypt(secret, user_id, _SECRET),
        "public_key": public_key,
        "credential_id": credential_id,
        "sign_count": sign_count,
        "backup_eligible": backup_eligible,
        "backup_state": backup_state,
        "user_verified": user_verified,
        "aaguid": aaguid,
        "transports": transports,
    }
    try:
        return int(connection.execute(_INSERT, row).scalar_one())
    except IntegrityError:
        raise InputError("the credential is registered already, or there is no account") from None


def authenticators_of(connection: Connection, user_id: int) -> list[Authenticator]:
    """Every authenticator of an account, oldest first, disabled ones too."""
    return [Authenticator(*row) for row in _OF_USER.all(connection, {"user_id": user_id})]


def authenticator_by_credential(connection: Connection, credential: bytes) -> Authenticator | None:
    """The authenticator of a WebAuthn credential id: a usernameless login starts here."""
    row = _BY_CREDENTIAL.one(connection, {"credential_id": credential})
    return None if row is None else Authenticator(*row)


def secret_of(keyring: Keyring, authenticator: Authenticator) -> bytes:
    """The secret in clear; `WorkError` when it has none or it does not decrypt."""
    if authenticator.secret is None:
        raise WorkError(f"authenticator {authenticator.id} has no secret")
    return keyring.decrypt(authenticator.secret, authenticator.user_id, _SECRET)


def confirm_authenticator(connection: Connection, authenticator_id: int, now: int) -> bool:
    """Activate it; False when it was confirmed before, or disabled."""
    confirmed = _LIVE.where(_a.confirmed_at.is_(None)).values(confirmed_at=now)
    return connection.execute(confirmed, {"of": authenticator_id}).rowcount == 1


def disable_authenticator(connection: Connection, authenticator_id: int, now: int) -> bool:
    """Take it out of use for good; False when it was disabled before."""
    gone = _LIVE.values(disabled_at=now)
    return connection.execute(gone, {"of": authenticator_id}).rowcount == 1


def rename_authenticator(connection: Connection, authenticator_id: int, label: str) -> bool:
    """Change its label; False when it is disabled."""
    return connection.execute(_LIVE.values(label=label), {"of": authenticator_id}).rowcount == 1


def set_preference(connection: Connection, authenticator_id: int, preference: int) -> bool:
    """Set the person's preference, the highest first; False when it is disabled."""
    chosen = _LIVE.values(preference=preference)
    return connection.execute(chosen, {"of": authenticator_id}).rowcount == 1


def burn_totp_step(connection: Connection, authenticator_id: int, step: int) -> bool:
    """Accept a time step once, and only forward: False when it or a later one was accepted
    (RFC 6238, 5.2; the enrolment's code burns its step too).
    """
    return _BURN.run(connection, {"of": authenticator_id, "step": step}) == 1


def bump_sign_count(
    connection: Connection, authenticator_id: int, count: int, *, backed_up: bool
) -> bool:
    """Move a WebAuthn sign counter forward and note the backup state.

    False when it did not grow: the key was cloned, or this assertion is a replay. An
    authenticator without a counter (0 then, 0 now) passes.
    """
    values = {"of": authenticator_id, "count": count, "backed_up": backed_up}
    return _BUMP.run(connection, values) == 1


_UNUSED = codes.c.used_at.is_(None)
_WITH_PREFIX = Prepared(
    select(codes.c.id, codes.c.kind, codes.c.code_hash, codes.c.set_id).where(
        codes.c.user_id == bindparam("user_id"), codes.c.prefix == bindparam("prefix"), _UNUSED
    )
)
_USE = Prepared(
    update(codes)
    .where(codes.c.id == bindparam("of"), codes.c.user_id == bindparam("whose"), _UNUSED)
    .values(used_at=bindparam("now"))
)


def replace_recovery_codes(
    connection: Connection,
    user_id: int,
    kind: str,
    set_id: str,
    hashed: Sequence[tuple[str, bytes]],
    now: int,
) -> None:
    """Store a new set of (prefix, hash) and delete the account's former one of that kind."""
    old = delete(codes).where(codes.c.user_id == user_id, codes.c.kind == kind)
    connection.execute(old)
    common = {"user_id": user_id, "kind": kind, "set_id": set_id, "created": now}
    rows = [{**common, "prefix": prefix, "code_hash": digest} for prefix, digest in hashed]
    if rows:
        connection.execute(insert(codes), rows)


def recovery_codes_with_prefix(
    connection: Connection, user_id: int, prefix: str
) -> list[RecoveryCode]:
    """The account's unused codes with that prefix: as a rule one, so one hash to check."""
    values = {"user_id": user_id, "prefix": prefix}
    return [RecoveryCode(*row) for row in _WITH_PREFIX.all(connection, values)]


def use_recovery_code(connection: Connection, user_id: int, code_id: int, now: int) -> bool:
    """Spend a code; False when it was spent, revoked, or is somebody else's."""
    values = {"of": code_id, "whose": user_id, "now": now}
    return _USE.run(connection, values) == 1


def recovery_codes_left(connection: Connection, user_id: int, kind: str = "lookup") -> int:
    """How many unused codes of that kind the account has."""
    mine = select(func.count()).where(codes.c.user_id == user_id, codes.c.kind == kind, _UNUSED)
    return int(connection.execute(mine).scalar_one())
