"""What happens at a challenge: a deterministic function of the row's potential outcomes.

Times are tenths of a second from the moment the challenge is shown. A code walks the policy's
channels in order, each sent one timeout after the one before unless the person has finished or
left by then; the earliest message to arrive carries the code (a late first message still counts),
and every message sent is paid for. When all have timed out, a person who would ask gets one resend
on the first channel, whose message arrives or not whatever became of the first.

Waiting ends with the person's patience. Who holds no code by then leaves: `undelivered` if nothing
that was sent would ever have arrived (or no channel could be used at all), `abandoned` if something
was still under way, if the phone is elsewhere, and whenever an attacker leaves. Who holds a code
types it through, wrong codes first, and is `verified`, or `failed` after the last attempt allowed,
or `expired` when the code dies before that.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from twofa_lab.catalog.efficacy import WAYS
from twofa_lab.catalog.factors import CODE_LIFE_SECONDS, ENTRY_PERCENT, STRENGTH_ORDER
from twofa_lab.compiled import loop
from twofa_lab.tables import CHANNELS, FACTORS, NEVER, OUTCOME_NAMES

__all__ = ["Answer", "Means", "answer_challenge"]

_LIFE = CODE_LIFE_SECONDS * 10
_NEVER_ARRIVES = 2**30
_ORDER = STRENGTH_ORDER
_ENTRY = np.array(ENTRY_PERCENT)
_OTP, _TOTP = FACTORS.index("otp"), FACTORS.index("totp")
_PASSKEY, _KEY = FACTORS.index("passkey"), FACTORS.index("hardware_key")
_WHATSAPP, _SMS, _VOICE = (CHANNELS.index(name) for name in ("whatsapp", "sms", "voice"))
_FIRST_CODELESS = WAYS.index("totp")  # `po_defeats` bits below are channels, then factors in order
VERIFIED, FAILED, ABANDONED, UNDELIVERED, EXPIRED = (
    OUTCOME_NAMES.index(name)
    for name in ("verified", "failed", "abandoned", "undelivered", "expired")
)


class Means(NamedTuple):
    """One row's potential outcomes, and what its person has (plain integers and booleans)."""

    whatsapp_ds: int
    sms_ds: int
    voice_ds: int
    resend_ds: int
    entry_ds: int
    patience_ds: int
    wrong_codes: int
    phone_at_hand: bool
    resends: bool
    passkey_works: bool
    defeats: int
    is_attack: bool
    has_whatsapp: bool
    has_text: bool
    factors: int


class Answer(NamedTuple):
    """What came of a challenge: codes of the `OUTCOMES` table, tenths of seconds, micro-US$."""

    outcome: int
    factor: int
    channel: int
    messages: int
    attempts: int
    seconds_ds: int
    microusd: int


@loop
def _works(factor: int, means: Means) -> bool:
    """Whether this factor would get its owner (or this attacker) through, patience permitting."""
    if means.is_attack:
        if factor == _OTP:
            return means.defeats & ((1 << _FIRST_CODELESS) - 1) != 0
        return means.defeats & (1 << (_FIRST_CODELESS + factor - _TOTP)) != 0
    if factor in (_PASSKEY, _KEY):
        return means.passkey_works
    return means.phone_at_hand


@loop
def _reads(channel: int, means: Means) -> bool:
    """Whether a message that arrives on this channel is in the challenged party's hands."""
    if means.is_attack:
        return means.defeats & (1 << (channel - 1)) != 0
    return means.phone_at_hand


@loop
def _delay(channel: int, means: Means) -> int:
    """Tenths of a second until a message on this channel is in the challenged party's hands."""
    if not _reads(channel, means):
        return _NEVER_ARRIVES
    delay = means.voice_ds
    if channel == _WHATSAPP:
        delay = means.whatsapp_ds
    elif channel == _SMS:
        delay = means.sms_ds
    return _NEVER_ARRIVES if delay == NEVER else delay


@loop
def _answer_code(means, channels, timeout_ds, max_attempts, prices):  # type: ignore[no-untyped-def]
    """A challenge by a code sent out of band; see the module's text for the rules."""
    entries = min(means.wrong_codes + 1, max_attempts)
    patience = min(means.patience_ds, _LIFE)
    code_at, used, first, messages, microusd, now = _NEVER_ARRIVES, 0, 0, 0, 0, 0
    for channel in channels:
        has = means.has_whatsapp if channel == _WHATSAPP else channel == _VOICE or means.has_text
        if not has:
            continue
        leaves = patience
        if code_at <= patience:
            leaves = min(code_at + entries * means.entry_ds, _LIFE)
        if messages > 0 and leaves <= now:
            break
        if messages == 0:
            first = channel
        messages += 1
        microusd += prices[channel]
        delay = _delay(channel, means)
        if now + delay < code_at:
            code_at, used = now + delay, channel
        now += timeout_ds
    else:
        if messages > 0 and means.resends and code_at > now and patience > now:
            messages += 1
            microusd += prices[first]
            arrives = means.resend_ds != NEVER and _reads(first, means)
            if arrives and now + means.resend_ds < code_at:
                code_at, used = now + means.resend_ds, first
    finish = code_at + entries * means.entry_ds
    if code_at > patience:
        lost = code_at >= _NEVER_ARRIVES and means.phone_at_hand and not means.is_attack
        outcome = UNDELIVERED if lost or messages == 0 else ABANDONED
        waited = patience if messages > 0 else 0
        return Answer(outcome, _OTP, 0, messages, 0, waited, microusd)
    if finish > _LIFE:
        entered = (_LIFE - code_at) // means.entry_ds
        return Answer(EXPIRED, _OTP, used, messages, entered, _LIFE, microusd)
    outcome = FAILED if means.wrong_codes >= max_attempts else VERIFIED
    return Answer(outcome, _OTP, used, messages, entries, finish, microusd)


@loop
def answer_challenge(means, channels, timeout_ds, max_attempts, allow_weaker, prices):  # type: ignore[no-untyped-def]
    """Play one challenge with the strongest enrolled factor that works for whoever is asked.

    `channels` are channel codes in the policy's order, `prices` micro-US$ by channel code. With
    `allow_weaker` a factor that does not work costs its time and the next weaker one is tried;
    that is open to an attacker too, who needs only one enrolled factor they can get past.
    Returns an `Answer`.
    """
    spent = 0
    for factor in _ORDER:
        if means.factors & (1 << factor) == 0:
            continue
        if factor == _OTP:
            answer = _answer_code(means, channels, timeout_ds, max_attempts, prices)
            return Answer(
                answer.outcome,
                answer.factor,
                answer.channel,
                answer.messages,
                answer.attempts,
                answer.seconds_ds + spent,
                answer.microusd,
            )
        act = means.entry_ds * _ENTRY[factor] // 100
        if _works(factor, means):
            wrong = means.wrong_codes if factor == _TOTP else 0
            attempts = min(wrong + 1, max_attempts)
            outcome = FAILED if wrong >= max_attempts else VERIFIED
            return Answer(outcome, factor, 0, 0, attempts, spent + attempts * act, 0)
        if not allow_weaker:
            return Answer(ABANDONED, factor, 0, 0, 0, act, 0)
        spent += act
    return Answer(ABANDONED, 0, 0, 0, 0, spent, 0)
