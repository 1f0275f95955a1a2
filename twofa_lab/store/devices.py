"""Trusted devices and sessions.

A trusted device holds a series and a token; each use rotates the token. A token that was rotated
away and comes back was copied: the series dies (as privacyIDEA does it).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from sqlalchemy import Connection, bindparam, insert, select, update

from twofa_lab.catalog.factors import MAX_CLOCK_STEP_MS
from twofa_lab.store.schema import history, sessions, trusted_devices
from twofa_lab.store.statements import Prepared

__all__ = [
    "Rotation",
    "Session",
    "TrustedDevice",
    "add_session",
    "end_session",
    "end_sessions",
    "lower_session",
    "raise_session",
    "revoke_device",
    "rotate_token",
    "session",
    "touch_session",
    "trust_device",
    "trusted_devices_of",
    "void_trust",
]


@dataclass(frozen=True, slots=True)
class TrustedDevice:
    """One trusted series of an account, without its token's hash."""

    id: int
    user_id: int
    device: str
    series: str = field(repr=False)
    created: int
    expires: int
    rotated_at: int | None
    revoked_at: int | None


@dataclass(frozen=True, slots=True)
class Session:
    """One row of `sessions`, its columns in order; see `schema` for what each means."""

    id_hash: bytes = field(repr=False)
    user_id: int
    aal: int
    amr: str
    device: str | None
    created: int
    last_seen: int
    ended: int | None


class Rotation(StrEnum):
    """What became of a presented device token."""

    ROTATED = "rotated"
    STOLEN = "stolen"
    UNKNOWN = "unknown"


_t = trusted_devices.c
_LIVE = _t.revoked_at.is_(None)
_INSERT = Prepared(
    insert(trusted_devices), ("user_id", "device", "series", "token_hash", "created", "expires")
)
_SERIES = update(trusted_devices).where(
    _t.series == bindparam("of"),
    _LIVE,
    _t.expires > bindparam("now"),
    _t.created <= bindparam("now") + MAX_CLOCK_STEP_MS,
)
_ROTATE = Prepared(
    _SERIES.where(
        _t.token_hash == bindparam("presented"), _t.device == bindparam("held_by")
    ).values(token_hash=bindparam("next"), rotated_at=bindparam("now"))
)
_KILL = Prepared(_SERIES.values(revoked_at=bindparam("now")).returning(_t.user_id, _t.device))
_OF_USER = Prepared(
    select(*(_t[name] for name in TrustedDevice.__slots__))
    .where(_t.user_id == bindparam("user_id"), _LIVE, _t.expires > bindparam("now"))
    .order_by(_t.id)
)
_ALL = update(trusted_devices).where(_t.user_id == bindparam("of"), _LIVE)
_VOID = Prepared(_ALL.values(revoked_at=bindparam("now")))
_REVOKE = Prepared(_ALL.where(_t.device == bindparam("which")).values(revoked_at=bindparam("now")))

_h = history.c
_DEVICES = update(history).where(_h.user_id == bindparam("of"), _h.kind == "device")
_TRUST_HISTORY = Prepared(
    _DEVICES.where(_h.value == bindparam("which")).values(trusted_at=bindparam("since"))
)
_VOID_HISTORY = Prepared(_DEVICES.where(_h.trusted_at > 0).values(trusted_at=0))


def trust_device(
    connection: Connection,
    *,
    user_id: int,
    device: str,
    series: str,
    token_hash: bytes,
    now: int,
    expires: int,
) -> None:
    """Start a series for a device that the account's history knows."""
    row = {
        "user_id": user_id,
        "device": device,
        "series": series,
        "token_hash": token_hash,
        "created": now,
        "expires": expires,
    }
    _INSERT.run(connection, row)
    _TRUST_HISTORY.run(connection, {"of": user_id, "which": device, "since": now})


