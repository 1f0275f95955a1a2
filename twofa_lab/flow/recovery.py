"""Account recovery when every factor is lost, as strong as NIST SP 800-63B-4 4.2.2.2 asks at AAL2.

Two proofs by different methods: the saved recovery code (4.2.1.1), a code issued to the validated
e-mail address (24 hours, 4.2.1.2), a code issued to the validated phone (10 minutes; not to a SIM
that was swapped lately), a bound authenticator app, or identity proofed anew by support with two
people (`support`). A password proves nothing here, and secret questions do not exist.

The first proof is by saved code or e-mail, where an unknown name costs and is told the same (see
`sealed_request`). Only then is a message sent to the phone or the app asked for, as a challenge
under the limits of the second factor, so that a name alone makes nobody's phone ring.

At the end every factor is out of use, the password is new, trust, sessions and open challenges are
void, and the saved code is issued anew. The session is AAL1 in an account of status "recovery", and
can only enrol a factor (`SessionState.enrol_only`); the first one ends that status. Who comes back
later signs in with the new password and finds the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from sqlalchemy import Connection

from twofa_lab.delivery import phone
from twofa_lab.delivery.phone import PhoneNumber
from twofa_lab.delivery.sim_swap import sim_swap_verdict
from twofa_lab.factors import recovery_codes, saved_recovery_code
from twofa_lab.factors.ports import is_alive
from twofa_lab.factors.recovery_codes import StoredRecoveryCode
from twofa_lab.flow import notices
from twofa_lab.flow.answer import answer_challenge
from twofa_lab.flow.asking import Opened, keep, with_code
from twofa_lab.flow.login import ask
from twofa_lab.flow.offers import of_kind
from twofa_lab.flow.password_reset import renew_password
from twofa_lab.flow.passwords import checked_password
from twofa_lab.flow.pending import Pending
from twofa_lab.flow.sealed_request import (
    CODE_LIFE_SECONDS,
    NOBODY,
    Reply,
    SealedRequest,
    count_try,
    email_code_right,
    forget_failures,
    lock_named,
    note_failure,
    once,
    open_request,
)
from twofa_lab.flow.service import Flow, on_the_beat
from twofa_lab.flow.sessions import Proof, open_session
from twofa_lab.flow.step import Ask, Record, Step, Ticket
from twofa_lab.store import accounts, authenticators
from twofa_lab.store.accounts import Account
from twofa_lab.store.audit import Event, append
from twofa_lab.store.challenges import Challenge
from twofa_lab.store.counter import SqlCounter
from twofa_lab.store.engine import read, write
from twofa_lab.store.support import notices_of

__all__ = [
    "Recovered",
    "answer_second_proof",
    "ask_second_proof",
    "begin_recovery",
    "finish_recovery",
    "may_change_addresses",
    "prove",
    "support_key",
]

_PROOFS_NEEDED = 2


@dataclass(frozen=True, slots=True)
class Recovered:
    """How a recovery ended: where `reply` is "done", with a session for a cookie, and the next
    saved recovery code to show once.
    """

    reply: Reply
    session: str | None = field(default=None, repr=False)
    saved_code: str | None = field(default=None, repr=False)


def support_key(user_id: int) -> str:
    """What support's proof of an account's owner is counted under."""
    return f"recovery-support:{user_id}"


def begin_recovery(flow: Flow, name: str, *, ip: str = "") -> str:
    """Begin to recover the account of a name, and e-mail its code; the request for what follows."""
    subject = "Somebody, you perhaps, is recovering your account: code"
    return open_request(flow, "recovery", name, ip=ip, event="recovery", subject=subject)


@on_the_beat
def prove(flow: Flow, request: str, kind: Literal["email", "saved"], typed: str) -> Reply:
    """Give a proof: the e-mailed code, or the saved recovery code, which is spent at the end only.

    "asked" carries the request to go on with; "refused" counts, "wait" says until when.
    """
    found = SealedRequest.read(flow, "recovery", request)
    with write(flow.engine) as c:
        now = flow.clock()
        account = lock_named(c, found.name, "recovery")
        counted = count_try(flow, c, found, now)
        row = 0
        if kind == "saved":
            row = _saved_row(flow, c, account, "" if counted.refused else typed)
            right = row > 0
        else:
            right = email_code_right(flow, found, typed)
        right = right and not counted.refused and _holds(found, account)
        right = right and once(flow, c, found, kind, now)
        if not right and not counted.refused:
            note_failure(flow, c, found, now)
        append(c, [_attempt(found, account, kind, now, right=right, refused=counted.refused)])
    if counted.refused:
        return counted.reply()
    if not right:
        return Reply("refused")
    return _proved(flow, replace(found, saved_row=row or found.saved_row), kind)


@on_the_beat
def ask_second_proof(
    flow: Flow, request: str, kind: Literal["phone", "totp"], *, ip: str = ""
) -> Step:
    """Send a code to the validated phone, or ask for the authenticator app's; another proof, or
    support's, came before.

    Fallback and resend of the code are `codes_due.advance` and `resend`, as at login.
    """
    found = SealedRequest.read(flow, "recovery", request)
    with read(flow.engine) as c:
        account = accounts.account_by_name(c, found.name)
        vouched = _by_support(flow, c, account)
    if account is None or not (found.proved or vouched):
        return Step("refused")
    number = _number(flow, account) if kind == "phone" else None
    if kind == "phone" and (number is None or not _sim_is_old(flow, number)):
        return Step("refused", text="No code can be sent to the phone of this account.")
    ticket = Ticket(flow.token(), flow.token())
    with write(flow.engine) as c:
        now = flow.clock()
        account = lock_named(c, found.name, "recovery")
        if account is None or not _holds(found, account):
            return Step("refused")
        if now < account.factor_wait_until:
            return Step("wait", retry_ms=account.factor_wait_until)
        opened = _opened(flow, c, account, number, ticket, ip)
        if opened.refused or opened.ask is None:
            append(c, [_event(account.user_id, found, now, f"{kind}: {opened.refused}")])
            return Step("refused")
        shown = replace(opened.ask, left=flow.policy.max_attempts)
        pending = Pending(now, subject=found.id)
        opened, event = keep(
            flow, c, account.user_id, replace(opened, ask=shown), ticket, pending, "recovery"
        )
        append(c, [event])
    return ask(flow, account.user_id, opened, Step("asked", Record(), shown, ticket), pending)


def answer_second_proof(flow: Flow, request: str, ticket: Ticket, typed: str) -> Reply:
    """Check the answer to what `ask_second_proof` asked for.

    "asked" carries the request to go on with; "refused" without one leaves the challenge as it was
    or ended it, as the store says: ask again when it no longer takes answers.
    """
    found = SealedRequest.read(flow, "recovery", request)

    def proved(
        flow: Flow, c: Connection, answered: Challenge, pending: Pending, record: Record, _: str
    ) -> tuple[Step, list[Event]]:
        now = flow.clock()
        account = accounts.account(c, answered.user_id)
        mine = pending.subject == found.id and _holds(found, account)
        event = _event(answered.user_id, found, now, f"proved {record.factor}")
        return Step("done" if mine else "refused", record), [event]

    step = answer_challenge(flow, ticket, typed, "recovery", proved)
    if step.status != "done":
        return Reply("refused", request, found.proved)
    return _proved(flow, found, "totp" if step.record.factor == "totp" else "phone")


@on_the_beat
def finish_recovery(flow: Flow, request: str, new_password: str) -> Recovered:
    """Recover the account after two proofs, under a new password. Works once.

    `InputError` for a password that cannot be one.
    """
    found = SealedRequest.read(flow, "recovery", request)
    password_hash = flow.passwords.hash(checked_password(new_password, found.name))
    fresh = saved_recovery_code.issue(flow.rules.recovery.cost, flow.random_bytes)
    letters: list[notices.Letter] = []
    session = None
    with write(flow.engine) as c:
        now = flow.clock()
        account = lock_named(c, found.name, "recovery")
        vouched = _by_support(flow, c, account)
        if account is None or not _may_finish(flow, c, found, account, now, vouched=vouched):
            user_id = None if account is None else account.user_id
            append(c, [_event(user_id, found, now, "refused")])
            return Recovered(Reply("refused", proved=found.proved))
        letters, events = _recover(flow, c, account, found, password_hash, now)
        stored = fresh.stored
        authenticators.replace_recovery_codes(
            c,
            account.user_id,
            "saved",
            stored.set_id,
            [(stored.prefix, stored.code_hash)],
            now,
        )
        session = open_session(flow, c, account.user_id, Proof(1, ("otp",)), "", now)
        started = {"what": "started", "aal": 1, "amr": "otp"}
        append(c, [*events, Event(now, "session", account.user_id, started)])
    notices.send(flow, letters)
    return Recovered(Reply("done", proved=found.proved), session, fresh.text)


def may_change_addresses(flow: Flow, c: Connection, user_id: int) -> bool:
    """Whether e-mail address and phone may be changed: not for `address_wait_ms` after a recovery.

    Who recovered an account that is not theirs could otherwise cut its owner off at once; so the
    notices still reach the owner while there is time to object.
    """
    since = flow.clock() - flow.rules.address_wait_ms
    told = notices_of(c, user_id)
    return not any(notice.kind == "recovered" and notice.at > since for notice in told)


def _proved(flow: Flow, found: SealedRequest, kind: str) -> Reply:
    proved = tuple(dict.fromkeys((*found.proved, kind)))
    return Reply("asked", replace(found, proved=proved).seal(flow), proved)


def _holds(found: SealedRequest, account: Account | None) -> bool:
    """A password set since the request began, by whatever way, ends the request."""
    return account is not None and account.password_changed_at <= found.created


def _saved_row(flow: Flow, c: Connection, account: Account | None, typed: str) -> int:
    """The row of the account's saved code, 0 for a wrong one; one hash whatever there is."""
    # what is no code is hashed as well, whatever its characters
    no_code = recovery_codes.TypedRecoveryCode("", ascii(typed[:64]))
    code = saved_recovery_code.parse(typed) or no_code
    user_id = NOBODY if account is None else account.user_id
    found = authenticators.recovery_codes_with_prefix(c, user_id, code.prefix)
    rows = [row for row in found if row.kind == "saved"]
    stored = None
    if rows:
        stored = StoredRecoveryCode(rows[0].set_id, code.prefix, rows[0].code_hash)
    right = recovery_codes.matches(stored, code, flow.rules.recovery.cost)
    return rows[0].id if right else 0


