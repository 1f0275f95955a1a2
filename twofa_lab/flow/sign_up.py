"""Sign-up: a name, a password, and a phone number that is verified by a code.

The number is verified at once, a second factor is not asked for yet (the guide): the account starts
with one factor, and `prompts` says when to offer more.

A name is not looked at before the number is verified. So the first answer and the work for it are
the same for a free and for a taken name, and a sign-up nobody finishes keeps no name from anybody.
Who verifies a number learns whether the name was free, at the price of a number and of the limits
on sending; the owner of a taken one is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from twofa_lab.delivery import phone
from twofa_lab.flow import notices
from twofa_lab.flow.answer import answer_challenge
from twofa_lab.flow.asking import keep, with_code
from twofa_lab.flow.contact import home_zone, new_name
from twofa_lab.flow.finish import enter_history, record_of, utc_offset_min
from twofa_lab.flow.login import ask
from twofa_lab.flow.origin import origin_of
from twofa_lab.flow.passwords import checked_password
from twofa_lab.flow.pending import Pending
from twofa_lab.flow.service import Flow
from twofa_lab.flow.sessions import open_session, proof_of
from twofa_lab.flow.step import Record, Step, Ticket
from twofa_lab.risk.signals import local_hour
from twofa_lab.store import accounts
from twofa_lab.store.audit import Event, append
from twofa_lab.store.challenges import Challenge
from twofa_lab.store.engine import write

__all__ = ["SignUp", "begin_sign_up", "verify_phone"]

_UNREACHABLE = "No code can be sent to this number now. Try later, or give another number."
_TAKEN = "The account could not be opened. If you have one already, sign in or recover it."


@dataclass(frozen=True, slots=True)
class SignUp:
    """What a person gives and what the site's edge knows at sign-up. Empty text is unknown.

    `phone` in national form needs `phone_country` (ISO 3166). `country` and `region` are where the
    address `ip` is; the last four as in `login.Request`.
    """

    name: str
    phone: str = field(repr=False)
    password: str = field(repr=False)
    home_zone: str = "UTC"
    phone_country: str | None = None
    device: str = ""
    ip: str = ""
    country: str = ""
    region: str = ""
    asn: int = 0
    browser: str = ""
    place: tuple[float, float] | None = None
    rtt_ms: int = 0


def begin_sign_up(flow: Flow, wanted: SignUp) -> Step:
    """Note the account as pending and send a code to its number; "asked", or "refused" where no
    code can be sent.

    `InputError` in one line for a name, number, password, zone or place that cannot be one.
    Fallback and resend of the code are `codes_due.advance` and `resend`, as at login.
    """
    name = new_name(wanted.name)
    password = checked_password(wanted.password, name)
    zone, origin = home_zone(wanted.home_zone), origin_of(wanted)
    number = phone.parse(wanted.phone, wanted.phone_country)
    number = replace(number, line_type=flow.line_type(number))
    whatsapp = flow.has_whatsapp(number)
    password_hash = flow.passwords.hash(password)
    ticket, user_id = Ticket(flow.token(), flow.token()), flow.user_id()
    with write(flow.engine) as c:
        now = flow.clock()
        pending = Pending(
            now,
            wanted.device,
            wanted.country,
            wanted.region,
            int(local_hour(now, utc_offset_min(zone, now))),
            subject=name,
            origin=origin,
        )
        opened = with_code(flow, c, ticket, number, whatsapp=whatsapp, ip=wanted.ip)
        detail = {"what": opened.refused or "begun", "country": wanted.country}
        if opened.refused or opened.ask is None:
            append(c, [Event(now, "signup", None, detail)])
            return Step("refused", Record(outcome=opened.refused), text=_UNREACHABLE)
        accounts.add_account(
            c,
            flow.keyring,
            user_id=user_id,
            name=f" {user_id}",  # no login name begins with a space
            password_hash=password_hash,
            created=now,
            home_zone=zone,
            phone=number.e164,
            line_type=number.line_type,
            whatsapp=whatsapp,
        )
        shown = replace(opened.ask, left=flow.policy.max_attempts)
        opened, event = keep(
            flow, c, user_id, replace(opened, ask=shown), ticket, pending, "signup"
        )
        append(c, [Event(now, "signup", user_id, detail), event])
    step = ask(flow, user_id, opened, Step("asked", Record(), shown, ticket), pending)
    return replace(step, text=_UNREACHABLE) if step.status == "refused" else step


def verify_phone(flow: Flow, ticket: Ticket, typed: str) -> Step:
    """Check the code of a sign-up: "signed_in" with an AAL1 session once it is right.

    "refused" when the challenge is over, or the name is taken by now; begin again then.
    """
    letters: list[notices.Letter] = []

    def proved(
        flow: Flow, c: Connection, found: Challenge, pending: Pending, record: Record, _channel: str
    ) -> tuple[Step, Sequence[Event]]:
        if not accounts.claim_name(c, found.user_id, pending.subject):
            step, events, more = _taken(flow, c, found, pending, record)
            letters.extend(more)
            return step, events
        return _activated(flow, c, found, pending, record)

    step = answer_challenge(flow, ticket, typed, "signup", proved)
    notices.send(flow, letters)
    return step


def _activated(
    flow: Flow, c: Connection, found: Challenge, pending: Pending, record: Record
) -> tuple[Step, list[Event]]:
    """The number is verified: the account is active, and this was its first completed login."""
    now, user_id, proof = flow.clock(), found.user_id, proof_of("none")
    accounts.set_status(c, user_id, "active", was="pending")
    enter_history(c, user_id, pending)
    session = open_session(flow, c, user_id, proof, pending.device, now)
    events = [
        _signup_event(user_id, now, "completed", record),
        Event(now, "session", user_id, {"what": "started", "aal": proof.aal, "amr": "pwd"}),
    ]
    return Step("signed_in", record, session=session, session_level=proof.aal), events


def _taken(
    flow: Flow, c: Connection, found: Challenge, pending: Pending, record: Record
) -> tuple[Step, list[Event], list[notices.Letter]]:
    now = flow.clock()
    owner = accounts.account_by_name(c, pending.subject)
    letters: list[notices.Letter] = []
    events = [_signup_event(found.user_id, now, "name_taken", record)]
    if owner is not None:
        letters, told = notices.tell(flow, c, owner, "signup_again", now)
        events += told
    record = record_of(pending, None, now, factor="otp", attempts=record.attempts)
    return Step("refused", record, text=_TAKEN), events, letters


def _signup_event(user_id: int, now: int, what: str, record: Record) -> Event:
    detail = {
        "what": what,
        "attempts": record.attempts,
        "messages": record.messages,
        "microusd": record.microusd,
        "seconds": record.seconds_ds / 10,
    }
    return Event(now, "signup", user_id, detail)
