"""Sign-in with a resident passkey and no name: one act, two factors, AAL2.

The key proves itself and its user (PIN or finger: without the UV flag it is one factor and refused
here, NIST SP 800-63B-4 3.1.7). The answer names the account by its user handle; risk is read all
the same, enters the history, and still denies where the policy denies.

A challenge is no row, for whoever loads the page gets one. It is a keyed hash of the ticket (time
and 192 random bits), so only a ticket of ours has one, for the ceremony's five minutes; the ticket
is spent in the transaction that opens the session, once. The browser's answer holds the challenge
and not the ticket, so a copied answer is worth nothing without it (ASVS 6.6.2).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from twofa_lab.delivery.limits import network_of
from twofa_lab.errors import InputError
from twofa_lab.factors import passkeys
from twofa_lab.factors.passkey_refusals import CeremonyError
from twofa_lab.factors.passkeys import Assertion, RelyingParty
from twofa_lab.factors.ports import is_alive
from twofa_lab.flow import notices
from twofa_lab.flow.asking import is_locked
from twofa_lab.flow.checks import passkey_record
from twofa_lab.flow.finish import complete
from twofa_lab.flow.login import Entry, Request
from twofa_lab.flow.service import HOUR, Flow
from twofa_lab.flow.sessions import proof_of
from twofa_lab.flow.step import Record, Step
from twofa_lab.risk.decision import DENY
from twofa_lab.store import accounts
from twofa_lab.store import authenticators as kept
from twofa_lab.store.audit import Event, append
from twofa_lab.store.counter import SqlCounter
from twofa_lab.store.engine import write
from twofa_lab.tables import DECISIONS

__all__ = ["PasskeyAsked", "begin_passkey_login", "finish_passkey_login"]

TRIES_AN_HOUR = 100
"""Answers taken from one address (an IPv6 /64) in an hour: assumption, an office signing in. A
signature is not guessed; the limit is on the work and the rows that nonsense can cause."""


@dataclass(frozen=True, slots=True)
class PasskeyAsked:
    """What the page needs: WebAuthn `options` (JSON) for the browser, and the ticket to come back
    with; keep it where no other page reads it.
    """

    options: str = field(repr=False)
    ticket: str = field(repr=False)


def begin_passkey_login(flow: Flow) -> PasskeyAsked:
    """Options that any resident passkey of this site may answer. Nothing is stored."""
    ticket = f"{flow.clock()}.{flow.token()}"
    challenge = _challenge(flow, ticket)
    ceremony = passkeys.authentication(_verifying(flow), (), lambda size: challenge[:size])
    return PasskeyAsked(ceremony.options, ticket)


def finish_passkey_login(flow: Flow, ticket: str, response: str, request: Request) -> Step:
    """Check the browser's answer (JSON): "signed_in" at AAL2, or "refused".

    `request` says where the login comes from; its name and password are not looked at. An unknown
    key, a wrong signature, a spent ticket and a locked account are refused alike.
    """
    with write(flow.engine) as c:
        now = flow.clock()
        if not _room(flow, c, request.ip, now):
            append(c, [_attempt(None, now, "too many from this address")])
            return Step("refused", Record(outcome="rate_limited"))
        step, events = _checked(flow, c, ticket, response, request, now)
        letters = notices.alarm(flow, c, events)
        append(c, events)
    notices.send(flow, letters)
    return step


def _checked(
    flow: Flow, c: Connection, ticket: str, response: str, request: Request, now: int
) -> tuple[Step, list[Event]]:
    try:
        claimed = passkeys.presented(response).credential_id
    except CeremonyError as error:
        return Step("refused"), [_attempt(None, now, str(error.reason))]
    one = kept.authenticator_by_credential(c, claimed)
    account = None if one is None else accounts.lock_account(c, one.user_id)
    if one is None or account is None or not one.usable:
        return Step("refused"), [_attempt(None, now, "unknown key")]
    if not _is_alive(flow, ticket, now):
        return Step("refused"), [_attempt(one.user_id, now, "expired")]
    try:
        record = passkey_record(flow, one)
        challenge = _challenge(flow, ticket)
        verified = passkeys.verify_authentication(
            _verifying(flow), challenge, response, record, usernameless=True
        )
    except CeremonyError as error:
        return Step("refused"), [_attempt(one.user_id, now, str(error.reason))]
    if not _spent(flow, c, one.id, ticket, verified, now):
        return Step("refused"), [_attempt(one.user_id, now, "used before")]
    request = replace(request, device_token="")
    entry = Entry(flow, c, request, account, account.name, now, right=True)
    return _enter(flow, entry, one.kind), entry.events


def _enter(flow: Flow, entry: Entry, kind: str) -> Step:
    """The key was right: the account's state and the risk decide as at any login."""
    account, found = entry.account, entry.found
    if account is None or is_locked(flow, account):
        return entry.end("locked")
    if found.decision == DENY:
        return entry.end("denied", decided=True)
    record = Record(
        found.bits,
        found.failures,
        found.score,
        DECISIONS[found.decision],
        factor=kind,
        attempts=1,
    )
    entry.note(record)
    step, events = complete(
        flow,
        entry.c,
        entry.user_id,
        entry.pending,
        replace(record, outcome="verified"),
        proof_of(kind, with_password=False),
        trust_device=False,
    )
    entry.events += [_attempt(entry.user_id, entry.now, ""), *events]
    return step


def _verifying(flow: Flow) -> RelyingParty:
    """The site, asking for PIN or finger whatever it asks for after a password."""
    return replace(flow.relying_party, require_user_verification=True)


def _challenge(flow: Flow, ticket: str) -> bytes:
    return flow.keyring.mac(ticket.encode(), "passkey-login")


def _is_alive(flow: Flow, ticket: str, now: int) -> bool:
    issued, _, rest = ticket.partition(".")
    if not (ticket.isascii() and issued.isdecimal() and rest) or len(ticket) > 100:
        return False
    return is_alive(int(issued), now, flow.relying_party.life_seconds)


def _spent(
    flow: Flow, c: Connection, authenticator_id: int, ticket: str, verified: Assertion, now: int
) -> bool:
    """Spend the ticket and move the key's counter on: true for exactly one caller."""
    counter = SqlCounter(c, flow.keyring)
    return counter.add_within(f"passkey-login:{ticket}", now, 0, 1) and kept.bump_sign_count(
        c, authenticator_id, verified.sign_count, backed_up=verified.backed_up
    )


def _room(flow: Flow, c: Connection, ip: str, now: int) -> bool:
    try:
        network = network_of(ip)
    except InputError:
        network = "unknown"
    counter = SqlCounter(c, flow.keyring)
    return counter.add_within(f"passkey-ip:{network}", now, now - HOUR + 1, TRIES_AN_HOUR)


def _attempt(user_id: int | None, now: int, why: str) -> Event:
    detail = {"factor": "passkey", "right": not why, "refused": why}
    return Event(now, "attempt", user_id, detail)
