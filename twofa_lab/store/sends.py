"""Sends claimed before the call, and webhooks that came before: what must happen once.

A claim must be durable before the network is touched, and its answer after, so `SqlLedger` commits
each step in a short transaction of its own. A webhook is remembered in the transaction that does
what it says, so that one whose work failed may come again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, bindparam, delete, update

from twofa_lab.store.engine import write
from twofa_lab.store.schema import seen_webhooks, send_claims
from twofa_lab.store.statements import Prepared

__all__ = ["Claim", "SqlLedger", "SqlSeen"]


@dataclass(frozen=True, slots=True)
class Claim:
    """A key somebody claimed before; `verification_id` is None until its send was answered."""

    verification_id: str | None


_s = send_claims.c
# the count tells a new key from a known one within one statement, on both databases
_CLAIM = Prepared(
    lambda own_insert: (
        own_insert(send_claims)
        .on_conflict_do_update(index_elements=[_s.key], set_={"claims": _s.claims + 1})
        .returning(_s.claims, _s.verification_id)
    ),
    ("key", "claimed_at", "claims"),
)
_UNANSWERED = (_s.key == bindparam("of"), _s.verification_id.is_(None))
_SETTLE = Prepared(
    update(send_claims).where(*_UNANSWERED).values(verification_id=bindparam("answer"))
)
_RELEASE = Prepared(delete(send_claims).where(*_UNANSWERED))
_SEE = Prepared(
    lambda own_insert: own_insert(seen_webhooks).on_conflict_do_nothing(), ("event_id", "at")
)


class SqlLedger:
    """Remembers which keys were sent; it fits `twofa_lab.delivery.ledger.SendLedger`.

    `clock` gives milliseconds since 1970 UTC. Call it outside any transaction of `write`: on SQLite
    it would wait for that one in vain.

    >>> from twofa_lab.store.engine import connect
    >>> from twofa_lab.store.schema import metadata
    >>> engine = connect("sqlite://")
    >>> with write(engine) as connection:
    ...     metadata.create_all(connection)
    >>> ledger = SqlLedger(engine, lambda: 1_750_000_000_000)
    >>> ledger.claim("login-1/0"), ledger.claim("login-1/0")
    (None, Claim(verification_id=None))
    >>> ledger.settle("login-1/0", "VE1")
    >>> ledger.claim("login-1/0")
    Claim(verification_id='VE1')
    """

    def __init__(self, engine: Engine, clock: Callable[[], int]) -> None:
        self._engine = engine
        self._clock = clock

    def claim(self, key: str) -> Claim | None:
        """Claim a new key and return None, or return what is known of one claimed before."""
        values = {"key": key, "claimed_at": self._clock(), "claims": 1}
        with write(self._engine) as connection:
            ((claims, answer),) = _CLAIM.all(connection, values)
        return None if claims == 1 else Claim(answer)

    def settle(self, key: str, verification_id: str) -> None:
        """The send of a claimed key was answered with that id."""
        with write(self._engine) as connection:
            _SETTLE.run(connection, {"of": key, "answer": verification_id})

    def release(self, key: str) -> None:
        """The send of a claimed key certainly did not happen: it may be tried again."""
        with write(self._engine) as connection:
            _RELEASE.run(connection, {"of": key})


class SqlSeen:
    """Remembers ids of webhooks; it fits `twofa_lab.delivery.webhooks.SeenIds`.

    Within the caller's transaction: what is rolled back was not seen. `now` is in milliseconds.

    >>> from twofa_lab.store.engine import connect
    >>> from twofa_lab.store.schema import metadata
    >>> with write(connect("sqlite://")) as connection:
    ...     metadata.create_all(connection)
    ...     seen = SqlSeen(connection, now=1_750_000_000_000)
    ...     seen.add("vonage:1"), seen.add("vonage:1")
    (True, False)
    """

    def __init__(self, connection: Connection, now: int) -> None:
        self._connection = connection
        self._now = now

    def add(self, event_id: str) -> bool:
        """Remember the id; False where it was known."""
        return _SEE.run(self._connection, {"event_id": event_id, "at": self._now}) == 1
