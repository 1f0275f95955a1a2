"""A request by a login name alone: what travels between its steps, and how its tries are counted.

A forgotten password and a recovery begin with nothing but a name. So that they tell nobody which
names exist, and fill no table for whoever asks, no row of an account is written until something was
proved: the page carries the whole state sealed by AES-GCM, an e-mailed code in it only as a keyed
hash, and every count is kept by the login name, which an unknown name has as well.

Tries are counted in the transaction that holds the account, so parallel ones see each other: five a
request, and for the name an escalating wait and a hard stop by the policy's limits. Beginning again
resets none of it; only a request that reached its end does.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple, Self

from sqlalchemy import Connection

from twofa_lab.delivery.limits import network_of
from twofa_lab.errors import InputError, LabError
from twofa_lab.factors import otp
from twofa_lab.factors.ports import is_alive
from twofa_lab.factors.typed import digits_of
from twofa_lab.flow.login import login_name
from twofa_lab.flow.service import DAY, Flow, on_the_beat
from twofa_lab.store import accounts
from twofa_lab.store.accounts import Account
from twofa_lab.store.audit import Event, append
from twofa_lab.store.counter import SqlCounter
from twofa_lab.store.engine import write

__all__ = [
    "CODE_LIFE_SECONDS",
    "NOBODY",
    "REFUSED",
    "Counted",
    "Reply",
    "SealedRequest",
    "count_try",
    "email_code_right",
    "forget_failures",
    "lock_named",
    "note_failure",
    "once",
    "open_request",
]

CODE_LIFE_SECONDS = 86_400
"""A recovery code issued by e-mail lives 24 hours: NIST SP 800-63B-4, 4.2.1.2."""

MAILS_A_DAY, MAILS_A_NETWORK = 20, 3
"""E-mails a name can cause in a day for one purpose, from everywhere and from one address (an IPv6
/64): assumptions. A mailbox is not to be filled by others, and the owner's own place in the count
not to be taken by one stranger."""

NOBODY = -1
"""The account number that unknown names stand for: no account has it."""

REFUSED = "That did not work. Check what you typed, or begin again."

Purpose = Literal["reset", "recovery"]


@dataclass(frozen=True, slots=True)
class SealedRequest:
    """The state of one request; `seal` is what the page holds.

    `code_hash` is the e-mailed code's keyed hash (hex), `proved` the kinds of proof given so far,
    `saved_row` the saved recovery code to spend at the end, `phone` the ticket of a code by phone.
    """

    id: str
    purpose: Purpose
    name: str
    created: int
    code_hash: str = field(repr=False)
    proved: tuple[str, ...] = ()
    saved_row: int = 0
    phone: str = field(default="", repr=False)

    def seal(self, flow: Flow) -> str:
        """As the page carries it."""
        plain = json.dumps(asdict(self)).encode()
        sealed = flow.keyring.encrypt(plain, NOBODY, f"request.{self.purpose}")
        return base64.urlsafe_b64encode(sealed).decode()

    @classmethod
    def read(cls, flow: Flow, purpose: Purpose, text: str) -> Self:
        """The inverse; `InputError` when it is none, was altered, or is older than a day."""
        wrong = InputError("this is no open request; begin again")
        if len(text) > 4_000:
            raise wrong
        try:
            sealed = base64.urlsafe_b64decode(text.encode())
            plain: dict[str, Any] = json.loads(
                flow.keyring.decrypt(sealed, NOBODY, f"request.{purpose}")
            )
        except (binascii.Error, ValueError, LabError):
            raise wrong from None
        found = cls(**{**plain, "proved": tuple(plain["proved"])})
        if not is_alive(found.created, flow.clock(), CODE_LIFE_SECONDS):
            raise wrong
        return found


@dataclass(frozen=True, slots=True)
class Reply:
    """What one step comes to: "done", "asked" (go on with `request`), "wait" (until `retry_ms`) or
    "refused". `proved` are the proofs given so far.
    """

    status: Literal["done", "asked", "wait", "refused"]
    request: str | None = field(default=None, repr=False)
    proved: tuple[str, ...] = ()
    retry_ms: int | None = None

    def public(self) -> dict[str, Any]:
        """The answer a page gives: the same for a wrong code and an unknown name."""
        plain: dict[str, Any] = {"status": self.status, "proved": list(self.proved)}
        if self.retry_ms is not None:
            plain["retry_ms"] = self.retry_ms
        if self.status == "refused":
            plain["text"] = REFUSED
        return plain


class Counted(NamedTuple):
    """Whether a try may be looked at; if not, why ("wait", "locked", "spent"), until when."""

    refused: str = ""
    retry_ms: int | None = None

    def reply(self) -> Reply:
        """As the person is told."""
        if self.retry_ms is not None:
            return Reply("wait", retry_ms=self.retry_ms)
        return Reply("refused")


@on_the_beat
def open_request(
    flow: Flow, purpose: Purpose, typed_name: str, *, ip: str, event: str, subject: str
) -> str:
    """Begin: draw a code, send it to the account's validated address if there is one, and give the
    sealed request. The same statements and the same answer for every name.

    `event` is the audit's name for it, `subject` opens the e-mail.
    """
    name = login_name(typed_name)
    request_id, code = flow.token(), otp.new_code(flow.rules.otp, flow.randbelow).text
    with write(flow.engine) as c:
        now = flow.clock()
        found = lock_named(c, name, purpose)
        room = _may_mail(flow, c, f"{purpose}-mail:{name}", ip, now)
        address = None if found is None else accounts.email_of(flow.keyring, found)
        sent = room and address is not None
        detail = {"what": "begun", "challenge": request_id, "purpose": purpose, "sent": sent}
        append(c, [Event(now, event, None if found is None else found.user_id, detail)])
    hashed = otp.hash_code(flow.keyring, request_id, code)
    if address is not None and sent:
        flow.outbox.email(address, f"{purpose}_code", f"{subject} {code} (good for 24 hours, once)")
    return SealedRequest(request_id, purpose, name, now, hashed.hex()).seal(flow)


def _may_mail(flow: Flow, c: Connection, key: str, ip: str, now: int) -> bool:
    counter, since = SqlCounter(c, flow.keyring), now - DAY + 1
    from_here = f"{key}:{network_of(ip) if ip else 'unknown'}"
    return counter.add_within(from_here, now, since, MAILS_A_NETWORK) and counter.add_within(
        key, now, since, MAILS_A_DAY
    )


def lock_named(c: Connection, name: str, purpose: Purpose) -> Account | None:
    """The account of a name, locked until the transaction ends; None where there is none that may
    reset or recover. An unknown name costs the same two statements.

    A recovered account without a factor yet takes no reset: the one proof of a mailbox would then
    open what two proofs opened before.
    """
    found = accounts.account_by_name(c, name)
    locked = accounts.lock_account(c, NOBODY if found is None else found.user_id)
    may = {"active"} if purpose == "reset" else {"active", "recovery"}
    return locked if locked is not None and locked.status in may else None


def count_try(flow: Flow, c: Connection, request: SealedRequest, now: int) -> Counted:
    """Count a try against the request, unless the name waits or is at its hard stop."""
    counter, limits = SqlCounter(c, flow.keyring), flow.policy.limits
    failed = counter.times(_failures(request))
    if len(failed) >= limits.lock_after:
        return Counted("locked")
    wait = limits.wait_ms(len(failed))
    if wait and now < failed[-1] + wait:
        return Counted("wait", failed[-1] + wait)
    room = counter.add_within(f"tries:{request.id}", now, 0, flow.policy.max_attempts)
    return Counted() if room else Counted("spent")


def note_failure(flow: Flow, c: Connection, request: SealedRequest, now: int) -> None:
    """A counted try was wrong: it stays counted for the name."""
    SqlCounter(c, flow.keyring).add(_failures(request), now)


def forget_failures(flow: Flow, c: Connection, name: str, purpose: Purpose) -> None:
    """A request reached its end, or support unlocked the account: the name's count starts again."""
    SqlCounter(c, flow.keyring).forget(f"{purpose}-failed:{name}")


def once(flow: Flow, c: Connection, request: SealedRequest, what: str, now: int) -> bool:
    """True for exactly one caller for that request and thing: a code is accepted once."""
    return SqlCounter(c, flow.keyring).add_within(f"once:{request.id}:{what}", now, 0, 1)


def email_code_right(flow: Flow, request: SealedRequest, typed: str) -> bool:
    """Whether it is the e-mailed code; compared in the same time for every guess."""
    code = digits_of(typed, flow.rules.otp.digits) or ""
    right = otp.hash_code(flow.keyring, request.id, code)
    return hmac.compare_digest(right, bytes.fromhex(request.code_hash))


def _failures(request: SealedRequest) -> str:
    return f"{request.purpose}-failed:{request.name}"
