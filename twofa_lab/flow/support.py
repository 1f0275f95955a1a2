"""Support lets people back in: asked for by one agent, approved by another, then carried out, once.

An agent verifies who calls as strongly as enrolment did (ASVS 6.4.4), as in
`docs/support-runbook.md`. Two things can be done: *unlock* an account at its hard stop or held by
support, and *recover*: every factor and the password are void, and for a day the agents' proof
counts as one of the two that `recovery` asks for. Nobody here reads a secret, chooses one, or
changes an address.

Locking needs no second person: `hold` stops everything at once, for when an owner says "not me".

Agents are ids the caller vouches for: that they are who they say, and may do this, is the caller's
to check. What is recorded is enumerated or a case number, so that no secret gets into the record.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, get_args

from sqlalchemy import Connection

from twofa_lab.errors import InputError
from twofa_lab.flow import notices
from twofa_lab.flow.asking import is_locked
from twofa_lab.flow.recovery import support_key
from twofa_lab.flow.sealed_request import forget_failures
from twofa_lab.flow.service import DAY, Flow
from twofa_lab.store import accounts, authenticators, challenges, devices
from twofa_lab.store import support as kept
from twofa_lab.store.accounts import Account
from twofa_lab.store.audit import Event, append
from twofa_lab.store.counter import SqlCounter
from twofa_lab.store.engine import read, write

__all__ = [
    "APPROVAL_LIFE_MS",
    "Action",
    "Evidence",
    "Reason",
    "approve",
    "hold",
    "perform",
    "request",
]

APPROVAL_LIFE_MS = DAY
"""How long a request may be approved and carried out: assumption, a working day and its evening."""

Action = Literal["unlock", "recover"]
Reason = Literal["locked_out", "lost_phone", "lost_app", "lost_key", "stolen_device", "new_number"]
Evidence = Literal["document_in_person", "document_by_video", "enrolment_record", "trusted_referee"]
"""How the person was verified; NIST SP 800-63A-4 knows all four."""

_ID = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")


def request(
    flow: Flow,
    agent: str,
    user_id: int,
    action: Action,
    *,
    reason: Reason,
    evidence: Evidence,
    case: str,
) -> int:
    """Ask for an action on an account, whose owner is told; the request's id, good for a day.

    `case` is the number of the record the agent keeps elsewhere. `InputError` for anything that is
    not enumerated, or no such account.
    """
    for value, kind in ((action, Action), (reason, Reason), (evidence, Evidence)):
        if value not in get_args(kind):
            raise InputError(f"{value!r} is none of {', '.join(get_args(kind))}")
    who, number = _identifier(agent, "an agent's id"), _identifier(case, "a case number")
    with _acting(flow, user_id) as act:
        made = kept.request_approval(
            act.c,
            user_id=user_id,
            action=action,
            reason=f"{reason}; {evidence}; case {number}",
            requested_by=who,
            now=act.now,
            expires=act.now + APPROVAL_LIFE_MS,
        )
        act.note(
            "requested", who, made, action=action, reason=reason, evidence=evidence, case=number
        )
        act.tell("support_requested")
    return made


def approve(flow: Flow, agent: str, approval_id: int) -> bool:
    """A second agent approves; False for the one who asked, a second time, or after a day."""
    who = _identifier(agent, "an agent's id")
    with write(flow.engine) as c:
        now = flow.clock()
        found = kept.approval(c, approval_id)
        approved = found is not None and kept.approve(c, approval_id, who, now)
        detail = {"what": "approved" if approved else "not approved", "agent": who}
        user_id = None if found is None else found.user_id
        append(c, [Event(now, "support", user_id, {**detail, "approval": approval_id})])
    return approved


def perform(flow: Flow, agent: str, approval_id: int) -> Action:
    """Carry out what was approved, once; what it was. By one of the two agents.

    `InputError`, and nothing is done or spent, when it is not approved, is spent or expired, or
    does not fit the account: one that is not locked, or has no factor left to unlock.
    """
    who = _identifier(agent, "an agent's id")
    with read(flow.engine) as c:
        found = kept.approval(c, approval_id)
    if found is None or who not in {found.requested_by, found.approved_by}:
        raise InputError("there is no such request of this agent")
    with _acting(flow, found.user_id) as act:
        spent = kept.use_approval(
            act.c, approval_id, user_id=found.user_id, action=found.action, now=act.now
        )
        if not spent:
            raise InputError("the request is not approved, was carried out, or is over a day old")
        if found.action == "unlock":
            act.unlock()
        else:
            act.recover()
        act.note("performed", who, approval_id, action=found.action)
    return "unlock" if found.action == "unlock" else "recover"


def hold(flow: Flow, agent: str, user_id: int, *, case: str) -> bool:
    """Lock an account at once: sessions, trust, challenges and any recovery under way end with it.

    False when it was locked or is not in use. `unlock` or `recover` ends it, by two people.
    """
    who, number = _identifier(agent, "an agent's id"), _identifier(case, "a case number")
    with _acting(flow, user_id) as act:
        held = any(
            accounts.set_status(act.c, user_id, "locked", was=was) for was in ("active", "recovery")
        )
        if held:
            act.stop_everything()
            # the same password, set anew: requests begun by name before now hold no more, not even
            # once the account is unlocked
            accounts.set_password(act.c, user_id, act.account.password_hash, act.now)
            act.note("held", who, None, case=number)
            act.tell("held")
    return held


@dataclass
class _Acting:
    """One act of support within its transaction, and what is to be audited and told."""

    flow: Flow
    c: Connection
    account: Account
    now: int
    events: list[Event] = field(default_factory=list)
    letters: list[notices.Letter] = field(default_factory=list)

    def note(self, what: str, agent: str, approval_id: int | None, **more: object) -> None:
        detail = {"what": what, "agent": agent, "approval": approval_id, **more}
        self.events.append(Event(self.now, "support", self.account.user_id, detail))

    def tell(self, kind: str) -> None:
        letters, told = notices.tell(self.flow, self.c, self.account, kind, self.now)
        self.letters += letters
        self.events += told

    def unlock(self) -> None:
        """Every count starts again. A factor stopped after 100 failures stays out of use."""
        enrolled = authenticators.authenticators_of(self.c, self.account.user_id)
        if not is_locked(self.flow, self.account):
            raise InputError("the account is not locked")
        if not any(one.usable for one in enrolled):
            raise InputError("the account has no usable factor left: request recover instead")
        self._open("active")
        self.tell("support_unlocked")

    def recover(self) -> None:
        """Every factor and the password are void; for a day support's proof is one of two.

        With the old password alone somebody else could otherwise enrol a factor of theirs.
        """
        user_id = self.account.user_id
        for one in authenticators.authenticators_of(self.c, user_id):
            if authenticators.disable_authenticator(self.c, one.id, self.now):
                self.events.append(Event(self.now, "factor_disabled", user_id, {"id": one.id}))
        authenticators.replace_recovery_codes(self.c, user_id, "lookup", "", [], self.now)
        accounts.set_password(self.c, user_id, self.flow.passwords.decoy, self.now)
        self.stop_everything()
        self._open("recovery")
        SqlCounter(self.c, self.flow.keyring).add(support_key(user_id), self.now)
        self.tell("support_recovery")

    def stop_everything(self) -> None:
        """End what runs or waits on the account."""
        devices.end_sessions(self.c, self.account.user_id, self.now)
        devices.void_trust(self.c, self.account.user_id, self.now)
        challenges.close_challenges_of(self.c, self.account.user_id)

    def _open(self, status: str) -> None:
        accounts.reset_failures(self.c, self.account.user_id)
        accounts.set_status(self.c, self.account.user_id, status, was=self.account.status)
        forget_failures(self.flow, self.c, self.account.name, "reset")
        forget_failures(self.flow, self.c, self.account.name, "recovery")


@contextmanager
def _acting(flow: Flow, user_id: int) -> Iterator[_Acting]:
    """One transaction on an account in use; an error within undoes everything."""
    with write(flow.engine) as c:
        account = accounts.lock_account(c, user_id)
        if account is None or account.status in {"pending", "closed"}:
            raise InputError("there is no such account in use")
        act = _Acting(flow, c, account, flow.clock())
        yield act
        append(c, act.events)
    notices.send(flow, act.letters)


def _identifier(text: str, what: str) -> str:
    """One form for every way to write it, so that nobody is two people."""
    plain = text.strip().lower()
    if not _ID.fullmatch(plain):
        raise InputError(f"{what} has 1 to 64 letters, digits and . _ @ -")
    return plain
