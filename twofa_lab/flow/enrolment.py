"""Adding a second factor to an account: phone, authenticator app, passkey or hardware key, push.

Who may and what follows is in `binding`. A code or a key is confirmed before it counts. Whoever
enrols an app or a hardware key, and has no recovery codes yet, gets ten with it (the guide).
"""

from __future__ import annotations

from typing import NamedTuple

from twofa_lab.errors import InputError
from twofa_lab.factors import passkeys, totp
from twofa_lab.factors.passkeys import Kind
from twofa_lab.factors.ports import is_alive
from twofa_lab.factors.totp import Enrolment, TotpSecret
from twofa_lab.flow.answer import open_challenge
from twofa_lab.flow.asking import Opened, keep
from twofa_lab.flow.binding import changing, columns_of
from twofa_lab.flow.contact import new_label
from twofa_lab.flow.pending import Pending
from twofa_lab.flow.recovery_kit import give_codes_if_none, spare_codes
from twofa_lab.flow.service import Flow
from twofa_lab.flow.step import Ask, Ticket
from twofa_lab.store import accounts, challenges
from twofa_lab.store.authenticators import burn_totp_step, confirm_authenticator, secret_of
from twofa_lab.store.counter import SqlCounter
from twofa_lab.store.engine import write

__all__ = [
    "PSTN_WARNING",
    "Added",
    "NewApp",
    "NewKey",
    "NewPush",
    "add_phone",
    "add_push",
    "begin_passkey",
    "begin_totp",
    "confirm_totp",
    "finish_passkey",
]

PSTN_WARNING = (
    "Codes by SMS or call can be read by somebody who takes over your number. "
    "An authenticator app or a passkey is safer: you can add one at any time."
)
"""What a person is told on enrolling a phone: NIST SP 800-63B-4 3.2.9, ASVS 6.6.1."""

_PUSH_SECRET_BYTES = 32


class Added(NamedTuple):
    """A factor in use. `recovery_codes` are fresh ones, to be shown once; `warning` is for the
    person.
    """

    authenticator_id: int
    recovery_codes: tuple[str, ...] = ()
    warning: str = ""

    def __repr__(self) -> str:
        return f"Added({self.authenticator_id})"


class NewApp(NamedTuple):
    """An authenticator app to be confirmed; show `enrolment` once."""

    authenticator_id: int
    enrolment: Enrolment


class NewPush(NamedTuple):
    """An app for approvals, and the secret it gets."""

    authenticator_id: int
    secret: bytes

    def __repr__(self) -> str:
        return f"NewPush({self.authenticator_id})"


class NewKey(NamedTuple):
    """A WebAuthn registration under way: `options` (JSON) for the browser."""

    ticket: Ticket
    options: str

    def __repr__(self) -> str:
        return f"NewKey({self.ticket!r})"


def add_phone(flow: Flow, session: str, label: str = "phone") -> Added:
    """Make the account's verified number a second factor, by every channel it can receive."""
    with changing(flow, session) as change:
        number = accounts.phone_of(flow.keyring, change.account)
        if number is None:
            raise InputError("the account has no verified phone number")
        if any(one.kind == "otp" and one.disabled_at is None for one in change.enrolled):
            raise InputError("codes to the phone are enrolled already")
        added = change.bind("otp", new_label(label), secret=number.encode())
    return Added(added, warning=PSTN_WARNING)


def begin_totp(flow: Flow, session: str, label: str = "authenticator app") -> NewApp:
    """Draw the key of an authenticator app. It counts once `confirm_totp` saw a code of it.

    A key that was begun before and not confirmed is void.
    """
    with changing(flow, session) as change:
        for one in change.enrolled:
            if one.kind == "totp" and one.confirmed_at is None and one.disabled_at is None:
                change.removed(one)
        key = totp.new_secret(flow.random_bytes)
        started = change.bind("totp", new_label(label), confirmed=False, secret=key.raw)
    # a colon parts the two in the otpauth URI
    account, issuer = change.account.name.replace(":", "-"), flow.relying_party.name
    return NewApp(started, Enrolment(key, account, issuer.replace(":", "-"), flow.rules.totp))


