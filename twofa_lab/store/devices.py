"""Trusted devices and sessions.

A trusted device holds a series and a token; each use rotates the token. A token that was rotated
away and comes back was copied: the series dies (as privacyIDEA does it).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from sqlalchemy import Connection, bindparam, insert, select, update

from twofa_lab.store.schema import history, sessions, trusted_devices

__all__ = [
    "Rotation",
    "Session",
    "TrustedDevice",
    "add_session",
    "end_session",
    "end_sessions",
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
_INSERT = insert(trusted_devices)
_LIVE = _t.revoked_at.is_(None)
_SERIES = update(trusted_devices).where(_t.series == bindparam("of"), _LIVE)
_ROTATE = _SERIES.where(
    _t.token_hash == bindparam("presented"),
    _t.device == bindparam("held_by"),
    _t.expires > bindparam("now"),
).values(token_hash=bindparam("next"), rotated_at=bindparam("now"))
_KILL = (
    _SERIES.where(_t.expires > bindparam("now"))
    .values(revoked_at=bindparam("now"))
    .returning(_t.user_id, _t.device)
)
_OF_USER = (
    select(*(_t[name] for name in TrustedDevice.__slots__))
    .where(_t.user_id == bindparam("user_id"), _LIVE, _t.expires > bindparam("now"))
    .order_by(_t.id)
)
_h = history.c
_TRUST_HISTORY = (
    update(history)
    .where(_h.user_id == bindparam("of"), _h.kind == "device", _h.value == bindparam("which"))
    .values(trusted_at=bindparam("since"))
)
_VOID = (
    update(trusted_devices)
    .where(_t.user_id == bindparam("of"), _LIVE)
    .values(revoked_at=bindparam("now"))
)
_VOID_HISTORY = (
    update(history).where(_h.user_id == bindparam("of"), _h.trusted_at > 0).values(trusted_at=0)
)


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
    connection.execute(_INSERT, row)
    connection.execute(_TRUST_HISTORY, {"of": user_id, "which": device, "since": now})


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
    if connection.execute(_ROTATE, {**values, "now": now}).rowcount == 1:
        return Rotation.ROTATED
    killed = connection.execute(_KILL, {"of": series, "now": now}).first()
    if killed is None:
        return Rotation.UNKNOWN
    user_id, trusted = killed
    connection.execute(_TRUST_HISTORY, {"of": user_id, "which": trusted, "since": 0})
    return Rotation.STOLEN


def revoke_device(connection: Connection, user_id: int, device: str, now: int) -> int:
    """End every series of one device of the account; how many."""
    ended = _VOID.where(_t.device == device)
    connection.execute(_TRUST_HISTORY, {"of": user_id, "which": device, "since": 0})
    return connection.execute(ended, {"of": user_id, "now": now}).rowcount


def void_trust(connection: Connection, user_id: int, now: int) -> int:
    """End every series of the account (password reset, change of factors); how many."""
    connection.execute(_VOID_HISTORY, {"of": user_id})
    return connection.execute(_VOID, {"of": user_id, "now": now}).rowcount


def trusted_devices_of(connection: Connection, user_id: int, now: int) -> list[TrustedDevice]:
    """The account's live series, oldest first."""
    rows = connection.execute(_OF_USER, {"user_id": user_id, "now": now})
    return [TrustedDevice(*row) for row in rows]


_s = sessions.c
_ADD = insert(sessions)
_GET = select(*(_s[name] for name in Session.__slots__)).where(_s.id_hash == bindparam("of"))
_RUNNING = update(sessions).where(_s.id_hash == bindparam("of"), _s.ended.is_(None))
_TOUCH = _RUNNING.values(last_seen=bindparam("now"))
_END = _RUNNING.values(ended=bindparam("now"))


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
    connection.execute(_ADD, row)


def session(connection: Connection, id_hash: bytes) -> Session | None:
    """The session of that hashed id, ended or not; None when there is none."""
    row = connection.execute(_GET, {"of": id_hash}).first()
    return None if row is None else Session(*row)


def touch_session(connection: Connection, id_hash: bytes, now: int) -> bool:
    """Note use of a running session; False when it ended or never was."""
    return connection.execute(_TOUCH, {"of": id_hash, "now": now}).rowcount == 1


def raise_session(connection: Connection, id_hash: bytes, aal: int, amr: str, now: int) -> bool:
    """Step-up: a running session gets a level and methods anew, its clocks restarted."""
    raised = _RUNNING.values(aal=aal, amr=amr, created=now, last_seen=now)
    return connection.execute(raised, {"of": id_hash}).rowcount == 1


def end_session(connection: Connection, id_hash: bytes, now: int) -> bool:
    """Log out; False when it had ended."""
    return connection.execute(_END, {"of": id_hash, "now": now}).rowcount == 1


def end_sessions(connection: Connection, user_id: int, now: int) -> int:
    """End every running session of an account; how many."""
    running = update(sessions).where(_s.user_id == user_id, _s.ended.is_(None))
    return connection.execute(running.values(ended=now)).rowcount