def _number(flow: Flow, account: Account) -> PhoneNumber | None:
    e164 = accounts.phone_of(flow.keyring, account)
    if e164 is None:
        return None
    return replace(phone.parse(e164), line_type=account.line_type or "unknown")


def _sim_is_old(flow: Flow, number: PhoneNumber) -> bool:
    """For a recovery no channel of a swapped SIM will do: a messenger's account moves by SMS."""
    return flow.sim_swap is None or sim_swap_verdict(flow.sim_swap, number).allows


def _opened(
    flow: Flow,
    c: Connection,
    account: Account,
    number: PhoneNumber | None,
    ticket: Ticket,
    ip: str,
) -> Opened:
    if number is not None:
        return with_code(flow, c, ticket, number, whatsapp=account.whatsapp, ip=ip)
    apps = of_kind(authenticators.authenticators_of(c, account.user_id), "totp")
    if not apps:
        return Opened("totp", refused="abandoned")
    life = flow.rules.otp.life_seconds
    return Opened("totp", ask=Ask("totp"), life_seconds=life, authenticator_id=apps[0].id)


def _by_support(flow: Flow, c: Connection, account: Account | None) -> bool:
    """Whether support has vouched for the owner within a day, and nobody used it yet."""
    user_id = NOBODY if account is None else account.user_id
    vouched, now = SqlCounter(c, flow.keyring).times(support_key(user_id)), flow.clock()
    return any(is_alive(at, now, CODE_LIFE_SECONDS) for at in vouched)


