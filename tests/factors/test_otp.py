from __future__ import annotations

import random
import secrets
from collections import Counter
from dataclasses import replace
from inspect import signature
from typing import Any, Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofa_lab.errors import InputError
from twofa_lab.factors.otp import (
    OtpChallenge,
    OtpRules,
    OtpVerdict,
    check,
    hash_code,
    new_code,
)
from twofa_lab.factors.ports import KeyedHash

RULES = OtpRules()
ISSUED = 1_700_000_000_000
CODE = "042137"


class Verdict(Protocol):
    def __call__(self, typed: str, seconds: float = 1, **changes: Any) -> OtpVerdict: ...


@pytest.fixture(scope="session")
def challenge(keys: KeyedHash) -> OtpChallenge:
    return OtpChallenge("challenge-1", hash_code(keys, "challenge-1", CODE), ISSUED)


@pytest.fixture(scope="session")
def verdict(keys: KeyedHash, challenge: OtpChallenge) -> Verdict:
    def judge(typed: str, seconds: float = 1, **changes: Any) -> OtpVerdict:
        now = ISSUED + round(seconds * 1000)
        return check(replace(challenge, **changes), typed, now, keys, RULES)

    return judge


def test_the_guide_s_numbers_are_the_defaults() -> None:
    assert (RULES.digits, RULES.life_seconds, RULES.max_attempts) == (6, 600, 5)
    assert signature(new_code).parameters["randbelow"].default is secrets.randbelow


@pytest.mark.parametrize(
    ("field", "value"),
    [("digits", 3), ("digits", 11), ("life_seconds", 0), ("life_seconds", 601),
     ("max_attempts", 0), ("max_attempts", 101)],
)  # fmt: skip
def test_rules_outside_the_standard_are_refused(field: str, value: int) -> None:
    with pytest.raises(InputError, match=str(value)):
        OtpRules(**{field: value})


@given(st.integers(4, 10), st.integers(0))
def test_codes_keep_their_leading_zeros(digits: int, seed: int) -> None:
    draw = random.Random(seed).randrange  # noqa: S311 - repeatable on purpose
    code = new_code(OtpRules(digits=digits), draw).text
    assert len(code) == digits
    assert code.isdigit()


def test_codes_are_spread_evenly() -> None:
    draw = random.Random(1).randrange  # noqa: S311 - repeatable on purpose
    first = Counter(new_code(RULES, draw).text[0] for _ in range(10_000))
    # expected 1,000 each; 5 standard deviations of a binomial are 150
    assert all(850 < count < 1150 for count in first.values())
    assert len(first) == 10


def test_the_right_code_is_accepted_however_it_is_typed(verdict: Verdict) -> None:
    for typed in (CODE, "042 137", "042-137", "٠٤٢١٣٧", "\uff10\uff14\uff12\uff11\uff13\uff17"):
        assert verdict(typed) is OtpVerdict.ACCEPTED


@given(number=st.integers(0, 999_999))
def test_every_other_code_is_wrong(verdict: Verdict, number: int) -> None:
    typed = f"{number:06d}"
    assert verdict(typed) is (OtpVerdict.ACCEPTED if typed == CODE else OtpVerdict.WRONG)


def test_text_that_can_be_no_code_is_malformed(verdict: Verdict) -> None:
    for typed in ("", "12345", "1234567", "abcdef", "\x00" * 6, "9" * 100_000):
        assert verdict(typed) is OtpVerdict.MALFORMED


def test_a_code_lives_ten_minutes(verdict: Verdict) -> None:
    assert verdict(CODE, 600) is OtpVerdict.ACCEPTED
    assert verdict(CODE, 600.001) is OtpVerdict.EXPIRED


def test_a_clock_set_far_back_does_not_revive_codes(verdict: Verdict) -> None:
    assert verdict(CODE, -90) is OtpVerdict.ACCEPTED
    assert verdict(CODE, -91) is OtpVerdict.EXPIRED


def test_a_used_code_and_a_sixth_attempt_are_refused_even_if_right(verdict: Verdict) -> None:
    assert verdict(CODE, consumed=True) is OtpVerdict.USED
    assert verdict(CODE, attempts=4) is OtpVerdict.ACCEPTED
    assert verdict(CODE, attempts=5) is OtpVerdict.EXHAUSTED


def test_a_hash_is_worth_nothing_for_another_challenge(
    keys: KeyedHash, challenge: OtpChallenge, verdict: Verdict
) -> None:
    assert verdict(CODE, challenge_id="challenge-2") is OtpVerdict.WRONG
    assert hash_code(keys, "ab", "1") != hash_code(keys, "a", "b1")
    assert CODE.encode() not in challenge.code_hash
