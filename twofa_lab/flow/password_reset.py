"""A forgotten password, a changed one, one set anew: what each of them does, defined once.

A new password ends the waits of wrong ones, voids trusted devices, ends sessions and whatever waits
for a second factor under the old one, and is told to every address. It signs nobody in and stands
in for no second factor (ASVS 6.4.3): wrong codes stay counted, and the next login is asked as any
other.

Who forgot it proves the validated e-mail address by a code of 24 hours (NIST SP 800-63B-4 4.2.1.2).
What an unknown name costs and is told is the same: see `sealed_request`.
"""

from __future__ import annotations

from sqlalchemy import Connection

from twofa_lab.flow import notices
from twofa_lab.flow.passwords import checked_password
from twofa_lab.flow.sealed_request import (
    Reply,
    SealedRequest,
    count_try,
    email_code_right,
    forget_failures,
    lock_named,
    note_failure,
    once,
    open_request,
)
from twofa_lab.flow.service import Flow, on_the_beat
from twofa_lab.flow.sessions import check, session_hash
from twofa_lab.flow.step_up import confirm_password
from twofa_lab.store import accounts, challenges, devices
from twofa_lab.store.accounts import Account
from twofa_lab.store.audit import Event, append
from twofa_lab.store.engine import read, write

__all__ = ["begin_reset", "change_password", "finish_reset", "renew_password", "set_new_password"]


def begin_reset(flow: Flow, name: str, *, ip: str = "") -> str:
    """Send a code to the account's validated e-mail address, if the name has one; the request, for
    `finish_reset`. The page says the same whatever the name: look into your mailbox.
    """
    return open_request(
        flow, "reset", name, ip=ip, event="password_changed", subject="Your new password: code"
    )


@on_the_beat
def finish_reset(flow: Flow, request: str, code: str, new_password: str) -> Reply:
    """Set the new password if the code is right: "done", "refused", or "wait".

    `InputError` for a password that cannot be one, before the code is looked at. The new password
    is hashed whatever the code, so that time tells nothing.
    """
    found = SealedRequest.read(flow, "reset", request)
    password_hash = flow.passwords.hash(checked_password(new_password, found.name))
    letters: list[notices.Letter] = []
    with write(flow.engine) as c:
        now = flow.clock()
        account = lock_named(c, found.name, "reset")
        counted = count_try(flow, c, found, now)
        right = email_code_right(flow, found, code) and not counted.refused
        if account is None or account.password_changed_at > found.created or not right:
            events = _failed(flow, c, found, account, counted.refused, now)
            reply = counted.reply() if counted.refused else Reply("refused")
        elif not once(flow, c, found, "code", now):
            events, reply = [], Reply("refused")
        else:
            forget_failures(flow, c, found.name, "reset")
            letters, events = renew_password(flow, c, account, password_hash, now, "reset")
            reply = Reply("done")
        append(c, events)
    notices.send(flow, letters)
    return reply


def _failed(
    flow: Flow, c: Connection, found: SealedRequest, account: Account | None, why: str, now: int
) -> list[Event]:
    if not why:
        note_failure(flow, c, found, now)
    detail = {"challenge": found.id, "factor": "email", "right": False, "refused": why}
    return [Event(now, "attempt", None if account is None else account.user_id, detail)]


def change_password(flow: Flow, session: str, old: str, new: str) -> Reply:
    """Change the password of a signed-in person who knows the old one: "done", "refused", "wait".

    This session goes on, every other ends. A wrong old password counts as one at login.
    """
    state = check(flow, session)
    if state is None or state.enrol_only:
        return Reply("refused")
    with read(flow.engine) as c:
        account = accounts.account(c, state.user_id)
    password = checked_password(new, "" if account is None else account.name)
    confirmed = confirm_password(flow, state.user_id, old)
    if not confirmed.right:
        waits = confirmed.retry_ms is not None
        return Reply("wait" if waits else "refused", retry_ms=confirmed.retry_ms)
    mine = session_hash(flow, session)
    renewed = _set(flow, state.user_id, password, "changed", but=mine)
    return Reply("done" if renewed else "refused")


def set_new_password(flow: Flow, user_id: int, password: str) -> bool:
    """Set an account's password with all that a reset does; False when there is no such account.

    For operators and simulations: nothing is proved here. `InputError` as in `finish_reset`.
    """
    with read(flow.engine) as c:
        account = accounts.account(c, user_id)
    if account is None:
        return False
    return _set(flow, user_id, checked_password(password, account.name), "reset")


def _set(flow: Flow, user_id: int, password: str, why: str, *, but: bytes | None = None) -> bool:
    password_hash = flow.passwords.hash(password)
    with write(flow.engine) as c:
        account = accounts.lock_account(c, user_id)
        if account is None:
            return False
        letters, events = renew_password(
            flow, c, account, password_hash, flow.clock(), why, but=but
        )
        append(c, events)
    notices.send(flow, letters)
    return True


def renew_password(
    flow: Flow,
    c: Connection,
    account: Account,
    password_hash: str,
    now: int,
    why: str,
    *,
    but: bytes | None = None,
) -> tuple[list[notices.Letter], list[Event]]:
    """All that a new password does, in the caller's transaction: what to send and to audit.

    Every session ends, save the one `but`.
    """
    accounts.set_password(c, account.user_id, password_hash, now)
    trusted = devices.void_trust(c, account.user_id, now)
    ended = devices.end_sessions(c, account.user_id, now, but=but)
    parked = challenges.close_challenges_of(c, account.user_id)
    detail = {"what": why, "devices": trusted, "sessions": ended, "challenges": parked}
    letters, told = notices.tell(flow, c, account, "password_changed", now)
    return letters, [Event(now, "password_changed", account.user_id, detail), *told]
