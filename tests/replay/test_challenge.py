"""One challenge at a time: timelines told in full, and what can be said of every challenge."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.replay.shards import KEY, OTP, PASSKEY, PUSH, START, TOTP
from twofa_lab.factors.push import PushRules, may_send
from twofa_lab.factors.totp import TotpRules
from twofa_lab.replay.challenge import (
    ABANDONED,
    RATE_LIMITED,
    UNDELIVERED,
    VERIFIED,
    Answer,
    Means,
    Terms,
    answer_challenge,
    may_push,
    next_app_code,
)
from twofa_lab.tables import CHANNELS, FACTORS, NEVER, OUTCOME_NAMES, Array

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
    time: int = 0,
    unused_from: int = 0,
    pushes: Array | None = None,
) -> Answer:
    """One challenge of an account that had none before, unless told otherwise."""
    terms = Terms(np.array(channels, np.int64), PRICES, timeout_ds, weaker, 3, 600_000)
    pushes = np.zeros(11, np.int64) if pushes is None else pushes
    return Answer(*answer_challenge(means, terms, time, max_attempts, unused_from, pushes))


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
    "the phone is elsewhere, and nothing would ever reach it": (
        person(phone_at_hand=False, whatsapp_ds=NEVER, sms_ds=NEVER),
        ("undelivered", "none", 2, 0, 60.0),
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


@pytest.mark.parametrize("asked", [{}, {"phone_at_hand": False}, {"is_attack": True}])
def test_undelivered_is_what_the_server_sees(asked: dict[str, Any]) -> None:
    """Nothing it sent would arrive, whoever was asked and wherever the phone is."""
    lost = person(whatsapp_ds=NEVER, sms_ds=NEVER, voice_ds=NEVER, **asked)
    assert ask(lost).outcome == UNDELIVERED
    late = lost._replace(sms_ds=65_534)
    assert ask(late).outcome == ABANDONED
    resent = lost._replace(resends=True, patience_ds=1000)
    assert ask(resent._replace(resend_ds=65_534)).outcome == ABANDONED
    assert ask(resent._replace(resend_ds=NEVER)).outcome == UNDELIVERED


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
    assert ask(person(has_text=False, phone_at_hand=False), channels=(SMS,)).outcome == UNDELIVERED


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
        # nothing enrolled: a code to the phone that sign-up verified
        (0, {}, True, ("verified", "otp", 1, 1, 12.0)),
        (0, {"wrong_codes": 9}, False, ("failed", "otp", 2, 5, 52.0)),
    ],
)
def test_the_strongest_factor_that_works(
    factors: int, means: dict[str, Any], weaker: bool, expected: tuple[Any, ...]
) -> None:
    answer = ask(person(factors=factors, **means), weaker=weaker)
    outcome, _, messages, attempts, seconds = told(answer)
    assert (outcome, FACTORS[answer.factor], messages, attempts, seconds) == expected


# What earlier challenges used up: an app's code, and push requests.


@pytest.mark.parametrize(
    ("unused_from", "seconds"),
    [
        (START, 10.0),  # 10 s to read and type a code that nobody used
        (START + 10_000, 10.0),
        (START + 10_001, 10.1),  # used: the next one shows a tenth of a second later
        (START + 30_000, 30.0),
        (START + 3_600_000, 3600.0),  # used by a challenge that went on till then
    ],
)
def test_an_apps_code_is_accepted_once(unused_from: int, seconds: float) -> None:
    answer = ask(person(factors=TOTP), time=START, unused_from=unused_from)
    assert told(answer) == ("verified", "none", 0, 1, seconds)


def test_only_a_right_code_waits_for_the_next() -> None:
    wrong = person(factors=TOTP, wrong_codes=9)
    assert told(ask(wrong, time=START, unused_from=START + 600_000)) == (
        *("failed", "none", 0, 5, 50.0),
    )


@given(st.integers(START, START + 10**9))
def test_an_apps_next_code_is_that_of_the_next_step(used: int) -> None:
    step = TotpRules().step_seconds * 1000
    assert next_app_code(used) // step == used // step + 1
    assert (next_app_code(used) - 1) // step == used // step


@st.composite
def push_histories(draw: st.DrawFn) -> tuple[list[int], int]:
    """Times of requests, not in order, and a moment near them, before some or after all."""
    gaps = st.sampled_from([0, 1, 60_000, 299_999, 300_000, 599_999, 600_000, 600_001, 3_600_000])
    times = [START + sum(draw(st.lists(gaps, max_size=3))) for _ in range(draw(st.integers(0, 10)))]
    return times, START + sum(draw(st.lists(gaps, max_size=4)))


@given(push_histories(), st.integers(1, 10), st.integers(1, 5), st.sampled_from([1, 300, 600]))
def test_a_push_goes_out_when_the_real_one_does(
    history: tuple[list[int], int], most: int, in_window: int, window: int
) -> None:
    times, now = history
    times = times[:most]
    rules = PushRules(max_since_success=most, max_in_window=in_window, window_seconds=window)
    pushes = np.array([len(times), *times, *[0] * (most - len(times))], np.int64)
    real = bool(may_send(times, (), now, rules))
    assert bool(may_push(pushes, now, in_window, window * 1000)) == real


def pushed(*times: int) -> Array:
    return np.array([len(times), *times, *[0] * (10 - len(times))], np.int64)


def test_a_push_that_may_not_go_out_leaves_the_turn_to_the_next_factor() -> None:
    thrice = pushed(START, START + 1, START + 2)
    answer = ask(person(factors=PUSH | OTP), time=START + 3, pushes=thrice)
    assert told(answer) == ("verified", "whatsapp", 1, 1, 12.0)  # no time was spent on it
    alone = ask(person(factors=PUSH), time=START + 3, pushes=thrice)
    assert told(alone) == ("abandoned", "none", 0, 0, 0.0)
    assert thrice.tolist() == pushed(START, START + 1, START + 2).tolist()


def test_without_a_weaker_factor_it_ends_the_challenge() -> None:
    thrice = pushed(START, START + 1, START + 2)
    means = person(factors=PUSH | OTP)
    answer = ask(means, weaker=False, time=START + 3, pushes=thrice)
    assert (answer.outcome, FACTORS[answer.factor]) == (RATE_LIMITED, "push")
    assert told(answer)[2:] == (0, 0, 0.0)
    later = ask(means, weaker=False, time=START + 600_000, pushes=thrice)
    assert (later.outcome, FACTORS[later.factor]) == (VERIFIED, "push")


def test_a_request_is_counted_when_it_is_sent_whatever_comes_of_it() -> None:
    """The passkey was tried first, for six seconds."""
    pushes = pushed(START)
    means = person(factors=PASSKEY | PUSH, passkey_works=False, phone_at_hand=False)
    assert ask(means, time=START + 1000, pushes=pushes).outcome == ABANDONED
    assert pushes.tolist() == pushed(START, START + 7000).tolist()


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
