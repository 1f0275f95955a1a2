"""Notices to people, approvals by two of the staff, and tidying up."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, insert, or_, select, update

from twofa_lab.catalog.factors import MAX_CLOCK_STEP_MS
from twofa_lab.errors import InputError
from twofa_lab.store.schema import (
    accounts,
    address_attempts,
    approvals,
    challenges,
    failed_passwords,
    notices,
    rate_events,
    seen_webhooks,
    send_claims,
    sessions,
    trusted_devices,
)

__all__ = [
    "Approval",
    "add_notice",
    "approval",
    "approve",
    "notices_of",
    "request_approval",
    "tidy",
    "use_approval",
]


@dataclass(frozen=True, slots=True)
class Notice:
    """What an account was told, when, and to which masked address."""

    user_id: int
    at: int
    kind: str
    channel: str
    masked_address: str


@dataclass(frozen=True, slots=True)
class Approval:
    """One row of `approvals`, its columns in order; see `schema` for what each means."""

    id: int
    user_id: int
    action: str
    reason: str
    requested_by: str
    requested_at: int
    expires: int
    approved_by: str | None
    approved_at: int | None
    used_at: int | None


_n = notices.c
_ADD_NOTICE = insert(notices)
_NOTICES = (
    select(*(_n[name] for name in Notice.__slots__))
    .where(_n.user_id == bindparam("user_id"))
    .order_by(_n.id)
)
_p = approvals.c
_ASK = insert(approvals).returning(_p.id)
_GET = select(*(_p[name] for name in Approval.__slots__)).where(_p.id == bindparam("of"))
_VALID = update(approvals).where(
    _p.id == bindparam("of"),
    _p.expires > bindparam("now"),
    _p.requested_at <= bindparam("now") + MAX_CLOCK_STEP_MS,
)
_APPROVE = _VALID.where(_p.approved_by.is_(None), _p.requested_by != bindparam("who")).values(
    approved_by=bindparam("who"), approved_at=bindparam("now")
)
_USE = _VALID.where(
    _p.user_id == bindparam("whose"),
    _p.action == bindparam("what"),
    _p.approved_by.is_not(None),
    _p.used_at.is_(None),
).values(used_at=bindparam("now"))


def add_notice(
    connection: Connection, *, user_id: int, at: int, kind: str, channel: str, masked_address: str
) -> None:
    """Note that the account was told something (a binding, a recovery, a suspicious login)."""
    row = {
        "user_id": user_id,
        "at": at,
        "kind": kind,
        "channel": channel,
        "masked_address": masked_address,
    }
    connection.execute(_ADD_NOTICE, row)


def notices_of(connection: Connection, user_id: int) -> list[Notice]:
    """Every notice to the account, oldest first."""
    return [Notice(*row) for row in connection.execute(_NOTICES, {"user_id": user_id})]


def request_approval(
    connection: Connection,
    *,
    user_id: int,
    action: str,
    reason: str,
    requested_by: str,
    now: int,
    expires: int,
) -> int:
    """Ask a colleague to approve an action on an account; the request's id."""
    if not requested_by or not reason:
        raise InputError("an approval needs who asks for it and why")
    row = {
        "user_id": user_id,
        "action": action,
        "reason": reason,
        "requested_by": requested_by,
        "requested_at": now,
        "expires": expires,
    }
    return int(connection.execute(_ASK, row).scalar_one())


def approve(connection: Connection, approval_id: int, approved_by: str, now: int) -> bool:
    """Approve it: by somebody else, once, before it expires; else False."""
    if not approved_by:
        raise InputError("an approval needs who gives it")
    values = {"of": approval_id, "who": approved_by, "now": now}
    return connection.execute(_APPROVE, values).rowcount == 1


def use_approval(
    connection: Connection, approval_id: int, *, user_id: int, action: str, now: int
) -> bool:
    """Spend an approved request on that very account and action, once."""
    values = {"of": approval_id, "whose": user_id, "what": action, "now": now}
    return connection.execute(_USE, values).rowcount == 1


def approval(connection: Connection, approval_id: int) -> Approval | None:
    """The request of that id, or None."""
    row = connection.execute(_GET, {"of": approval_id}).first()
    return None if row is None else Approval(*row)


def tidy(connection: Connection, before: int) -> int:
    """Delete what was over before that time: challenges (and their messages), sessions, trusted
    devices, wrong passwords, rate events, attempts by address, claims of sends, webhooks seen,
    sign-ups that nobody finished. How many rows.

    The audit keeps its own record. What was tidied away is no longer known as sent or seen, so
    leave longer than a login lasts or a provider repeats a webhook.
    """
    unfinished = (accounts.c.status == "pending", accounts.c.created < before)
    over = (
        delete(accounts).where(*unfinished),
        delete(challenges).where(challenges.c.expires < before),
        delete(sessions).where(sessions.c.ended < before),
        delete(trusted_devices).where(
            or_(trusted_devices.c.expires < before, trusted_devices.c.revoked_at < before)
        ),
        delete(failed_passwords).where(failed_passwords.c.at < before),
        delete(rate_events).where(rate_events.c.at < before),
        delete(address_attempts).where(address_attempts.c.at < before),
        delete(send_claims).where(send_claims.c.claimed_at < before),
        delete(seen_webhooks).where(seen_webhooks.c.at < before),
    )
    return sum(connection.execute(statement).rowcount for statement in over)
