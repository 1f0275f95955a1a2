"""The app's side of a push: what the phone answers to a request.

The request carries no number; the person reads it off the login page and types it into the app. The
app proves that it is the enrolled one by a keyed hash under the secret it got at enrolment. The
answer lets nobody in by itself: the page that asked completes the login, with `answer`.
"""

from __future__ import annotations

import hmac
from dataclasses import replace

from sqlalchemy import Connection

from twofa_lab.factors import push
from twofa_lab.flow import notices
from twofa_lab.flow.asking import push_key
from twofa_lab.flow.finish import outcome_event, record_of
from twofa_lab.flow.pending import Pending
from twofa_lab.flow.service import Flow
from twofa_lab.store import accounts, authenticators, challenges, limits
from twofa_lab.store.audit import Event, append
from twofa_lab.store.challenges import Challenge
from twofa_lab.store.counter import SqlCounter
from twofa_lab.store.engine import write

__all__ = ["proof_of_app", "push_answer"]


def proof_of_app(secret: bytes, request_id: str, number: str, *, approved: bool) -> bytes:
    """What an app sends beside its answer (HMAC-SHA256)."""
    text = f"{request_id}\n{number}\n{approved}".encode()
    return hmac.digest(secret, text, "sha256")


def push_answer(flow: Flow, request_id: str, number: str, proof: bytes, *, approved: bool) -> str:
    """Take the phone's answer: "approved", "denied", "wrong_number", "expired" or "used".

    One request takes one answer. A wrong number counts as a failed attempt; that and a denial end
    the login, and few of them stop further requests.
    """
    if not (request_id.isascii() and request_id.isprintable() and number.isascii()):
        return "used"
    with write(flow.engine) as c:
        now = flow.clock()
        owner = challenges.owner_of(c, request_id)
        if owner is None or accounts.lock_account(c, owner) is None:
            return "used"
        found = challenges.by_id(c, request_id)  # as it is once other answers had their turn
        if found is None or found.factor != "push" or found.authenticator_id is None:
            return "used"
        if not _is_app(flow, c, found, request_id, number, proof, approved=approved):
            return "used"
        if found.state != "open":
            return "used"
        pending = Pending.unseal(flow.keyring, found.user_id, found.context)
        asked = push.PushRequest(
            found.id,
            found.expected or b"",
            found.created,
            answered=pending.approved,
        )
        verdict = push.check(
            asked,
            approved=approved,
            typed=number,
            now_ms=now,
            keys=flow.keyring,
            rules=flow.rules.push,
        )
        events: list[Event] = []
        if verdict is push.PushVerdict.APPROVED:
            sealed = replace(pending, approved=True).seal(flow.keyring, found.user_id)
            challenges.set_context(c, found.id, found.session_binding, sealed)
        elif verdict in {push.PushVerdict.DENIED, push.PushVerdict.WRONG_NUMBER}:
            wrong = verdict is push.PushVerdict.WRONG_NUMBER
            events = _ended(flow, c, found, pending, now, wrong=wrong)
        letters = notices.alarm(flow, c, events)
        append(c, events)
    notices.send(flow, letters)
    return str(verdict)


def _is_app(
    flow: Flow,
    c: Connection,
    found: Challenge,
    request_id: str,
    number: str,
    proof: bytes,
    *,
    approved: bool,
) -> bool:
    for one in authenticators.authenticators_of(c, found.user_id):
        if one.id == found.authenticator_id and one.usable:
            secret = authenticators.secret_of(flow.keyring, one)
            expected = proof_of_app(secret, request_id, number, approved=approved)
            return hmac.compare_digest(expected, proof)
    return False


def _ended(
    flow: Flow, c: Connection, found: Challenge, pending: Pending, now: int, *, wrong: bool
) -> list[Event]:
    """The request was refused by its owner, or answered with another number."""
    rules = flow.policy.limits
    if wrong:
        limits.count_attempt(c, found, now, rules.wait_ms, rules.lock_after)
        limits.record_failure(c, found, now)
    challenges.close_challenge(c, found.id, found.session_binding, "failed")
    SqlCounter(c, flow.keyring).add(push_key(found.user_id) + ":denied", now)
    record = record_of(pending, "failed", now, factor="push", attempts=pending.attempts + wrong)
    detail = {"challenge": found.id, "factor": "push", "right": False, "denied": not wrong}
    return [
        Event(now, "attempt", found.user_id, detail),
        outcome_event(found.user_id, now, record),
    ]
