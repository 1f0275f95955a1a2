"""What happens at a challenge: a deterministic function of the row's potential outcomes, and of
what the account's earlier challenges used up.

Times are tenths of a second from the moment the challenge is shown. A code walks the policy's
channels in order, each sent one timeout after the one before unless the person has finished or
left by then; the earliest message to arrive carries the code (a late first message still counts),
and every message sent is paid for. When all have timed out, a person who would ask gets one resend
on the first channel, whose message arrives or not whatever became of the first.

Waiting ends with the person's patience. Who holds no code by then leaves: `undelivered` if nothing
that was sent would ever have arrived on the enrolled phone (or no channel could be used at all),
otherwise `abandoned`. That is what a server sees: not who was asked, nor where the phone was. Who
holds a code types it through, wrong codes first, and is `verified`, or `failed` after the last
attempt allowed, or `expired` when the code dies before that.

An app's code is accepted once: who would type one that was used waits for the next. A push goes out
only while `factors.push.may_send` lets it; where it does not, the next weaker factor is asked for,
or, without `allow_weaker`, the challenge ends `rate_limited`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from twofa_lab.catalog.efficacy import WAYS
from twofa_lab.catalog.factors import (
    CODE_LIFE_SECONDS,
    ENTRY_PERCENT,
    STRENGTH_ORDER,
    TOTP_STEP_SECONDS,
)
from twofa_lab.compiled import loop, part
from twofa_lab.tables import CHANNELS, FACTORS, NEVER, OUTCOME_NAMES, Array

__all__ = ["Answer", "Means", "Terms", "answer_challenge", "may_push", "next_app_code"]

_LIFE = CODE_LIFE_SECONDS * 10
_NEVER_ARRIVES = 2**30
_ORDER = STRENGTH_ORDER
_ENTRY = np.array(ENTRY_PERCENT)
_OTP, TOTP, _PUSH = (FACTORS.index(name) for name in ("otp", "totp", "push"))
_PASSKEY, _KEY = FACTORS.index("passkey"), FACTORS.index("hardware_key")
_WHATSAPP, _SMS, _VOICE = (CHANNELS.index(name) for name in ("whatsapp", "sms", "voice"))
_FIRST_CODELESS = WAYS.index("totp")  # `po_defeats` bits below are channels, then factors in order
VERIFIED, FAILED, ABANDONED, UNDELIVERED, EXPIRED, RATE_LIMITED = (
    OUTCOME_NAMES.index(name)
    for name in ("verified", "failed", "abandoned", "undelivered", "expired", "rate_limited")
)
_STEP_MS = TOTP_STEP_SECONDS * 1000


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


class Terms(NamedTuple):
    """How an account is challenged: channel codes in the policy's order, micro-US$ by channel code,
    whether a weaker factor may stand in for one that does not work, and how many push requests may
    go out in a window.
    """

    channels: Array
    prices: Array
    timeout_ds: int
    allow_weaker: bool
    push_in_window: int
    push_window_ms: int


class Answer(NamedTuple):
    """What came of a challenge: codes of the `OUTCOMES` table, tenths of seconds, micro-US$."""

    outcome: int
    factor: int
    channel: int
    messages: int
    attempts: int
    seconds_ds: int
    microusd: int


@part
def may_push(pushes: Array, now: int, in_window: int, window_ms: int) -> bool:
    """Whether one more push request may be sent: `factors.push.may_send` without denials.

    `pushes` holds how many were sent since the account's last verified second factor, then their
    times in ms; its room for times is the most there may be. Times ahead of `now` count as recent.
    """
    count = pushes[0]
    recent = 0
    for k in range(count):
        recent += now - pushes[1 + k] < window_ms
    return count < len(pushes) - 1 and recent < in_window


@part
def next_app_code(used: int) -> int:
    """The moment (ms) from which an app shows another code than the one at the moment `used`.

    >>> next_app_code(59_999), next_app_code(60_000)
    (60000, 90000)
    """
    return (used // _STEP_MS + 1) * _STEP_MS


@loop
def _works(factor: int, means: Means) -> bool:
    """Whether this factor would get its owner (or this attacker) through, patience permitting."""
    if means.is_attack:
        if factor == _OTP:
            return means.defeats & ((1 << _FIRST_CODELESS) - 1) != 0
        return means.defeats & (1 << (_FIRST_CODELESS + factor - TOTP)) != 0
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
    """Tenths of a second until a message on this channel is on the enrolled phone."""
    delay = means.voice_ds
    if channel == _WHATSAPP:
        delay = means.whatsapp_ds
    elif channel == _SMS:
        delay = means.sms_ds
    return _NEVER_ARRIVES if delay == NEVER else delay


@loop
def _answer_code(means, terms, max_attempts):  # type: ignore[no-untyped-def]
    """A challenge by a code sent out of band; see the module's text for the rules."""
    entries = min(means.wrong_codes + 1, max_attempts)
    patience = min(means.patience_ds, _LIFE)
    code_at, used, first, messages, microusd, now = _NEVER_ARRIVES, 0, 0, 0, 0, 0
    delivers = False  # whether any message sent would ever arrive, whoever reads it
    for channel in terms.channels:
        takes_text = means.has_text and (means.has_whatsapp or channel != _WHATSAPP)
        has = channel == _VOICE or takes_text
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
        microusd += terms.prices[channel]
        delay = _delay(channel, means)
        delivers |= delay < _NEVER_ARRIVES
        if now + delay < code_at and _reads(channel, means):
            code_at, used = now + delay, channel
        now += terms.timeout_ds
    else:
        if messages > 0 and means.resends and code_at > now and patience > now:
            messages += 1
            microusd += terms.prices[first]
            arrives = means.resend_ds != NEVER
            delivers |= arrives
            if arrives and now + means.resend_ds < code_at and _reads(first, means):
                code_at, used = now + means.resend_ds, first
    finish = code_at + entries * means.entry_ds
    if code_at > patience:
        outcome = ABANDONED if delivers else UNDELIVERED
        waited = patience if messages > 0 else 0
        return Answer(outcome, _OTP, 0, messages, 0, waited, microusd)
    if finish > _LIFE:
        entered = (_LIFE - code_at) // means.entry_ds
        return Answer(EXPIRED, _OTP, used, messages, entered, _LIFE, microusd)
    outcome = FAILED if means.wrong_codes >= max_attempts else VERIFIED
    return Answer(outcome, _OTP, used, messages, entries, finish, microusd)


