"""Counting events against a limit: sends per number, per address, per prefix."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, delete, func, insert, select

from twofa_lab.store.keyring import Keyring
from twofa_lab.store.schema import rate_events
from twofa_lab.store.statements import Prepared, lock_until_end

__all__ = ["SqlCounter"]

_r = rate_events.c
_ADD = Prepared(insert(rate_events), ("key", "at"))
_SO_FAR = select(func.count()).where(_r.key == bindparam("key"), _r.at >= bindparam("since"))
_ADD_WITHIN = Prepared(
    insert(rate_events).from_select(
        ["key", "at"],
        select(bindparam("key", type_=_r.key.type), bindparam("at", type_=_r.at.type)).where(
            _SO_FAR.scalar_subquery() < bindparam("limit")
        ),
    )
)
_COUNT = Prepared(_SO_FAR)
_TIMES = Prepared(select(_r.at).where(_r.key == bindparam("key")).order_by(_r.at))
_FORGET = Prepared(delete(rate_events).where(_r.key == bindparam("key")))


class SqlCounter:
    """Counts events by key, inside the caller's transaction; times in milliseconds UTC. It fits
    `twofa_lab.delivery.limits.Counter`. Keys hold numbers and addresses, so only their keyed hash
    is stored.

    >>> from twofa_lab.store.engine import connect, write
    >>> from twofa_lab.store.schema import metadata
    >>> engine = connect("sqlite://")
    >>> with write(engine) as connection:
    ...     metadata.create_all(connection)
    ...     counter = SqlCounter(connection, Keyring.generate())
    ...     counter.add("number:+15005550006", at=1_000)
    ...     counter.count("number:+15005550006", since=1_000)
    1
    """

    def __init__(self, connection: Connection, keyring: Keyring) -> None:
        self._connection = connection
        self._keyring = keyring

    def add(self, key: str, at: int) -> None:
        """Enter one event."""
        _ADD.run(self._connection, {"key": self._hash(key), "at": at})

    def count(self, key: str, since: int) -> int:
        """How many events the key has had from `since` on, that time included."""
        values = {"key": self._hash(key), "since": since}
        return int(_COUNT.value(self._connection, values))

    def times(self, key: str) -> list[int]:
        """When the key had its events, earliest first."""
        return [at for (at,) in _TIMES.all(self._connection, {"key": self._hash(key)})]

    def forget(self, key: str) -> None:
        """Drop every event of the key: what it counted starts again."""
        _FORGET.run(self._connection, {"key": self._hash(key)})

    def add_within(self, key: str, at: int, since: int, limit: int) -> bool:
        """Enter one event unless the key has had `limit` from `since` on; whether it was entered.

        Holds under concurrency, where `count` and then `add` does not.
        """
        hashed = self._hash(key)
        # two transactions of PostgreSQL do not see each other's new rows: take turns by key
        lock_until_end(self._connection, int.from_bytes(hashed[:8], "big", signed=True))
        values = {"key": hashed, "at": at, "since": since, "limit": limit}
        return _ADD_WITHIN.run(self._connection, values) == 1

    def _hash(self, key: str) -> bytes:
        return self._keyring.mac(key.encode(), "rate")
