"""Accounts: make one, look one up, change what belongs to it.

Counting attempts lies in `limits`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from sqlalchemy import Connection, bindparam, delete, exists, insert, select, update
from sqlalchemy.exc import IntegrityError

from twofa_lab.errors import InputError
from twofa_lab.store.keyring import Keyring
from twofa_lab.store.schema import accounts, field_name
from twofa_lab.store.statements import Prepared, lock_until_end

__all__ = [
    "Account",
    "account",
    "account_by_name",
    "add_account",
    "claim_name",
    "email_of",
    "erase_account",
    "lock_account",
    "phone_of",
    "record_prompt",
    "reset_failures",
    "set_email",
    "set_password",
    "set_phone",
    "set_status",
]

_PHONE = field_name(accounts.c.phone)
_EMAIL = field_name(accounts.c.email)


@dataclass(frozen=True, slots=True)
class Account:
    """One row of `accounts`, its columns in order; see `schema` for what each means."""

    user_id: int
    name: str
    email: bytes | None = field(repr=False)
    phone: bytes | None = field(repr=False)
    password_hash: str = field(repr=False)
    created: int
    home_zone: str
    line_type: str | None
    whatsapp: bool
    status: str
    password_changed_at: int
    stranger_failures: int
    stranger_wait_until: int
    own_device_failures: int
    own_device_wait_until: int
    factor_failures: int
    factor_wait_until: int
    prompted_at: int | None
    prompts_declined: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "whatsapp", bool(self.whatsapp))  # SQLite gives 0 or 1


_ACCOUNT = select(*(accounts.c[name] for name in Account.__slots__))
_BY_ID = Prepared(_ACCOUNT.where(accounts.c.user_id == bindparam("user_id")))
_BY_NAME = Prepared(_ACCOUNT.where(accounts.c.name == bindparam("name")))
_LOCKED = Prepared(_ACCOUNT.where(accounts.c.user_id == bindparam("user_id")).with_for_update())
_INSERT = insert(accounts)
_NO_PASSWORD_FAILURES = {
    "stranger_failures": 0,
    "stranger_wait_until": 0,
    "own_device_failures": 0,
    "own_device_wait_until": 0,
}
_NO_FAILURES = {**_NO_PASSWORD_FAILURES, "factor_failures": 0, "factor_wait_until": 0}
_OF = update(accounts).where(accounts.c.user_id == bindparam("of"))
_has_it = accounts.alias("has_it")
_CLAIM_NAME = Prepared(
    _OF.where(~exists().where(_has_it.c.name == bindparam("wanted"))).values(
        name=bindparam("wanted")
    )
)


def add_account(
    connection: Connection,
    keyring: Keyring,
    *,
    user_id: int,
    name: str,
    password_hash: str,
    created: int,
    home_zone: str,
    email: str | None = None,
    phone: str | None = None,
    line_type: str | None = None,
    whatsapp: bool = False,
    status: str = "pending",
) -> None:
    """Insert an account; `InputError` when its name or number is taken.

    `phone` is E.164. The caller draws `user_id` (any 63-bit number), for encryption binds to it.
    """
    row = {
        "user_id": user_id,
        "name": name,
        "email": _seal(keyring, email, user_id, _EMAIL),
        "phone": _seal(keyring, phone, user_id, _PHONE),
        "password_hash": password_hash,
        "created": created,
        "home_zone": home_zone,
        "line_type": line_type,
        "whatsapp": whatsapp,
        "status": status,
        "password_changed_at": created,
    }
    try:
        connection.execute(_INSERT, row)
    except IntegrityError:
        raise InputError("the account's name is taken, or its status is unknown") from None


def account(connection: Connection, user_id: int) -> Account | None:
    """The account of that number, or None."""
    row = _BY_ID.one(connection, {"user_id": user_id})
    return None if row is None else Account(*row)


def lock_account(connection: Connection, user_id: int) -> Account | None:
    """The account, which nobody else changes until this transaction ends.

    Parallel guesses at a password then see each other's failures and wait.
    """
    row = _LOCKED.one(connection, {"user_id": user_id})
    return None if row is None else Account(*row)


def account_by_name(connection: Connection, name: str) -> Account | None:
    """The account of that login name, or None."""
    row = _BY_NAME.one(connection, {"name": name})
    return None if row is None else Account(*row)


def phone_of(keyring: Keyring, who: Account) -> str | None:
    """The account's number in clear, E.164."""
    return _open(keyring, who.phone, who.user_id, _PHONE)


