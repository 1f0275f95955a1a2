"""Opening a challenge: the next factor on offer, asked for.

What must hold together is written in the caller's transaction; a code or a push leaves by
`send_first`, after the commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from twofa_lab.delivery import phone
from twofa_lab.delivery.limits import SendGuard
from twofa_lab.delivery.phone import PhoneNumber
from twofa_lab.delivery.providers.base import DeliveryError
from twofa_lab.factors import otp, passkeys, push
from twofa_lab.flow.offers import has_phone_only, of_kind, offered
from twofa_lab.flow.pending import Pending
from twofa_lab.flow.sending import Sending, claim_first, usable_channels
from twofa_lab.flow.service import Flow
from twofa_lab.flow.step import Ask, Ticket
from twofa_lab.store import challenges
from twofa_lab.store.accounts import Account, phone_of
from twofa_lab.store.audit import Event, append
from twofa_lab.store.authenticators import Authenticator, authenticators_of, secret_of
from twofa_lab.store.counter import SqlCounter
from twofa_lab.store.engine import write

__all__ = [
    "Opened",
    "ask_next",
    "guard",
    "is_locked",
    "keep",
    "push_key",
    "send_first",
    "with_code",
]


@dataclass(frozen=True, slots=True)
class Opened:
    """A challenge to write and to send, or why there is none (`refused`: an outcome's name).

    `expected` is what the store checks an answer against; `code`, `number` and `claimed` (message
    rows by key) are for a code that is to be sent, `push` the app's token.
    """

    factor: str
    refused: str = ""
    ask: Ask | None = None
    expected: bytes | None = field(default=None, repr=False)
    life_seconds: int = 0
    authenticator_id: int | None = None
    number: PhoneNumber | None = None
    whatsapp: bool = False
    code: str | None = field(default=None, repr=False)
    claimed: tuple[str, int] | None = None
    push: bytes | None = field(default=None, repr=False)
    ip: str = ""


def is_locked(flow: Flow, account: Account) -> bool:
    """Whether nothing of the account may be tried: the hard stop, or a status that forbids it."""
    stopped = account.factor_failures >= flow.policy.limits.lock_after
    return stopped or account.status in {"pending", "locked", "closed"}


def push_key(user_id: int) -> str:
    """What an account's push requests since its last success are counted under."""
    return f"push:{user_id}"


def guard(flow: Flow, c: Connection) -> SendGuard | None:
    """The limits on sending, counted in this transaction; None where the flow has none."""
    if flow.rules.send_limits is None:
        return None
    counter = SqlCounter(c, flow.keyring)
    return SendGuard(counter, flow.rules.send_limits, flow.rules.pumping)


def _admitted(flow: Flow, c: Connection, number: PhoneNumber, ip: str) -> bool:
    """Whether a code may be sent now; without a known address the limits on one do not hold."""
    rules = flow.rules.send_limits
    if rules is None:
        return True
    if not ip:
        rules = tuple(limit for limit in rules if limit.scope != "ip")
    limited = SendGuard(SqlCounter(c, flow.keyring), rules, flow.rules.pumping)
    return limited.admit(number, ip or "::", flow.clock()) is None


def ask_next(
    flow: Flow,
    c: Connection,
    account: Account,
    tried: Sequence[str],
    ticket: Ticket,
    *,
    ip: str = "",
    wanted: str | None = None,
) -> Opened:
    """The best factor that was not tried yet, or the one `wanted`.

    A push that may not be sent now is passed over. Where the policy allows no weaker factor that
    ends the challenge as rate_limited instead, so that bombing brings no weaker one about. Who has
    bound no factor yet is sent a code to the phone number that sign-up verified.
    """
    weaker = flow.policy.allow_weaker_factor
    enrolled = authenticators_of(c, account.user_id)
    phone_only = has_phone_only(account, enrolled)
    known = ("otp",) if phone_only else offered(enrolled, allow_weaker=weaker)
    kinds = [k for k in known if k not in tried]
    refused = Opened("none", refused="abandoned")
    for kind in kinds if wanted is None else [k for k in kinds if k == wanted]:
        mine = of_kind(enrolled, kind)
        if kind == "otp":
            text = secret_of(flow.keyring, mine[0]).decode() if mine else _phone(flow, account)
            number = replace(phone.parse(text), line_type=account.line_type or "unknown")
            opened = with_code(flow, c, ticket, number, whatsapp=account.whatsapp, ip=ip)
        elif kind == "push":
            opened = _push(flow, c, ticket, mine[0])
        elif kind == "totp":
            opened = Opened("totp", ask=Ask("totp"), life_seconds=flow.rules.otp.life_seconds)
        else:
            opened = _passkey(flow, kind, mine)
        if not opened.refused:
            others = tuple(k for k in kinds if k != kind) if weaker else ()
            shown = replace(opened.ask or Ask(kind), others=others, left=flow.policy.max_attempts)
            bound = None if phone_only or kind in {"passkey", "hardware_key"} else mine[0].id
            return replace(opened, ask=shown, authenticator_id=bound)
        if not weaker:
            return opened
        if kind == "otp":
            refused = opened
    return refused


def _phone(flow: Flow, account: Account) -> str:
    return phone_of(flow.keyring, account) or ""


def with_code(
    flow: Flow,
    c: Connection,
    ticket: Ticket,
    number: PhoneNumber,
    *,
    whatsapp: bool,
    ip: str,
) -> Opened:
    """A code to a number, drawn here where the provider takes ours."""
    if not usable_channels(flow, number, whatsapp=whatsapp):
        return Opened("otp", refused="undelivered")
    if not _admitted(flow, c, number, ip):
        return Opened("otp", refused="rate_limited")
    code, expected = None, None
    if flow.provider.supports.own_code:
        code = otp.new_code(flow.rules.otp, flow.randbelow).text
        expected = otp.hash_code(flow.keyring, ticket.challenge_id, code)
    return Opened(
        "otp",
        ask=Ask("otp", masked=str(number)),
        expected=expected,
        life_seconds=flow.rules.otp.life_seconds,
        number=number,
        whatsapp=whatsapp,
        code=code,
        ip=ip,
    )


def _push(flow: Flow, c: Connection, ticket: Ticket, one: Authenticator) -> Opened:
    """A request with a number to match, unless the account had too many."""
    counter, now = SqlCounter(c, flow.keyring), flow.clock()
    asked = counter.times(push_key(one.user_id))
    denied = counter.times(push_key(one.user_id) + ":denied")
    if not push.may_send(asked, denied, now, flow.rules.push):
        return Opened("push", refused="rate_limited")
    counter.add(push_key(one.user_id), now)
    number = push.new_number(flow.rules.push, flow.randbelow).text
    return Opened(
        "push",
        ask=Ask("push", number=number),
        expected=push.hash_number(flow.keyring, ticket.challenge_id, number),
        life_seconds=flow.rules.push.life_seconds,
        push=secret_of(flow.keyring, one),
    )


def _passkey(flow: Flow, kind: str, mine: Sequence[Authenticator]) -> Opened:
    ids = [one.credential_id for one in mine if one.credential_id is not None]
    ceremony = passkeys.authentication(flow.relying_party, ids, flow.random_bytes)
    return Opened(
        kind,
        ask=Ask(kind, options=ceremony.options),
        expected=ceremony.challenge,
        life_seconds=flow.relying_party.life_seconds,
    )


def keep(
    flow: Flow,
    c: Connection,
    user_id: int,
    opened: Opened,
    ticket: Ticket,
    pending: Pending,
    purpose: str,
) -> tuple[Opened, Event]:
    """Write the challenge and claim its first message; what to audit."""
    now = flow.clock()
    challenges.add_challenge(
        c,
        challenge_id=ticket.challenge_id,
        user_id=user_id,
        authenticator_id=opened.authenticator_id,
        session_binding=ticket.binding(flow),
        purpose=purpose,
        factor=opened.factor,
        expected=opened.expected,
        created=now,
        expires=now + opened.life_seconds * 1000 + 1,  # its last millisecond still counts
        max_attempts=flow.policy.max_attempts,
        context=pending.seal(flow.keyring, user_id),
    )
    if opened.number is not None:
        channel = usable_channels(flow, opened.number, whatsapp=opened.whatsapp)[0]
        claimed = claim_first(flow, c, ticket.challenge_id, channel, opened.number, now)
        opened = replace(opened, claimed=claimed)
    detail = {"challenge": ticket.challenge_id, "factor": opened.factor, "purpose": purpose}
    return opened, Event(now, "challenge", user_id, detail)


def send_first(
    flow: Flow, user_id: int, opened: Opened, ticket: Ticket, pending: Pending
) -> tuple[Pending, DeliveryError | None]:
    """Send what an open challenge needs, once its transaction is committed.

    The pending login with its delivery, and the error where nothing could be sent; the challenge is
    closed then.
    """
    if opened.push is not None:
        flow.outbox.push(opened.push, ticket.challenge_id)
    if opened.number is None:
        return pending, None
    run = Sending(flow, ticket, opened.number, dict([opened.claimed] if opened.claimed else []))
    error: DeliveryError | None = None
    try:
        delivery = run.start(whatsapp=opened.whatsapp, ip=opened.ip, code=opened.code)
        pending = replace(pending, delivery=delivery)
    except DeliveryError as failed:
        error = failed
    now, binding = flow.clock(), ticket.binding(flow)
    with write(flow.engine) as c:
        events, spent = run.note(c, user_id, now)
        pending = replace(pending, microusd=pending.microusd + spent)
        if error is not None:
            challenges.close_challenge(c, ticket.challenge_id, binding, "failed")
            why = {"challenge": ticket.challenge_id, "result": error.reason.name}
            events.append(Event(now, "send", user_id, why))
        else:
            sealed = pending.seal(flow.keyring, user_id)
            challenges.set_context(c, ticket.challenge_id, binding, sealed)
        append(c, events)
    return pending, error
