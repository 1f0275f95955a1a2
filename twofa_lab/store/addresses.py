"""What an address has been up to: every login tried from it in the last hour, over all accounts.

The counts are those of `twofa_lab.risk.address_activity`, taken as the attempts come: of several
in one millisecond, only those that came before are counted. Addresses and names are kept as keyed
hashes, and dropped after the window.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from sqlalchemy import (
    Connection,
    Select,
    and_,
    bindparam,
    case,
    delete,
    distinct,
    func,
    insert,
    select,
)

from twofa_lab.store.keyring import Keyring
from twofa_lab.store.schema import address_attempts
from twofa_lab.store.statements import Prepared

__all__ = ["AddressSeen", "CountAttempt", "count_attempt", "counting"]

MOST_COUNTED = 10_000
"""Attempts of one address that are looked at, the latest: a flood must not slow down its own
defence (assumption). No scorer tells so many apart."""

_DROPPED = 4  # of those gone by, with each attempt: more than come in


class AddressSeen(NamedTuple):
    """Distinct names tried from an address in the window, this attempt's own included, and wrong
    passwords from it before this attempt.
    """

    accounts: int
    failures: int


class CountAttempt(Protocol):
    """Enters an attempt to log in and tells what its address has been up to."""

    def __call__(
        self,
        connection: Connection,
        keyring: Keyring,
        address: str,
        name: str,
        at: int,
        *,
        wrong: bool,
        window_ms: int,
    ) -> AddressSeen: ...


_a = address_attempts.c
_ADD = Prepared(insert(address_attempts), ("address_hash", "name_hash", "at", "wrong"))
_GONE = select(_a.id).where(_a.at <= bindparam("since")).order_by(_a.at).limit(_DROPPED)
# rows that another login is dropping just now are left to it
_DROP = Prepared(delete(address_attempts).where(_a.id.in_(_GONE.with_for_update(skip_locked=True))))


def counting(most: int) -> Select[int, int]:
    """The counts over the latest `most` attempts of an address."""
    latest = (
        select(_a.name_hash, _a.wrong, _a.at)
        .where(
            _a.address_hash == bindparam("address_hash"),
            _a.at > bindparam("since"),
            _a.at <= bindparam("at"),
        )
        .order_by(_a.at.desc())
        .limit(most)
        .subquery()
    )
    wrong_before = and_(latest.c.wrong, latest.c.at < bindparam("at"))
    return select(func.count(distinct(latest.c.name_hash)), func.count(case((wrong_before, 1))))


_COUNT = Prepared(counting(MOST_COUNTED))


def count_attempt(
    connection: Connection,
    keyring: Keyring,
    address: str,
    name: str,
    at: int,
    *,
    wrong: bool,
    window_ms: int,
) -> AddressSeen:
    """Enter an attempt to log in under a name, whether the password was wrong or not, and count
    what its address did in the window before `at` (ms UTC), whose start is left out.

    An unknown address, the empty text, has neither. Attempts in transactions that are still open
    are not seen.

    >>> from twofa_lab.store.engine import connect, write
    >>> from twofa_lab.store.schema import metadata
    >>> engine, keyring = connect("sqlite://"), Keyring.generate()
    >>> with write(engine) as connection:
    ...     metadata.create_all(connection)
    ...     for at, name in enumerate(["ann", "bob", "ann"]):
    ...         found = count_attempt(
    ...             connection, keyring, "203.0.113.9", name, at, wrong=True, window_ms=10)
    >>> found
    AddressSeen(accounts=2, failures=2)
    """
    if not address:
        return AddressSeen(0, 0)
    since = {"since": at - window_ms}
    _DROP.run(connection, since)
    key = {"address_hash": keyring.mac(address.encode(), "address"), "at": at}
    hashed = keyring.mac(name.encode(), "address-name")
    _ADD.run(connection, {**key, "name_hash": hashed, "wrong": wrong})
    row = _COUNT.one(connection, {**key, **since})
    return AddressSeen(*map(int, row)) if row else AddressSeen(0, 0)
