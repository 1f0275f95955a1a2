"""Counting attempts: five a challenge, an escalating wait an account, a hard stop an authenticator.

An attempt is counted *before* the code is checked, so parallel guesses cannot slip past, and all
three counters move in one transaction. A right code gives the account and the authenticator their
counters back; the challenge's never falls, and neither a resend nor a new session touches any.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, null, select, update

from twofa_lab.catalog.factors import MAX_CLOCK_STEP_MS
from twofa_lab.store.challenges import Challenge
from twofa_lab.store.schema import (
    MAX_CONSECUTIVE_FAILURES,
    accounts,
    authenticators,
    challenges,
)
from twofa_lab.store.statements import Prepared

__all__ = [
    "Attempt",
    "Failure",
    "count_attempt",
    "count_password_failure",
    "record_failure",
    "record_success",
    "reset_password_failures",
]


class Attempt(NamedTuple):
    """Whether an answer to a challenge may be checked, why not, and how many are left after it.

    `refused` is one of: empty (go on), `locked` (the account's hard stop, or support locked or
    closed it), `throttled` (the account waits), `disabled` (the authenticator's hard stop), `spent`
    (no attempts left), `expired`, `closed` (consumed, failed, cancelled, or not this session's).
    """

    refused: str
    left: int

    @property
    def allowed(self) -> bool:
        return not self.refused


class Failure(NamedTuple):
    """After a wrong answer: attempts left, and whether the authenticator was disabled by it."""

    left: int
    disabled: bool


_user = accounts.c
_MINE = update(accounts).where(_user.user_id == bindparam("of"))
_OPEN = (
    _user.factor_failures < bindparam("limit"),
    _user.status != "closed",
    _user.status != "locked",
)
_COUNT_ACCOUNT = Prepared(
    _MINE.where(*_OPEN, _user.factor_wait_until <= bindparam("now"))
    .values(factor_failures=_user.factor_failures + 1)
    .returning(_user.factor_failures)
)
_UNCOUNT_ACCOUNT = Prepared(_MINE.values(factor_failures=_user.factor_failures - 1))
_THROTTLE = Prepared(_MINE.values(factor_wait_until=bindparam("until")))
_RESET_ACCOUNT = Prepared(_MINE.values(factor_failures=0, factor_wait_until=0))
_WAITS_ONLY = Prepared(select(_user.user_id).where(_user.user_id == bindparam("of"), *_OPEN))

_auth = authenticators.c
_failed = _auth.consecutive_failures
_THIS = update(authenticators).where(_auth.id == bindparam("of"))
_ENABLED = _THIS.where(_auth.disabled_at.is_(None))
_COUNT_AUTHENTICATOR = Prepared(
    _ENABLED.where(_failed < MAX_CONSECUTIVE_FAILURES).values(consecutive_failures=_failed + 1)
)
_UNCOUNT_AUTHENTICATOR = Prepared(_THIS.values(consecutive_failures=_failed - 1))
_RESET_AUTHENTICATOR = Prepared(_THIS.values(consecutive_failures=0, last_used_at=bindparam("now")))
_STOP = Prepared(
    _ENABLED.where(_failed >= MAX_CONSECUTIVE_FAILURES).values(disabled_at=bindparam("now"))
)

_ch = challenges.c
_BOUND = (_ch.id == bindparam("of"), _ch.session_binding == bindparam("binding"))
_COUNT_CHALLENGE = Prepared(
    update(challenges)
    .where(
        *_BOUND,
        _ch.state == "open",
        _ch.expires > bindparam("now"),
        _ch.created <= bindparam("now") + MAX_CLOCK_STEP_MS,
        _ch.attempts < _ch.max_attempts,
    )
    .values(attempts=_ch.attempts + 1)
    .returning((_ch.max_attempts - _ch.attempts).label("left"))
)
_FAIL = Prepared(
    update(challenges)
    .where(_ch.id == bindparam("of"), _ch.state == "open", _ch.attempts >= _ch.max_attempts)
    .values(state="failed", context=null())
)
_LEFT = Prepared(select(_ch.max_attempts - _ch.attempts, _ch.state, _ch.expires).where(*_BOUND))


def count_attempt(
    connection: Connection,
    answered: Challenge,
    now: int,
    wait_ms: Callable[[int], int],
    lock_after: int = MAX_CONSECUTIVE_FAILURES,
) -> Attempt:
    """Count one answer against the account, the authenticator and the challenge, or refuse it.

    `wait_ms` gives the pause after that many consecutive failures of the account (0: none), and
    from `lock_after` on nothing is checked any more; the caller owns both rules. A refused answer
    is counted nowhere, so that nobody can throttle an account by answering challenges that are
    over.
    """
    mine = {"of": answered.user_id}
    failures = _COUNT_ACCOUNT.value(connection, {**mine, "now": now, "limit": lock_after})
    if failures is None:
        waits_only = _WAITS_ONLY.one(connection, {**mine, "limit": lock_after}) is not None
        return Attempt("throttled" if waits_only else "locked", 0)
    device = answered.authenticator_id
    if device is not None and _COUNT_AUTHENTICATOR.run(connection, {"of": device}) < 1:
        _UNCOUNT_ACCOUNT.run(connection, mine)
        return Attempt("disabled", 0)
    this = {"of": answered.id, "binding": answered.session_binding}
    left = _COUNT_CHALLENGE.value(connection, {**this, "now": now})
    if left is None:
        _UNCOUNT_ACCOUNT.run(connection, mine)
        if device is not None:
            _UNCOUNT_AUTHENTICATOR.run(connection, {"of": device})
        return Attempt(_why(connection, this, now), 0)
    if (wait := wait_ms(failures)) > 0:
        _THROTTLE.run(connection, {**mine, "until": now + wait})
    return Attempt("", left)


def _why(connection: Connection, this: Mapping[str, object], now: int) -> str:
    row = _LEFT.one(connection, this)
    if row is None:
        return "closed"
    left, state, expires = row
    if left <= 0 and state != "consumed":
        return "spent"
    if state != "open":
        return "closed"
    return "expired" if expires <= now else "closed"


def record_failure(connection: Connection, answered: Challenge, now: int) -> Failure:
    """A counted answer was wrong: close a spent challenge, disable an authenticator at its stop."""
    disabled = False
    if answered.authenticator_id is not None:
        stop = {"of": answered.authenticator_id, "now": now}
        disabled = _STOP.run(connection, stop) == 1
    _FAIL.run(connection, {"of": answered.id})
    this = {"of": answered.id, "binding": answered.session_binding}
    row = _LEFT.one(connection, this)
    return Failure(0 if row is None else max(int(row[0]), 0), disabled)


def record_success(connection: Connection, answered: Challenge, now: int) -> None:
    """A counted answer was right: reset the account's and the authenticator's counters.

    Call it once `consume_challenge` said yes, in the same transaction.
    """
    _RESET_ACCOUNT.run(connection, {"of": answered.user_id})
    if answered.authenticator_id is not None:
        _RESET_AUTHENTICATOR.run(connection, {"of": answered.authenticator_id, "now": now})


_COUNT_PASSWORD = {
    own: Prepared(_MINE.values({failures: failures + 1}).returning(failures))
    for own, failures in ((True, _user.own_device_failures), (False, _user.stranger_failures))
}
_PASSWORD_WAIT = {
    True: Prepared(_MINE.values(own_device_wait_until=bindparam("until"))),
    False: Prepared(_MINE.values(stranger_wait_until=bindparam("until"))),
}
_RESET_PASSWORD = {
    True: Prepared(_MINE.where(_user.own_device_failures > 0).values(own_device_failures=0)),
    False: Prepared(_MINE.where(_user.stranger_failures > 0).values(stranger_failures=0)),
}


def count_password_failure(
    connection: Connection,
    user_id: int,
    now: int,
    wait_ms: Callable[[int], int],
    *,
    own_device: bool,
) -> int:
    """One more wrong password in a row, from a device the account knows or from a stranger's.

    How many that makes on that side (0 for an unknown account). `wait_ms` as in `count_attempt`.
    """
    mine = {"of": user_id}
    failures = _COUNT_PASSWORD[own_device].value(connection, mine)
    if failures is None:
        return 0
    if (wait := wait_ms(failures)) > 0:
        _PASSWORD_WAIT[own_device].run(connection, {**mine, "until": now + wait})
    return int(failures)


def reset_password_failures(connection: Connection, user_id: int, *, own_device: bool) -> None:
    """A login completed: the counter of that side starts again."""
    _RESET_PASSWORD[own_device].run(connection, {"of": user_id})
