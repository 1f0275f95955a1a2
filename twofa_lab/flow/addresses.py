"""An account's e-mail address, validated by a code: for notices and recovery, never a factor.

Only a validated address is kept (`accounts.email`); until then it waits, sealed, in its challenge.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from twofa_lab.errors import InputError
from twofa_lab.factors import otp
from twofa_lab.flow import notices
from twofa_lab.flow.answer import answer_challenge
from twofa_lab.flow.asking import Opened, keep
from twofa_lab.flow.binding import changing
from twofa_lab.flow.contact import email_address
from twofa_lab.flow.pending import Pending
from twofa_lab.flow.recovery import may_change_addresses
from twofa_lab.flow.service import Flow
from twofa_lab.flow.step import Ask, Record, Step, Ticket
from twofa_lab.store import accounts
from twofa_lab.store.audit import Event
from twofa_lab.store.challenges import Challenge
from twofa_lab.store.counter import SqlCounter

__all__ = ["begin_email", "verify_email"]

_CODES, _WINDOW_MS = 3, 600_000
"""Codes to one address, and codes of one account, in that time: as for numbers."""


def begin_email(flow: Flow, session: str, address: str) -> Step:
    """Send a code to a new address of a session's account; "asked".

    The address helps to recover the account, so this asks for what a change of factors does.
    """
    plain = email_address(address)
    ticket = Ticket(flow.token(), flow.token())
    code = otp.new_code(flow.rules.otp, flow.randbelow).text
    with changing(flow, session) as change:
        counter, user_id = SqlCounter(change.c, flow.keyring), change.account.user_id
        if not may_change_addresses(flow, change.c, user_id):
            raise InputError("the account was recovered lately; its addresses stay for some days")
        for key in (f"email:{plain.casefold()}", f"email-codes:{user_id}"):
            if not counter.add_within(key, change.now, change.now - _WINDOW_MS + 1, _CODES):
                raise InputError("too many codes were asked for; wait ten minutes")
        ask = Ask("email", masked=notices.mask_email(plain), left=flow.policy.max_attempts)
        opened = Opened(
            "email",
            ask=ask,
            expected=otp.hash_code(flow.keyring, ticket.challenge_id, code),
            life_seconds=flow.rules.otp.life_seconds,
        )
        pending = Pending(change.now, subject=plain)
        _, event = keep(flow, change.c, user_id, opened, ticket, pending, "email")
        change.events.append(event)
    flow.outbox.email(plain, "code", f"Your code is {code}. If you did not ask for it, ignore it.")
    return Step("asked", ask=ask, ticket=ticket)


def verify_email(flow: Flow, ticket: Ticket, typed: str) -> Step:
    """Check the code: "done" once it is right and the address is the account's."""
    letters: list[notices.Letter] = []

    def proved(
        flow: Flow, c: Connection, found: Challenge, pending: Pending, record: Record, _channel: str
    ) -> tuple[Step, Sequence[Event]]:
        now, user_id = flow.clock(), found.user_id
        before = accounts.account(c, user_id)
        old = None if before is None else accounts.email_of(flow.keyring, before)
        accounts.set_email(c, flow.keyring, user_id, pending.subject)
        after = accounts.account(c, user_id)
        events = [Event(now, "account_changed", user_id, {"what": "address validated"})]
        if after is not None:
            also = [old] if old not in (None, pending.subject) else []
            more, told = notices.tell(flow, c, after, "email_changed", now, also=also)
            letters.extend(more)
            events += told
        return Step("done", record), events

    step = answer_challenge(flow, ticket, typed, "email", proved)
    notices.send(flow, letters)
    return step
