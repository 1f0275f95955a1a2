"""Step-up: a running session proves a second factor for something sensitive, without a new login.

The challenge is a login's, with purpose "step_up": the same limits, attempts, fallback and answers
(`answer`, `codes_due`). The right answer raises the session to AAL2 under a new token; risk signals
and the login history have no part in it. NIST SP 800-63B-4 2.2.3 lets one factor renew a session
within the AAL2 window; after it both are proved again, so `begin_step_up` then asks for the
password as well.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection

from twofa_lab.flow.answer import answer_challenge
from twofa_lab.flow.asking import ask_next, is_locked, keep
from twofa_lab.flow.finish import outcome_event, record_of
from twofa_lab.flow.login import ask
from twofa_lab.flow.pending import Pending
from twofa_lab.flow.service import Flow
from twofa_lab.flow.sessions import check, in_window, proof_of, raise_level, session_hash
from twofa_lab.flow.step import Record, Step, Ticket
from twofa_lab.store import accounts, devices, history, limits
from twofa_lab.store.audit import Event, append
from twofa_lab.store.challenges import Challenge
from twofa_lab.store.engine import read, write

__all__ = ["Confirmed", "answer_step_up", "begin_step_up", "confirm_password"]

_ENDED = "The session has ended. Sign in again."
_NO_FACTOR = "This account has no second factor to ask for. Enrol one first."
_PASSWORD_TOO = "The session is older than a day: type the password as well."  # noqa: S105 - words


class Confirmed(NamedTuple):
    """Whether the password of a signed-in person was right; `retry_ms`: it was not looked at, and
    will not be before then.
    """

    right: bool
    retry_ms: int | None = None


def begin_step_up(flow: Flow, session: str, *, password: str = "", ip: str = "") -> Step:
    """Ask the person of a running session for a second factor; `answer_step_up` takes the answer.

    Refused without a running session, without a factor, or while the account is locked; past the
    AAL2 window without the right password too.
    """
    state = check(flow, session)
    if state is None:
        return Step("refused", text=_ENDED)
    if not in_window(flow, state.created, flow.clock()):
        confirmed = confirm_password(flow, state.user_id, password)
        if not confirmed.right:
            waits = confirmed.retry_ms is not None
            text = "" if waits else _PASSWORD_TOO
            return Step("wait" if waits else "refused", retry_ms=confirmed.retry_ms, text=text)
    return _ask(flow, state.user_id, session_hash(flow, session), ip)


def _ask(flow: Flow, user_id: int, bound: bytes, ip: str) -> Step:
    ticket = Ticket(flow.token(), flow.token())
    with write(flow.engine) as c:
        now = flow.clock()
        account, running = accounts.lock_account(c, user_id), devices.session(c, bound)
        if account is None or running is None or running.ended is not None:
            return Step("refused", text=_ENDED)
        if is_locked(flow, account):
            return Step("refused")
        if now < account.factor_wait_until:
            return Step("wait", retry_ms=account.factor_wait_until)
        pending = Pending(now, device=running.device or "", subject=bound.hex())
        opened = ask_next(flow, c, account, (), ticket, ip=ip)
        record = record_of(pending, opened.refused or None, now, factor=opened.factor)
        if opened.refused:
            append(c, [outcome_event(user_id, now, record, ticket)])
            text = _NO_FACTOR if opened.refused == "abandoned" else ""
            return Step("refused", record, text=text)
        opened, event = keep(flow, c, user_id, opened, ticket, pending, "step_up")
        append(c, [event])
    return ask(flow, user_id, opened, Step("asked", record, opened.ask, ticket), pending)


def answer_step_up(flow: Flow, ticket: Ticket, typed: str) -> Step:
    """Check the answer to a step-up; "signed_in" carries the session's new token and level.

    The token it had before is worth nothing any more. Where the session ended meanwhile a right
    answer is spent and raises nothing.
    """
    return answer_challenge(flow, ticket, typed, "step_up", _raise)


def _raise(
    flow: Flow, c: Connection, found: Challenge, pending: Pending, record: Record, channel: str
) -> tuple[Step, list[Event]]:
    now = flow.clock()
    events = [outcome_event(found.user_id, now, record)]
    proof = proof_of(record.factor, channel)
    raised = raise_level(flow, c, bytes.fromhex(pending.subject), proof, now)
    if raised is None:
        return Step("refused", record, text=_ENDED), events
    token, event = raised
    step = Step("signed_in", record, session=token, session_level=proof.aal)
    return step, [*events, event]


def confirm_password(flow: Flow, user_id: int, password: str) -> Confirmed:
    """Check the password of somebody who is signed in.

    A wrong one counts, and makes wait, as a wrong one at login on a device the account knows: a
    stolen session is no place to guess. The hash is computed outside of transactions.
    """
    with read(flow.engine) as c:
        found = accounts.account(c, user_id)
    stored = flow.passwords.decoy if found is None else found.password_hash
    right = flow.passwords.verify(stored, password)
    with write(flow.engine) as c:
        now = flow.clock()
        account = accounts.lock_account(c, user_id)
        if account is None or account.password_hash != stored or is_locked(flow, account):
            return Confirmed(right=False)
        if now < account.own_device_wait_until:
            return Confirmed(False, account.own_device_wait_until)
        if right:
            limits.reset_password_failures(c, user_id, own_device=True)
        else:
            since = now - flow.rules.signals.burst_window_ms
            history.record_failed_password(c, user_id, now, since)
            limits.count_password_failure(
                c, user_id, now, flow.policy.limits.wait_ms, own_device=True
            )
        append(c, [Event(now, "attempt", user_id, {"factor": "pwd", "right": right})])
    return Confirmed(right)
