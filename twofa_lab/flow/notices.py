"""Notices: what an account's owner is told, at every validated address, and how to say "not me".

NIST SP 800-63B-4 4.1.2.1, 4.2.3 and 4.6 ask for one after each binding and recovery, ASVS 6.3.5
and 6.3.7 after suspicious attempts and changes of factors. A notice is written down, masked, in the
transaction that did what it tells of, and leaves by `send` after the commit. No answer depends on
one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import Connection

from twofa_lab.delivery import phone
from twofa_lab.flow.service import Flow
from twofa_lab.store import accounts, support
from twofa_lab.store.accounts import Account
from twofa_lab.store.audit import Event
from twofa_lab.store.counter import SqlCounter

__all__ = [
    "NOTICES",
    "SUSPICIOUS",
    "SUSPICIOUS_EVERY_MS",
    "Letter",
    "alarm",
    "mask_email",
    "send",
    "tell",
]

NOTICES = {
    "factor_added": "A way to confirm sign-ins was added to your account",
    "factor_removed": "A way to confirm sign-ins was removed from your account",
    "factor_renamed": "A way to confirm sign-ins was renamed",
    "factor_preferred": "Another way to confirm sign-ins is now asked for first",
    "recovery_codes": "New recovery codes were made for your account; any older ones are void",
    "saved_code": "A new saved recovery code was made for your account; any older one is void",
    "email_changed": "The e-mail address of your account was changed",
    "recovered": "Your account was recovered",
    "password_changed": "The password of your account was changed",
    "signup_again": "Somebody tried to open an account under your name; you have one already: "
    "sign in or recover it",
    "challenge_failed": "Somebody who knows your password did not get past the second step",
    "login_denied": "A sign-in with your password was refused because it looked dangerous",
    "device_copied": "The mark of a device you trust was used from a copy; it is trusted no more",
    "locked": "Your account is locked after many wrong codes",
    "support_requested": "Somebody asked our support to let them back into your account",
    "support_unlocked": "Our support unlocked your account",
    "support_recovery": "Our support voided your password and every way to confirm your sign-ins, "
    "so that you can recover your account",
    "held": "Our support locked your account to protect it",
}
"""What each kind of notice says."""

SUSPICIOUS = frozenset(
    ("signup_again", "challenge_failed", "login_denied", "device_copied", "locked")
)
"""What strangers can bring about, and so could flood the owner with."""

SUSPICIOUS_EVERY_MS = 3_600_000
"""At most one notice of each of those kinds in that time: assumption."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One notice to one address, to be sent after the commit."""

    channel: str
    address: str = field(repr=False)
    kind: str
    text: str


def mask_email(address: str) -> str:
    """An address as it may be shown and logged.

    >>> mask_email("ann@example.com")
    'a•••@example.com'
    """
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}•••@{domain}"


def tell(
    flow: Flow,
    c: Connection,
    who: Account,
    kind: str,
    now: int,
    about: str = "",
    also: Iterable[str] = (),
) -> tuple[list[Letter], list[Event]]:
    """Note a notice of that kind to every validated address: what to send, and what to audit.

    `about` names what it is about, such as a factor's label. `also` are e-mail addresses beside the
    account's, such as one that was just replaced. An e-mail address is kept only once validated;
    the number is validated from sign-up's end on, and gets an SMS where its line takes one. Of each
    kind in `SUSPICIOUS` there is one in `SUSPICIOUS_EVERY_MS`.
    """
    since = now - SUSPICIOUS_EVERY_MS + 1
    key, counter = f"notice:{kind}:{who.user_id}", SqlCounter(c, flow.keyring)
    if kind in SUSPICIOUS and not counter.add_within(key, now, since, 1):
        return [], []
    text = f"{NOTICES[kind]}{f' ({about})' if about else ''}. Not you? {flow.rules.not_you}"
    to = [("email", address, mask_email(address)) for address in also]
    if (address := accounts.email_of(flow.keyring, who)) is not None:
        to.append(("email", address, mask_email(address)))
    number = None if who.status == "pending" else accounts.phone_of(flow.keyring, who)
    if number is not None and phone.takes(who.line_type or "unknown", "sms"):
        to.append(("sms", number, phone.mask(number)))
    letters, events = [], []
    for channel, address, masked in to:
        support.add_notice(
            c, user_id=who.user_id, at=now, kind=kind, channel=channel, masked_address=masked
        )
        detail = {"kind": kind, "channel": channel, "to": masked}
        events.append(Event(now, "notice", who.user_id, detail))
        letters.append(Letter(channel, address, kind, text))
    return letters, events


def send(flow: Flow, letters: Iterable[Letter]) -> None:
    """Hand notices to the outbox; call it outside of transactions."""
    for letter in letters:
        if letter.channel == "email":
            flow.outbox.email(letter.address, "notice", letter.text)
        else:
            flow.outbox.text_message(letter.address, "notice", letter.text)


_OUTCOMES = {"failed": "challenge_failed", "denied": "login_denied", "locked": "locked"}


def alarm(flow: Flow, c: Connection, events: list[Event]) -> list[Letter]:
    """Notices of what is suspicious among the events of one step, whose audit rows join `events`.

    Suspicious: a failed challenge, a denied login, a login at a locked account, a copied token of
    trust. Where there is none, which is as good as always, nothing is read or written.
    """
    letters: list[Letter] = []
    for event in tuple(events):
        kind = _suspicion(event)
        if kind is None or event.user_id is None:
            continue
        who = accounts.account(c, event.user_id)
        if who is not None:
            more, told = tell(flow, c, who, kind, event.at)
            letters += more
            events += told
    return letters


def _suspicion(event: Event) -> str | None:
    if event.event == "outcome":
        return _OUTCOMES.get(str(event.detail["outcome"]))
    copied = event.event == "device_revoked" and event.detail.get("why") == "copied"
    return "device_copied" if copied else None