def rotate_token(
    connection: Connection,
    *,
    series: str,
    device: str,
    presented: bytes,
    following: bytes,
    now: int,
) -> Rotation:
    """Exchange the presented token's hash for the following one's, once.

    A live series met with any other token, or from another device, is revoked: `STOLEN`.
    """
    values = {"of": series, "held_by": device, "presented": presented, "next": following}
    if _ROTATE.run(connection, {**values, "now": now}) == 1:
        return Rotation.ROTATED
    killed = _KILL.one(connection, {"of": series, "now": now})
    if killed is None:
        return Rotation.UNKNOWN
    user_id, trusted = killed
    _TRUST_HISTORY.run(connection, {"of": user_id, "which": trusted, "since": 0})
    return Rotation.STOLEN


def revoke_device(connection: Connection, user_id: int, device: str, now: int) -> int:
    """End every series of one device of the account; how many."""
    _TRUST_HISTORY.run(connection, {"of": user_id, "which": device, "since": 0})
    return _REVOKE.run(connection, {"of": user_id, "which": device, "now": now})


def void_trust(connection: Connection, user_id: int, now: int) -> int:
    """End every series of the account (password reset, change of factors); how many."""
    _VOID_HISTORY.run(connection, {"of": user_id})
    return _VOID.run(connection, {"of": user_id, "now": now})


def trusted_devices_of(connection: Connection, user_id: int, now: int) -> list[TrustedDevice]:
    """The account's live series, oldest first."""
    rows = _OF_USER.all(connection, {"user_id": user_id, "now": now})
    return [TrustedDevice(*row) for row in rows]


_s = sessions.c
_ADD = Prepared(insert(sessions), [name for name in Session.__slots__ if name != "ended"])
_GET = Prepared(
    select(*(_s[name] for name in Session.__slots__)).where(_s.id_hash == bindparam("of"))
)
_RUNNING = update(sessions).where(_s.id_hash == bindparam("of"), _s.ended.is_(None))
_TOUCH = Prepared(_RUNNING.values(last_seen=bindparam("now")))
_LOWER = Prepared(_RUNNING.where(_s.aal > 1).values(aal=1))
_END = Prepared(_RUNNING.values(ended=bindparam("now")))


def add_session(
    connection: Connection,
    *,
    id_hash: bytes,
    user_id: int,
    aal: int,
    amr: str,
    now: int,
    device: str | None = None,
) -> None:
    """Start a session, tagged with its assurance level and the methods used (RFC 8176)."""
    row = {
        "id_hash": id_hash,
        "user_id": user_id,
        "aal": aal,
        "amr": amr,
        "device": device,
        "created": now,
        "last_seen": now,
    }
    _ADD.run(connection, row)


def session(connection: Connection, id_hash: bytes) -> Session | None:
    """The session of that hashed id, ended or not; None when there is none."""
    row = _GET.one(connection, {"of": id_hash})
    return None if row is None else Session(*row)


def touch_session(connection: Connection, id_hash: bytes, now: int) -> bool:
    """Note use of a running session; False when it ended or never was."""
    return _TOUCH.run(connection, {"of": id_hash, "now": now}) == 1


def raise_session(
    connection: Connection, id_hash: bytes, aal: int, amr: str, now: int, following: bytes
) -> bool:
    """Step-up: a running session gets a level and methods anew, its clocks restarted.

    It goes on under the hashed id `following`, for the token it had before must not be worth more
    than it was (ASVS 7.2.4). False when it ended meanwhile.
    """
    raised = _RUNNING.values(id_hash=following, aal=aal, amr=amr, created=now, last_seen=now)
    return connection.execute(raised, {"of": id_hash}).rowcount == 1


def lower_session(connection: Connection, id_hash: bytes) -> bool:
    """The window of what a running session proved is over: it is AAL1 from now on."""
    return _LOWER.run(connection, {"of": id_hash}) == 1


def end_session(connection: Connection, id_hash: bytes, now: int) -> bool:
    """Log out; False when it had ended."""
    return _END.run(connection, {"of": id_hash, "now": now}) == 1


def end_sessions(
    connection: Connection, user_id: int, now: int, *, but: bytes | None = None
) -> int:
    """End every running session of an account, or all `but` one; how many."""
    running = update(sessions).where(_s.user_id == user_id, _s.ended.is_(None))
    if but is not None:
        running = running.where(_s.id_hash != but)
    return connection.execute(running.values(ended=now)).rowcount
