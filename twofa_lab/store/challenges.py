"""Challenges and the messages that carry them: open, resend, consume once, send once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, insert, null, or_, select, update

from twofa_lab.catalog.factors import MAX_CLOCK_STEP_MS
from twofa_lab.store.schema import challenges, messages
from twofa_lab.store.statements import Prepared

__all__ = [
    "Added",
    "Challenge",
    "Message",
    "add_challenge",
    "add_message",
    "by_id",
    "cancel_pending_messages",
    "challenge",
    "close_challenge",
    "close_challenges_of",
    "consume_challenge",
    "mark_delivered",
    "mark_failed",
    "mark_lost",
    "mark_sent",
    "message_by_provider_id",
    "messages_of",
    "owner_of",
    "provider_id_of",
    "replace_code",
    "set_context",
]


@dataclass(frozen=True, slots=True)
class Challenge:
    """One row of `challenges`, its columns in order; see `schema` for what each means."""

    id: str
    user_id: int
    authenticator_id: int | None
    session_binding: bytes = field(repr=False)
    purpose: str
    factor: str
    expected: bytes | None = field(repr=False)
    context: str | None
    created: int
    expires: int
    attempts: int
    max_attempts: int
    consumed_at: int | None
    state: str


@dataclass(frozen=True, slots=True)
class Message:
    """One row of `messages`, its columns in order; see `schema` for what each means."""

    id: int
    challenge_id: str
    channel: str
    provider: str
    provider_id: str | None
    idempotency_key: str = field(repr=False)
    state: str
    created: int
    sent_at: int | None
    delivered_at: int | None
    price_microusd: int
    masked_number: str


_c = challenges.c
_BOUND = (_c.id == bindparam("of"), _c.session_binding == bindparam("binding"))
_BY_ID = Prepared(
    select(*(_c[name] for name in Challenge.__slots__)).where(_c.id == bindparam("of"))
)
_OWNER = Prepared(select(_c.user_id).where(_c.id == bindparam("of")))
_OPEN = update(challenges).where(*_BOUND, _c.state == "open")
_SELECT = Prepared(select(*(_c[name] for name in Challenge.__slots__)).where(*_BOUND))
_INSERT = Prepared(
    insert(challenges),
    [x for x in Challenge.__slots__ if x not in {"attempts", "consumed_at", "state"}],
)
_CONSUME = Prepared(
    _OPEN.where(
        _c.expires > bindparam("now"), _c.created <= bindparam("now") + MAX_CLOCK_STEP_MS
    ).values(state="consumed", consumed_at=bindparam("now"), context=null())
)
_CLOSE = Prepared(_OPEN.values(state=bindparam("to"), context=null()))
_CLOSE_ALL = Prepared(
    update(challenges)
    .where(_c.user_id == bindparam("whose"), _c.state == "open")
    .values(state="cancelled", context=null())
)
_CONTEXT = Prepared(_OPEN.values(context=bindparam("context_now")))
_RESEND = Prepared(_OPEN.where(_c.expires > bindparam("now")).values(expected=bindparam("code")))


def add_challenge(
    connection: Connection,
    *,
    challenge_id: str,
    user_id: int,
    session_binding: bytes,
    purpose: str,
    factor: str,
    created: int,
    expires: int,
    max_attempts: int,
    expected: bytes | None = None,
    authenticator_id: int | None = None,
    context: str | None = None,
) -> None:
    """Open a challenge. `challenge_id` is random; `expected` is a keyed hash of the code or the
    WebAuthn challenge; `session_binding` is a hash of the request that may answer it.
    """
    row = {
        "id": challenge_id,
        "user_id": user_id,
        "authenticator_id": authenticator_id,
        "session_binding": session_binding,
        "purpose": purpose,
        "factor": factor,
        "expected": expected,
        "context": context,
        "created": created,
        "expires": expires,
        "max_attempts": max_attempts,
    }
    _INSERT.run(connection, row)


def challenge(connection: Connection, challenge_id: str, binding: bytes) -> Challenge | None:
    """The challenge, if it was made for that request; else None, as if it did not exist."""
    row = _SELECT.one(connection, {"of": challenge_id, "binding": binding})
    return None if row is None else Challenge(*row)


def by_id(connection: Connection, challenge_id: str) -> Challenge | None:
    """The challenge whoever asks: for what is authenticated in another way, such as an app."""
    row = _BY_ID.one(connection, {"of": challenge_id})
    return None if row is None else Challenge(*row)


def owner_of(connection: Connection, challenge_id: str) -> int | None:
    """Whose challenge it is; None when there is none."""
    found: int | None = _OWNER.value(connection, {"of": challenge_id})
    return found


def consume_challenge(connection: Connection, challenge_id: str, binding: bytes, now: int) -> bool:
    """Spend the challenge: true for exactly one caller, and never once it expired.

    Its context goes, as it does however a challenge ends: nobody needs it any more.
    """
    values = {"of": challenge_id, "binding": binding, "now": now}
    return _CONSUME.run(connection, values) == 1


def close_challenge(
    connection: Connection, challenge_id: str, binding: bytes, state: str = "cancelled"
) -> bool:
    """End an open challenge without success (`cancelled` or `failed`)."""
    values = {"of": challenge_id, "binding": binding, "to": state}
    return _CLOSE.run(connection, values) == 1


def close_challenges_of(connection: Connection, user_id: int) -> int:
    """End every open challenge of an account, for what began before no longer holds; how many."""
    return _CLOSE_ALL.run(connection, {"whose": user_id})


def replace_code(
    connection: Connection, challenge_id: str, binding: bytes, expected: bytes, now: int
) -> bool:
    """A resend: another code for the same challenge. Attempts and expiry stay as they are."""
    values = {"of": challenge_id, "binding": binding, "code": expected, "now": now}
    return _RESEND.run(connection, values) == 1


def set_context(
    connection: Connection, challenge_id: str, binding: bytes, context: str | None
) -> bool:
    """Replace what an open challenge must still know; False when it is over."""
    values = {"of": challenge_id, "binding": binding, "context_now": context}
    return _CONTEXT.run(connection, values) == 1


_m = messages.c
_MESSAGE = select(*(_m[name] for name in Message.__slots__))
_ONE = update(messages).where(_m.id == bindparam("of"))
_ADD_ONCE = Prepared(
    lambda own_insert: own_insert(messages).on_conflict_do_nothing().returning(_m.id),
    ("challenge_id", "channel", "provider", "idempotency_key", "created", "masked_number"),
)
_BY_KEY = Prepared(select(_m.id).where(_m.idempotency_key == bindparam("idempotency_key")))
_PROVIDER_ID = Prepared(select(_m.provider_id).where(_m.id == bindparam("of")))
_BY_PROVIDER = Prepared(
    _MESSAGE.where(_m.provider == bindparam("provider"), _m.provider_id == bindparam("pid"))
)
_OF_CHALLENGE = Prepared(
    _MESSAGE.where(_m.challenge_id == bindparam("challenge_id")).order_by(_m.id)
)
_SENT = Prepared(
    _ONE.where(or_(_m.state == "pending", _m.state == "unknown")).values(
        state="sent",
        provider_id=bindparam("pid"),
        sent_at=bindparam("now"),
        price_microusd=bindparam("price"),
    )
)
_DELIVERED = Prepared(
    _ONE.where(_m.delivered_at.is_(None)).values(state="delivered", delivered_at=bindparam("now"))
)
_FAILED = Prepared(_ONE.where(_m.state == "pending").values(state=bindparam("to")))
_LOST = Prepared(_ONE.where(_m.state == "sent", _m.delivered_at.is_(None)).values(state="failed"))
_CANCEL = Prepared(
    update(messages)
    .where(_m.challenge_id == bindparam("whose"), _m.state == "pending")
    .values(state="cancelled")
)


class Added(NamedTuple):
    """The message of an idempotency key, and whether this call made it."""

    id: int
    new: bool


def add_message(
    connection: Connection,
    *,
    challenge_id: str,
    channel: str,
    provider: str,
    idempotency_key: str,
    created: int,
    masked_number: str,
) -> Added:
    """Note that a message is about to be sent, once per `idempotency_key`.

    A key seen before gives the message it made then, and the caller sends nothing.
    """
    row = {
        "challenge_id": challenge_id,
        "channel": channel,
        "provider": provider,
        "idempotency_key": idempotency_key,
        "created": created,
        "masked_number": masked_number,
    }
    made = _ADD_ONCE.value(connection, row)
    if made is not None:
        return Added(made, new=True)
    before = _BY_KEY.value(connection, {"idempotency_key": idempotency_key})
    return Added(before, new=False)


def provider_id_of(connection: Connection, message_id: int) -> str | None:
    """What the provider calls a message; None while no answer of its is known."""
    found: str | None = _PROVIDER_ID.value(connection, {"of": message_id})
    return found


def mark_sent(
    connection: Connection, message_id: int, provider_id: str | None, price_microusd: int, now: int
) -> bool:
    """The provider took it; false when it was sent, failed or cancelled before."""
    values = {"of": message_id, "pid": provider_id, "price": price_microusd, "now": now}
    return _SENT.run(connection, values) == 1


def mark_delivered(connection: Connection, message_id: int, now: int) -> bool:
    """It arrived; true the first time only, however often the provider reports it."""
    return _DELIVERED.run(connection, {"of": message_id, "now": now}) == 1


def mark_failed(connection: Connection, message_id: int, state: str = "failed") -> bool:
    """It was not taken (`failed`), or nobody can tell (`unknown`: a time-out after sending)."""
    return _FAILED.run(connection, {"of": message_id, "to": state}) == 1


def mark_lost(connection: Connection, message_id: int) -> bool:
    """It was sent and will not arrive: `failed`, as its `sent_at` tells from one never taken."""
    return _LOST.run(connection, {"of": message_id}) == 1


def cancel_pending_messages(connection: Connection, challenge_id: str) -> int:
    """Cancel what was not sent yet; how many."""
    return _CANCEL.run(connection, {"whose": challenge_id})


def messages_of(connection: Connection, challenge_id: str) -> list[Message]:
    """The messages of a challenge in the order they were made."""
    rows = _OF_CHALLENGE.all(connection, {"challenge_id": challenge_id})
    return [Message(*row) for row in rows]


def message_by_provider_id(
    connection: Connection, provider: str, provider_id: str
) -> Message | None:
    """The message a provider's webhook speaks of, or None."""
    values = {"provider": provider, "pid": provider_id}
    row = _BY_PROVIDER.one(connection, values)
    return None if row is None else Message(*row)