@loop
def answer_challenge(means, terms, time, max_attempts, unused_from, pushes):  # type: ignore[no-untyped-def]
    """Play one challenge with the strongest enrolled factor that works for whoever is asked.

    `time` is the moment it is shown, `unused_from` the one from which the account's app shows a
    code that was not accepted yet (both ms), `pushes` what `may_push` reads; a request that is sent
    is entered. With `allow_weaker` a factor that does not work costs its time and the next weaker
    one is tried; that is open to an attacker too, who needs only one enrolled factor they can get
    past. Returns an `Answer`.
    """
    spent = 0
    factors = means.factors if means.factors else 1 << _OTP  # the phone that sign-up verified
    for factor in _ORDER:
        if factors & (1 << factor) == 0:
            continue
        if factor == _OTP:
            answer = _answer_code(means, terms, max_attempts)
            return Answer(
                answer.outcome,
                answer.factor,
                answer.channel,
                answer.messages,
                answer.attempts,
                answer.seconds_ds + spent,
                answer.microusd,
            )
        if factor == _PUSH:
            now = time + 100 * spent
            if may_push(pushes, now, terms.push_in_window, terms.push_window_ms):
                pushes[0] += 1
                pushes[pushes[0]] = now
            elif terms.allow_weaker:
                continue
            else:
                return Answer(RATE_LIMITED, factor, 0, 0, 0, spent, 0)
        act = means.entry_ds * _ENTRY[factor] // 100
        if _works(factor, means):
            wrong = means.wrong_codes if factor == TOTP else 0
            attempts = min(wrong + 1, max_attempts)
            finish = spent + attempts * act
            if wrong >= max_attempts:
                return Answer(FAILED, factor, 0, 0, attempts, finish, 0)
            if factor == TOTP:  # the right code, unless it was used: then the next one
                finish = max(finish, -((time - unused_from) // 100))
            return Answer(VERIFIED, factor, 0, 0, attempts, finish, 0)
        if not terms.allow_weaker:
            return Answer(ABANDONED, factor, 0, 0, 0, act, 0)
        spent += act
    return Answer(ABANDONED, 0, 0, 0, 0, spent, 0)