def _may_finish(
    flow: Flow, c: Connection, found: SealedRequest, account: Account, now: int, *, vouched: bool
) -> bool:
    """Two proofs that still hold, for exactly one caller; the saved code is spent here."""
    # support's proof beside the saved code alone would leave every address unasked
    reached = {"email", "phone"} & set(found.proved) or not vouched
    if not _holds(found, account) or not reached:
        return False
    if len(found.proved) + vouched < _PROOFS_NEEDED or not once(flow, c, found, "finish", now):
        return False
    if "saved" not in found.proved:
        return True
    return authenticators.use_recovery_code(c, account.user_id, found.saved_row, now)


def _recover(
    flow: Flow, c: Connection, account: Account, found: SealedRequest, password_hash: str, now: int
) -> tuple[list[notices.Letter], list[Event]]:
    """Everything that opened the account before is void; what to send and to audit."""
    user_id = account.user_id
    for one in authenticators.authenticators_of(c, user_id):
        authenticators.disable_authenticator(c, one.id, now)
    authenticators.replace_recovery_codes(c, user_id, "lookup", "", [], now)
    accounts.set_status(c, user_id, "recovery", was="active")
    accounts.reset_failures(c, user_id)  # of factors that are no more
    SqlCounter(c, flow.keyring).forget(support_key(user_id))
    for purpose in ("recovery", "reset"):
        forget_failures(flow, c, account.name, purpose)
    letters, events = renew_password(flow, c, account, password_hash, now, "recovery")
    more, told = notices.tell(flow, c, account, "recovered", now)
    done = _event(user_id, found, now, "done")
    return [*letters, *more], [done, Event(now, "recovery_codes", user_id, _SAVED), *events, *told]


_SAVED = {"what": "issued", "kind": "saved"}


def _event(user_id: int | None, found: SealedRequest, now: int, what: str) -> Event:
    detail = {"what": what, "challenge": found.id, "proved": " ".join(found.proved)}
    return Event(now, "recovery", user_id, detail)


def _attempt(
    found: SealedRequest, account: Account | None, kind: str, now: int, *, right: bool, refused: str
) -> Event:
    detail = {"challenge": found.id, "factor": kind, "right": right, "refused": refused}
    return Event(now, "attempt", None if account is None else account.user_id, detail)
