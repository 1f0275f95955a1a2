"""A whole life of an account, watched: every value it handed out, every secret in it."""

from __future__ import annotations

import re
from typing import TypeVar

import pyotp

from tests.flow.entering import WRONG, asked, challenge_of
from tests.flow.lab import HOUR, ORIGIN, PASSWORD, PHONE, SECOND, Lab, sign_up_of
from twofa_lab.factors.soft_authenticator import SoftAuthenticator
from twofa_lab.flow import sessions
from twofa_lab.flow.addresses import begin_email
from twofa_lab.flow.answer import another_factor, answer, leave
from twofa_lab.flow.codes_due import advance
from twofa_lab.flow.enrolment import (
    add_phone,
    add_push,
    begin_passkey,
    begin_totp,
    confirm_totp,
    finish_passkey,
)
from twofa_lab.flow.own_factors import list_factors
from twofa_lab.flow.pending import Pending
from twofa_lab.flow.push_answers import proof_of_app, push_answer
from twofa_lab.flow.recovery_kit import new_saved_code
from twofa_lab.flow.sign_up import begin_sign_up, verify_phone
from twofa_lab.store.accounts import account
from twofa_lab.store.authenticators import authenticators_of
from twofa_lab.store.engine import read

T = TypeVar("T")


class Watched:
    """Everything the flow handed out, and every secret in it."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.shown: list[str] = [repr(lab.flow)]
        self.secrets: set[str] = {PHONE, PHONE[1:], PHONE[3:], PASSWORD}

    def see(self, value: T, *secrets: str | bytes | None) -> T:
        """Keep what a value prints, and the secrets in it."""
        self.shown += [repr(value), str(value)]
        for secret in secrets:
            if isinstance(secret, bytes):
                self.secrets |= {secret.hex(), repr(secret)}
            elif secret:
                self.secrets.add(secret)
        return value


def live(watched: Watched) -> None:
    lab, see = watched.lab, watched.see
    flow = lab.flow
    lab.reachable(PHONE)
    step = see(begin_sign_up(flow, sign_up_of()))
    assert step.ticket is not None
    see(step.ticket, step.ticket.secret, step.ticket.text)
    code = lab.code(PHONE)
    _stored(watched, step.ticket)
    done = see(verify_phone(flow, step.ticket, code), code)
    session = done.session or ""
    see(sessions.check(flow, session), session)

    new = see(begin_totp(flow, session))
    key = new.enrolment.secret
    see(new.enrolment, key.base32, key.raw, new.enrolment.uri)
    app = pyotp.TOTP(key.base32)
    added = see(confirm_totp(flow, session, new.authenticator_id, lab.shown(app)), lab.shown(app))
    assert added is not None
    see(added, *added.recovery_codes, *(c.replace("-", "") for c in added.recovery_codes))
    session = lab.step_up(session, app)
    see(add_phone(flow, session), session)
    pushed = see(add_push(flow, session))
    see(pushed, pushed.secret)
    device = see(SoftAuthenticator())
    making = see(begin_passkey(flow, session))
    see(making.ticket, making.ticket.secret)
    see(finish_passkey(flow, session, making.ticket, device.register(making.options, ORIGIN), "k"))
    saved = new_saved_code(flow, session)
    see(saved and "saved", saved, saved.replace("-", ""))
    see(begin_email(flow, session, "ann@example.com"))
    see(list_factors(flow, session))

    lab.wait(HOUR)
    step = see(lab.strange_login())
    ticket, page = asked(step)
    see(ticket, ticket.secret)
    step = see(another_factor(flow, ticket, "push"))
    ticket, page = asked(step)
    proof = proof_of_app(pushed.secret, ticket.challenge_id, page.number, approved=True)
    see(push_answer(flow, ticket.challenge_id, page.number, proof, approved=True), page.number)
    done = see(answer(flow, ticket, "", trust_device=True), proof)
    see(done.record, done.session, done.device_token, *(done.device_token or "").split(".")[1:])
    see(lab.login(device="cookie", device_token=done.device_token or ""))

    ticket, _ = asked(see(lab.strange_login()))
    step = see(another_factor(flow, ticket, "otp"))
    ticket, _ = asked(step)
    lab.wait(30 * SECOND)
    see(advance(flow, ticket))
    code = lab.code(PHONE)
    _stored(watched, ticket)
    see(answer(flow, ticket, WRONG))
    done = see(answer(flow, ticket, code), code)
    see(done, done.session)
    ticket, _ = asked(see(lab.strange_login()))
    see(answer(flow, ticket, added.recovery_codes[0]))
    ticket, _ = asked(see(lab.strange_login()))
    see(leave(flow, ticket), ticket.secret)
    see(lab.login(password=PASSWORD + "!"), PASSWORD + "!")


def _stored(watched: Watched, ticket: object) -> None:
    """What the store and the sealed request hold while a challenge is open."""
    lab = watched.lab
    found = watched.see(challenge_of(lab, ticket))  # type: ignore[arg-type]
    pending = watched.see(Pending.unseal(lab.flow.keyring, found.user_id, found.context))
    watched.see(pending.delivery)
    assert pending.delivery is not None
    watched.see(pending.delivery.number, pending.delivery.code)
    with read(lab.flow.engine) as c:
        watched.see(account(c, found.user_id))
        for one in authenticators_of(c, found.user_id):
            watched.see(one)


def holds(text: str, secret: str) -> bool:
    """Whether it stands there by itself: six digits may lie in any hash or time by chance."""
    if not (secret.isdecimal() and len(secret) <= 8):
        return secret in text
    return re.search(rf"(?<![0-9A-Za-z]){secret}(?![0-9A-Za-z])", text) is not None