def email_of(keyring: Keyring, who: Account) -> str | None:
    """The account's e-mail address in clear."""
    return _open(keyring, who.email, who.user_id, _EMAIL)


def set_phone(
    connection: Connection,
    keyring: Keyring,
    user_id: int,
    phone: str | None,
    *,
    line_type: str | None,
    whatsapp: bool,
) -> bool:
    """Replace the number and what is known of it; whether the account exists."""
    sealed = _seal(keyring, phone, user_id, _PHONE)
    values = {"phone": sealed, "line_type": line_type, "whatsapp": whatsapp}
    return _set(connection, user_id, **values)


def set_email(connection: Connection, keyring: Keyring, user_id: int, email: str | None) -> bool:
    """Replace the e-mail address; whether the account exists."""
    return _set(connection, user_id, email=_seal(keyring, email, user_id, _EMAIL))


def set_password(connection: Connection, user_id: int, password_hash: str, now: int) -> bool:
    """Replace the password's hash and end the waits of wrong ones; whether the account exists.

    The caller voids trusted devices. Failures at the second factor stay counted: a new password
    must not buy new guesses at a code.
    """
    changed = {"password_hash": password_hash, "password_changed_at": now}
    return _set(connection, user_id, **changed, **_NO_PASSWORD_FAILURES)


def reset_failures(connection: Connection, user_id: int) -> bool:
    """Support's unlocking: every counter of the account starts again; whether it exists."""
    return _set(connection, user_id, **_NO_FAILURES)


def claim_name(connection: Connection, user_id: int, name: str) -> bool:
    """Give an account its name; False when another has it.

    For sign-ups, which keep no name before they are finished.
    """
    # two transactions of PostgreSQL do not see each other's new names: take turns by name
    turn = hashlib.sha256(name.encode()).digest()[:8]
    lock_until_end(connection, int.from_bytes(turn, "big", signed=True))
    return _CLAIM_NAME.run(connection, {"of": user_id, "wanted": name}) == 1


def set_status(connection: Connection, user_id: int, status: str, *, was: str) -> bool:
    """Move the account from one status to another; False when it was not in the first."""
    moved = _OF.where(accounts.c.status == was).values(status=status)
    return connection.execute(moved, {"of": user_id}).rowcount == 1


def record_prompt(connection: Connection, user_id: int, now: int, *, declined: bool) -> bool:
    """Note that the person was offered a factor, and whether they said no."""
    more = accounts.c.prompts_declined + 1 if declined else accounts.c.prompts_declined
    return _set(connection, user_id, prompted_at=now, prompts_declined=more)


def erase_account(connection: Connection, user_id: int) -> bool:
    """Delete the account and every row that belongs to it, save its audit rows."""
    return connection.execute(delete(accounts).where(accounts.c.user_id == user_id)).rowcount == 1


def _set(connection: Connection, user_id: int, **values: object) -> bool:
    return connection.execute(_OF.values(**values), {"of": user_id}).rowcount == 1


def _seal(keyring: Keyring, text: str | None, user_id: int, name: str) -> bytes | None:
    return None if text is None else keyring.encrypt(text.encode(), user_id, name)


def _open(keyring: Keyring, sealed: bytes | None, user_id: int, name: str) -> str | None:
    return None if sealed is None else keyring.decrypt(sealed, user_id, name).decode()