def confirm_totp(flow: Flow, session: str, authenticator_id: int, typed: str) -> Added | None:
    """Activate an app by a code it shows, whose step is burned; None when the code is wrong.

    `InputError` when there is nothing to confirm: never begun, confirmed before, ten minutes over,
    or too many wrong codes. Begin again then.
    """
    spare = spare_codes(flow, session)
    with changing(flow, session) as change:
        one = change.own(authenticator_id)
        begun = is_alive(one.created, change.now, flow.rules.otp.life_seconds)
        if one.kind != "totp" or one.confirmed_at is not None or not begun:
            raise InputError("there is no app to confirm; begin again")
        tries = SqlCounter(change.c, flow.keyring)
        if not tries.add_within(f"confirm:{one.id}", change.now, 0, flow.policy.max_attempts):
            raise InputError("too many wrong codes; begin again")
        key, rules = TotpSecret(secret_of(flow.keyring, one)), flow.rules.totp
        step = totp.match(key, typed, change.now, -1, flow.rules.totp_window, rules)
        right = step is not None and burn_totp_step(change.c, one.id, step)
        if not right or not confirm_authenticator(change.c, one.id, change.now):
            change.audit("attempt", id=one.id, factor="totp", right=False, purpose="enrol")
            return None
        change.audit("factor_confirmed", id=one.id, kind="totp")
        change.activated("totp")
        codes = give_codes_if_none(change, spare)
    return Added(authenticator_id, codes)


def begin_passkey(flow: Flow, session: str, kind: Kind = "passkey") -> NewKey:
    """Options for the browser to make a passkey or a hardware key with."""
    ticket = Ticket(flow.token(), flow.token())
    with changing(flow, session) as change:
        user_id = change.account.user_id
        ceremony = passkeys.registration(
            flow.relying_party,
            user_handle=passkeys.user_handle(flow.keyring, user_id),
            user_name=change.account.name,
            existing=[one.credential_id for one in change.enrolled if one.credential_id],
            kind=kind,
            random_bytes=flow.random_bytes,
        )
        opened = Opened(
            kind,
            ask=Ask(kind),
            expected=ceremony.challenge,
            life_seconds=flow.relying_party.life_seconds,
        )
        pending = Pending(change.now)
        _, event = keep(flow, change.c, user_id, opened, ticket, pending, "enrol")
        change.events.append(event)
    return NewKey(ticket, ceremony.options)


def finish_passkey(
    flow: Flow, session: str, ticket: Ticket, response: str, label: str = ""
) -> Added:
    """Bind the key a browser made; the session's account must be the one that began.

    The challenge is consumed first, by itself, so that it is looked at once whatever comes.
    `InputError` when it is over; `CeremonyError` when the answer does not hold: begin again.
    """
    name = new_label(label) if label else ""
    found, _ = open_challenge(flow, ticket, "enrol")
    with write(flow.engine) as c:
        now = flow.clock()
        if found is None or not challenges.consume_challenge(
            c, found.id, found.session_binding, now
        ):
            raise InputError("this registration is over; begin again")
    kind: Kind = "hardware_key" if found.factor == "hardware_key" else "passkey"
    record = passkeys.verify_registration(
        flow.relying_party,
        found.expected or b"",
        response,
        user_handle=passkeys.user_handle(flow.keyring, found.user_id),
        kind=kind,
    )
    spare = spare_codes(flow, session) if kind == "hardware_key" else None
    with changing(flow, session) as change:
        if change.account.user_id != found.user_id:
            raise InputError("this registration was begun by another account")
        name = name or f"{kind.replace('_', ' ')} ({record.binding})"
        added = change.bind(kind, name, **columns_of(record))
        codes = give_codes_if_none(change, spare)
    return Added(added, codes)


def add_push(flow: Flow, session: str, label: str = "app") -> NewPush:
    """Enrol an app for approvals; hand it the secret over a channel of your own, once."""
    secret = flow.random_bytes(_PUSH_SECRET_BYTES)
    with changing(flow, session) as change:
        added = change.bind("push", new_label(label), secret=secret)
    return NewPush(added, secret)
