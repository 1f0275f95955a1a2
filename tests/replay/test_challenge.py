"""One challenge at a time: timelines told in full, and what can be said of every challenge."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.replay.shards import DELAYS, KEY, OTP, PASSKEY, POOLS, PUSH, TOTP
from twofa_lab.replay.challenge import (
    ABANDONED,
    EXPIRED,
    FAILED,
    UNDELIVERED,
    VERIFIED,
    Answer,
    Means,
    answer_challenge,
)
from twofa_lab.tables import CHANNELS, FACTORS, NEVER, OUTCOME_NAMES

PRICES = np.array([0, 9_000, 11_800, 30_000])
WHATSAPP, SMS, VOICE = (CHANNELS.index(name) for name in ("whatsapp", "sms", "voice"))

PERSON = Means(
    whatsapp_ds=20,
    sms_ds=40,
    voice_ds=60,
    resend_ds=30,
    entry_ds=100,
    patience_ds=600,
    wrong_codes=0,
    phone_at_hand=True,
    resends=False,
    passkey_works=True,
    defeats=0,
    is_attack=False,
    has_whatsapp=True,
    has_text=True,
    factors=OTP,
)


def ask(
    means: Means,
    channels: tuple[int, ...] = (WHATSAPP, SMS, VOICE),
    timeout_ds: int = 300,
    max_attempts: int = 5,
    weaker: bool = True,
) -> Answer:
    plan = np.array(channels, np.int64)
    return Answer(*answer_challenge(means, plan, timeout_ds, max_attempts, weaker, PRICES))


def person(**changes: Any) -> Means:
    return PERSON._replace(**changes)


def told(answer: Answer) -> tuple[str, str, int, int, float]:
    """(outcome, channel, messages, attempts, seconds)"""
    return (
        OUTCOME_NAMES[answer.outcome],
        CHANNELS[answer.channel],
        answer.messages,
        answer.attempts,
        answer.seconds_ds / 10,
    )


CODES = {
    # 2 s until it arrives, 10 s to type
    "at once": (person(), ("verified", "whatsapp", 1, 1, 12.0)),
    "two wrong codes first": (person(wrong_codes=2), ("verified", "whatsapp", 2, 3, 32.0)),
    "four wrong codes, the fifth right": (
        person(wrong_codes=4, entry_ds=50),
        ("verified", "whatsapp", 1, 5, 27.0),
    ),
    "five wrong codes end it": (
        person(wrong_codes=5, entry_ds=50),
        ("failed", "whatsapp", 1, 5, 27.0),
    ),
    "no WhatsApp: straight to SMS": (
        person(has_whatsapp=False),
        ("verified", "sms", 1, 1, 14.0),
    ),
    "a landline without WhatsApp: straight to the call": (
        person(has_whatsapp=False, has_text=False),
        ("verified", "voice", 1, 1, 16.0),
    ),
    "first message lost, the second at 30 s": (
        person(whatsapp_ds=NEVER),
        ("verified", "sms", 2, 1, 44.0),
    ),
    "two lost, the call at 60 s; patience lasts": (
        person(whatsapp_ds=NEVER, sms_ds=NEVER, patience_ds=661),
        ("verified", "voice", 3, 1, 76.0),
    ),
    "two lost, and patience ends as the third would go out": (
        person(whatsapp_ds=NEVER, sms_ds=NEVER, patience_ds=600),
        ("undelivered", "none", 2, 0, 60.0),
    ),
    "a late first message still counts, and the second was paid for": (
        person(whatsapp_ds=330),
        ("verified", "whatsapp", 2, 1, 43.0),
    ),
    "the second message overtakes the first": (
        person(whatsapp_ds=350),
        ("verified", "sms", 2, 1, 44.0),
    ),
    "both arrive at once: the one sent first is used": (
        person(whatsapp_ds=340),
        ("verified", "whatsapp", 2, 1, 44.0),
    ),
    "typed as the time-out strikes: nothing more is sent": (
        person(whatsapp_ds=200),
        ("verified", "whatsapp", 1, 1, 30.0),
    ),
    "still typing as the time-out strikes": (
        person(whatsapp_ds=201),
        ("verified", "whatsapp", 2, 1, 30.1),
    ),
    "arrives in the last moment of patience": (
        person(whatsapp_ds=250, patience_ds=250),
        ("verified", "whatsapp", 2, 1, 35.0),
    ),
    "arrives a tenth of a second too late": (
        person(whatsapp_ds=251, patience_ds=250),
        ("abandoned", "none", 1, 0, 25.0),
    ),
    "no patience at all: the first message has gone out": (
        person(patience_ds=0),
        ("abandoned", "none", 1, 0, 0.0),
    ),
    "the phone is elsewhere": (
        person(phone_at_hand=False),
        ("abandoned", "none", 2, 0, 60.0),
    ),
    "everything lost": (
        person(whatsapp_ds=NEVER, sms_ds=NEVER, voice_ds=NEVER, patience_ds=2000),
        ("undelivered", "none", 3, 0, 200.0),
    ),
    "a resend reaches who got nothing": (
        person(whatsapp_ds=NEVER, sms_ds=NEVER, voice_ds=NEVER, patience_ds=2000, resends=True),
        ("verified", "whatsapp", 4, 1, 103.0),
    ),
    "the resend is lost too": (
        person(
            whatsapp_ds=NEVER,
            sms_ds=NEVER,
            voice_ds=NEVER,
            resend_ds=NEVER,
            patience_ds=2000,
            resends=True,
        ),
        ("undelivered", "none", 4, 0, 200.0),
    ),
    "a resend overtakes the messages under way": (
        person(whatsapp_ds=3000, sms_ds=3000, voice_ds=3000, patience_ds=2000, resends=True),
        ("verified", "whatsapp", 4, 1, 103.0),
    ),
    "a code in hand at the last time-out: no resend": (
        person(whatsapp_ds=900, sms_ds=NEVER, voice_ds=NEVER, patience_ds=2000, resends=True),
        ("verified", "whatsapp", 3, 1, 100.0),
    ),
    "patience ends at the last time-out: no resend": (
        person(whatsapp_ds=NEVER, sms_ds=NEVER, voice_ds=NEVER, patience_ds=900, resends=True),
        ("undelivered", "none", 3, 0, 90.0),
    ),
    "the code dies after ten minutes": (
        person(entry_ds=2500, wrong_codes=3),
        ("expired", "whatsapp", 3, 2, 600.0),
    ),
    "typed in the code's last moment": (
        person(entry_ds=5980, patience_ds=600),
        ("verified", "whatsapp", 3, 1, 600.0),
    ),
    "nobody waits longer than a code lives": (
        person(whatsapp_ds=6001, sms_ds=NEVER, voice_ds=NEVER, patience_ds=65_535),
        ("abandoned", "none", 3, 0, 600.0),
    ),
}


@pytest.mark.parametrize("name", CODES)
def test_a_codes_timeline(name: str) -> None:
    means, expected = CODES[name]
    answer = ask(means)
    assert told(answer) == expected
    assert answer.factor == FACTORS.index("otp")


def test_every_message_is_paid_for() -> None:
    lost = person(whatsapp_ds=NEVER, sms_ds=NEVER, voice_ds=NEVER, patience_ds=2000, resends=True)
    assert ask(lost).microusd == 9_000 + 11_800 + 30_000 + 9_000
    assert ask(person(has_whatsapp=False)).microusd == 11_800


def test_nothing_is_sent_once_the_code_has_died() -> None:
    typing = person(whatsapp_ds=100, entry_ds=6_000)
    assert ask(typing, timeout_ds=3000).messages == 2  # at 0 and 300 s; the third would be at 600 s


def test_no_channel_of_the_plan_can_be_used() -> None:
    answer = ask(person(has_text=False), channels=(SMS,))
    assert told(answer) == ("undelivered", "none", 0, 0, 0.0)
    assert answer.microusd == 0


@pytest.mark.parametrize(
    ("factors", "means", "weaker", "expected"),
    [
        (KEY | OTP, {}, True, ("verified", "hardware_key", 0, 1, 8.0)),
        (PASSKEY | OTP, {}, True, ("verified", "passkey", 0, 1, 6.0)),
        (PASSKEY | OTP, {"phone_at_hand": False}, True, ("verified", "passkey", 0, 1, 6.0)),
        (PUSH | TOTP | OTP, {}, True, ("verified", "push", 0, 1, 5.0)),
        (TOTP | OTP, {}, True, ("verified", "totp", 0, 1, 10.0)),
        (TOTP, {"wrong_codes": 2}, True, ("verified", "totp", 0, 3, 30.0)),
        (TOTP, {"wrong_codes": 5}, True, ("failed", "totp", 0, 5, 50.0)),
        (PUSH, {"wrong_codes": 9}, True, ("verified", "push", 0, 1, 5.0)),
        # what does not work costs its time, then the next weaker one is tried
        (PASSKEY | OTP, {"passkey_works": False}, True, ("verified", "otp", 1, 1, 18.0)),
        (PASSKEY | OTP, {"passkey_works": False}, False, ("abandoned", "passkey", 0, 0, 6.0)),
        (KEY | PASSKEY, {"passkey_works": False}, True, ("abandoned", "none", 0, 0, 14.0)),
        (PUSH | TOTP, {"phone_at_hand": False}, True, ("abandoned", "none", 0, 0, 15.0)),
        (0, {}, True, ("abandoned", "none", 0, 0, 0.0)),
    ],
)
def test_the_strongest_factor_that_works(
    factors: int, means: dict[str, Any], weaker: bool, expected: tuple[Any, ...]
) -> None:
    answer = ask(person(factors=factors, **means), weaker=weaker)
    outcome, _, messages, attempts, seconds = told(answer)
    assert (outcome, FACTORS[answer.factor], messages, attempts, seconds) == expected


def attacker(defeats: int, **changes: Any) -> Means:
    return person(is_attack=True, defeats=defeats, **changes)


def test_an_attacker_reads_only_the_channels_they_control() -> None:
    sms_only = attacker(1 << (SMS - 1), phone_at_hand=False)
    answer = ask(sms_only)
    assert told(answer) == ("verified", "sms", 2, 1, 44.0)  # the owner paid for the WhatsApp one
    assert ask(sms_only, channels=(WHATSAPP, VOICE)).outcome == ABANDONED
    assert ask(attacker(0)).outcome == ABANDONED


def test_an_attacker_needs_only_one_factor_they_can_get_past() -> None:
    beats_sms = attacker(1 << (SMS - 1), factors=PASSKEY | TOTP | OTP)
    assert ask(beats_sms).outcome == VERIFIED
    assert ask(beats_sms, weaker=False).outcome == ABANDONED
    assert ask(attacker(1 << 3, factors=TOTP)).outcome == VERIFIED
    assert ask(attacker(0b1111, factors=PUSH)).outcome == ABANDONED
    assert ask(attacker(1 << 4, factors=PUSH, phone_at_hand=False)).outcome == VERIFIED
    assert ask(attacker(1 << 5, factors=PASSKEY, passkey_works=False)).outcome == VERIFIED
    assert ask(attacker(1 << 6, factors=PASSKEY)).outcome == ABANDONED
    assert ask(attacker(1 << 6, factors=KEY)).outcome == VERIFIED


def test_a_resend_reaches_an_attacker_only_on_a_channel_of_theirs() -> None:
    lost = {"whatsapp_ds": NEVER, "sms_ds": NEVER, "voice_ds": NEVER}
    patient = {"patience_ds": 2000, "resends": True}
    assert ask(attacker(1 << (WHATSAPP - 1), **lost, **patient)).outcome == VERIFIED
    assert ask(attacker(1 << (SMS - 1), **lost, **patient)).outcome == ABANDONED


ANY = {name.removeprefix("po_"): st.sampled_from(sorted(set(p))) for name, p in POOLS.items()}
ANY_MEANS = st.builds(
    Means,
    **{name: values for name, values in ANY.items() if name in Means._fields},
    is_attack=st.booleans(),
    has_whatsapp=st.booleans(),
    has_text=st.booleans(),
    factors=st.sampled_from([OTP]) | st.integers(0, 127),
)
PLANS = st.permutations([WHATSAPP, SMS, VOICE]).flatmap(
    lambda order: st.integers(1, 3).map(lambda n: tuple(order[:n]))
)
TIMEOUTS = st.sampled_from([50, 51, 100, 300, 301, 600, 2999, 3000])


@given(ANY_MEANS, PLANS, TIMEOUTS, st.integers(1, 5), st.booleans())
def test_what_holds_of_every_challenge(
    means: Means, plan: tuple[int, ...], timeout: int, most: int, weaker: bool
) -> None:
    answer = ask(means, plan, timeout, most, weaker)
    used = {"otp"} if answer.factor == FACTORS.index("otp") else set()
    assert answer.outcome in (VERIFIED, FAILED, ABANDONED, UNDELIVERED, EXPIRED)
    assert 0 <= answer.attempts <= most
    assert 0 <= answer.messages <= len(plan) + 1
    assert (answer.channel > 0) == (bool(used) and answer.outcome in (VERIFIED, FAILED, EXPIRED))
    assert (answer.microusd == 0) == (answer.messages == 0)
    assert answer.seconds_ds >= 0
    if answer.outcome == FAILED:
        assert answer.attempts == most <= means.wrong_codes
    if answer.outcome == VERIFIED:
        assert 1 <= answer.attempts <= means.wrong_codes + 1
        assert means.is_attack or means.phone_at_hand or means.passkey_works
    if answer.outcome == UNDELIVERED:
        assert answer.attempts == 0


# What is monotone, and what is not. Each holds of one challenge; a replay as a whole need not be
# monotone, because one more completed login changes what later ones meet.


@given(ANY_MEANS, PLANS, TIMEOUTS)
def test_one_more_channel_at_the_end_never_loses_a_login(
    means: Means, plan: tuple[int, ...], timeout: int
) -> None:
    """Only of those who ask for no resend: a further channel puts the resend off by a time-out,
    past the patience of some who would have been reached by it.
    """
    assume(len(plan) > 1)
    means = means._replace(resends=False)
    fewer, more = ask(means, plan[:-1], timeout), ask(means, plan, timeout)
    assert (more.outcome == VERIFIED) >= (fewer.outcome == VERIFIED)
    if fewer.outcome == VERIFIED:
        assert more.seconds_ds <= fewer.seconds_ds
    assert more.messages >= fewer.messages or more.outcome == VERIFIED


def test_one_more_channel_can_lose_a_login_by_putting_the_resend_off() -> None:
    means = person(whatsapp_ds=NEVER, sms_ds=NEVER, resends=True, patience_ds=350)
    assert ask(means, (WHATSAPP,)).outcome == VERIFIED
    assert ask(means, (WHATSAPP, SMS)).outcome == UNDELIVERED


@given(ANY_MEANS, PLANS, TIMEOUTS, TIMEOUTS)
def test_a_longer_time_out_never_hastens_a_code_and_never_sends_more(
    means: Means, plan: tuple[int, ...], one: int, other: int
) -> None:
    shorter, longer = (ask(means, plan, timeout) for timeout in sorted((one, other)))
    assert longer.messages <= shorter.messages
    assert longer.microusd <= shorter.microusd
    assert (longer.outcome == VERIFIED) <= (shorter.outcome == VERIFIED)
    if longer.outcome == VERIFIED:
        assert longer.seconds_ds >= shorter.seconds_ds


@given(ANY_MEANS, PLANS, TIMEOUTS, st.integers(1, 4))
def test_one_more_attempt_never_loses_a_login(
    means: Means, plan: tuple[int, ...], timeout: int, most: int
) -> None:
    fewer, more = ask(means, plan, timeout, most), ask(means, plan, timeout, most + 1)
    assert (more.outcome == VERIFIED) >= (fewer.outcome == VERIFIED)
    if fewer.outcome == VERIFIED:
        assert more == fewer


@given(ANY_MEANS, PLANS, TIMEOUTS)
def test_a_weaker_factor_lets_nobody_less_in(
    means: Means, plan: tuple[int, ...], timeout: int
) -> None:
    strict, lenient = (ask(means, plan, timeout, weaker=weaker) for weaker in (False, True))
    assert (lenient.outcome == VERIFIED) >= (strict.outcome == VERIFIED)
    if strict.outcome == VERIFIED:
        assert lenient == strict


@given(ANY_MEANS, PLANS, TIMEOUTS, st.sampled_from(DELAYS), st.sampled_from(DELAYS))
def test_more_patience_never_loses_a_login(
    means: Means, plan: tuple[int, ...], timeout: int, one: int, other: int
) -> None:
    less, more = (
        ask(means._replace(patience_ds=wait), plan, timeout) for wait in sorted((one, other))
    )
    assert (more.outcome == VERIFIED) >= (less.outcome == VERIFIED)


@given(ANY_MEANS, PLANS, TIMEOUTS, st.integers(0, 6))
def test_an_attacker_who_beats_more_gets_in_no_less(
    means: Means, plan: tuple[int, ...], timeout: int, bit: int
) -> None:
    fewer = means._replace(is_attack=True, defeats=means.defeats & ~(1 << bit))
    more = means._replace(is_attack=True, defeats=means.defeats | 1 << bit)
    for weaker in (True, False):
        before, after = (ask(m, plan, timeout, weaker=weaker).outcome for m in (fewer, more))
        assert (after == VERIFIED) >= (before == VERIFIED)
