"""What every change of an account's factors has in common: who may make it, and what follows.

A change needs a running session at the account's own level: AAL2 once it has a second factor (NIST
SP 800-63B-4 4.1.2.1), proved within the AAL2 window. It is one transaction: the change, the end of
all trust in devices, the audit, the notices, which leave after the commit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from twofa_lab.errors import InputError
from twofa_lab.factors.passkeys import PasskeyRecord
from twofa_lab.flow import notices
from twofa_lab.flow.service import Flow
from twofa_lab.flow.sessions import check, in_window, session_hash
from twofa_lab.store import accounts, authenticators, devices
from twofa_lab.store.accounts import Account
from twofa_lab.store.audit import Event, append
from twofa_lab.store.authenticators import Authenticator
from twofa_lab.store.engine import write

__all__ = ["Change", "StepUpNeededError", "changing", "columns_of", "needed_level"]

_WORDS = {
    "otp": "codes to your phone",
    "totp": "an authenticator app",
    "push": "approval in the app",
    "passkey": "a passkey",
    "hardware_key": "a hardware key",
}


class StepUpNeededError(InputError):
    """The session does not prove enough for a change; `aal` is the level to prove anew (0: there
    is no running session).
    """

    def __init__(self, text: str, aal: int) -> None:
        super().__init__(text)
        self.aal = aal


def needed_level(account: Account, enrolled: Sequence[Authenticator]) -> int:
    """The assurance level a change asks for: 2 once the account has a second factor, else 1.

    A factor that was stopped after too many failures still counts, or guessing at it until it stops
    would open the account to a password alone. Recovery proved more than a session can show.
    """
    if account.status == "recovery":
        return 1
    return 2 if any(_is_bound(one) for one in enrolled) else 1


def _is_bound(one: Authenticator) -> bool:
    return one.confirmed_at is not None and (one.disabled_at is None or one.stopped)


@dataclass
class Change:
    """A change within its transaction: of which account, and what is to be audited and told."""

    flow: Flow
    c: Connection
    account: Account
    enrolled: list[Authenticator]
    now: int
    events: list[Event] = field(default_factory=list)
    letters: list[notices.Letter] = field(default_factory=list)

    def own(self, authenticator_id: int) -> Authenticator:
        """One of the account's authenticators that was not removed; `InputError` otherwise."""
        for one in self.enrolled:
            if one.id == authenticator_id and one.disabled_at is None:
                return one
        raise InputError("the account has no such factor")

    def audit(self, event: str, **detail: object) -> None:
        """Note it for the audit."""
        self.events.append(Event(self.now, event, self.account.user_id, detail))

    def tell(self, kind: str, about: str = "", also: Sequence[str] = ()) -> None:
        """Note it for the owner's addresses."""
        who = self.account
        letters, events = notices.tell(self.flow, self.c, who, kind, self.now, about, also)
        self.letters += letters
        self.events += events

    def void_trust(self) -> None:
        """No device is trusted any more."""
        if devices.void_trust(self.c, self.account.user_id, self.now):
            self.audit("device_revoked", why="change of factors")

    def bind(self, kind: str, label: str, *, confirmed: bool = True, **material: Any) -> int:
        """Add an authenticator; its id. Unless `confirmed` it waits for `activate`."""
        authenticator_id = authenticators.add_authenticator(
            self.c,
            self.flow.keyring,
            user_id=self.account.user_id,
            kind=kind,
            label=label,
            created=self.now,
            confirmed_at=self.now if confirmed else None,
            **material,
        )
        self.audit("factor_added", id=authenticator_id, kind=kind, confirmed=confirmed)
        if confirmed:
            self.activated(kind)
        return authenticator_id

    def activated(self, kind: str) -> None:
        """What follows once a factor is in use: the account's first one ends its recovery."""
        self.void_trust()
        self.tell("factor_added", _WORDS[kind])
        if accounts.set_status(self.c, self.account.user_id, "active", was="recovery"):
            self.audit("account_changed", what="status", to="active")

    def removed(self, one: Authenticator) -> None:
        """Take an authenticator out of use for good."""
        authenticators.disable_authenticator(self.c, one.id, self.now)
        self.audit("factor_removed", id=one.id, kind=one.kind)
        if one.confirmed_at is not None:
            self.void_trust()
            self.tell("factor_removed", _WORDS[one.kind])


@contextmanager
def changing(flow: Flow, session: str) -> Iterator[Change]:
    """One change of the factors of a session's account, in one transaction.

    `StepUpNeededError` when the session does not prove enough. An error within the block undoes
    everything.
    """
    state = check(flow, session)
    if state is None:
        raise StepUpNeededError("the session has ended; sign in again", 0)
    with write(flow.engine) as c:
        now = flow.clock()
        account = accounts.lock_account(c, state.user_id)
        running = devices.session(c, session_hash(flow, session))
        if account is None or running is None or running.ended is not None:
            raise StepUpNeededError("the session has ended; sign in again", 0)
        if account.status not in {"active", "recovery"}:
            raise InputError("the account is locked or closed; its factors cannot be changed")
        change = Change(flow, c, account, authenticators.authenticators_of(c, state.user_id), now)
        level = needed_level(account, change.enrolled)
        if not in_window(flow, state.created, now):
            raise StepUpNeededError("the session is older than a day; sign in again", level)
        if state.aal < level:
            raise StepUpNeededError("confirm with your second factor first", level)
        yield change
        append(c, change.events)
    notices.send(flow, change.letters)


def columns_of(record: PasskeyRecord) -> dict[str, Any]:
    """A WebAuthn key as `add_authenticator` takes it; `checks.passkey_record` is the way back."""
    return {
        "public_key": record.public_key,
        "credential_id": record.credential_id,
        "sign_count": record.sign_count,
        "backup_eligible": record.backup_eligible,
        "backup_state": record.backed_up,
        "user_verified": record.user_verified,
        "aaguid": record.aaguid or None,
        "transports": " ".join(record.transports) or None,
    }
