from __future__ import annotations

import secrets
from dataclasses import replace
from inspect import signature

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofa_lab.errors import InputError
from twofa_lab.factors.ports import KeyedHash
from twofa_lab.factors.push import (
    PushRequest,
    PushRules,
    PushVerdict,
    check,
    hash_number,
    may_send,
    new_number,
)

RULES = PushRules()
SENT = 1_700_000_000_000
NUMBER = "004711"


@pytest.fixture
def request_sent(keys: KeyedHash) -> PushRequest:
    return PushRequest("request-1", hash_number(keys, "request-1", NUMBER), SENT)


def verdict(
    request: PushRequest, keys: KeyedHash, typed: str, *, approved: bool = True, seconds: float = 5
) -> PushVerdict:
    now = SENT + round(seconds * 1000)
    return check(request, approved=approved, typed=typed, now_ms=now, keys=keys, rules=RULES)


def test_numbers_come_from_the_system_s_generator_with_six_digits() -> None:
    assert signature(new_number).parameters["randbelow"].default is secrets.randbelow
    assert len(new_number(RULES).text) == 6
    assert new_number(PushRules(digits=2), lambda n: n - 1).text == "99"


def test_an_approval_must_carry_the_number(request_sent: PushRequest, keys: KeyedHash) -> None:
    assert verdict(request_sent, keys, "004 711") is PushVerdict.APPROVED
    for typed in ("", "4711", "004712", "approve", "0047110"):
        assert verdict(request_sent, keys, typed) is PushVerdict.WRONG_NUMBER


def test_a_denial_is_a_denial_even_with_the_number(
    request_sent: PushRequest, keys: KeyedHash
) -> None:
    assert verdict(request_sent, keys, NUMBER, approved=False) is PushVerdict.DENIED


def test_a_request_ends_with_its_life_or_its_first_answer(
    request_sent: PushRequest, keys: KeyedHash
) -> None:
    assert verdict(request_sent, keys, NUMBER, seconds=60) is PushVerdict.APPROVED
    assert verdict(request_sent, keys, NUMBER, seconds=60.001) is PushVerdict.EXPIRED
    assert verdict(request_sent, keys, NUMBER, seconds=-91) is PushVerdict.EXPIRED
    assert verdict(replace(request_sent, answered=True), keys, NUMBER) is PushVerdict.USED


def test_a_number_is_worth_nothing_for_another_request(
    request_sent: PushRequest, keys: KeyedHash
) -> None:
    other = replace(request_sent, request_id="request-2")
    assert verdict(other, keys, NUMBER) is PushVerdict.WRONG_NUMBER


@pytest.mark.parametrize(
    "bad", [{"digits": 1}, {"digits": 9}, {"life_seconds": 0}, {"life_seconds": 601},
            {"max_in_window": 0}, {"max_denials": 0}, {"window_seconds": 0}]
)  # fmt: skip
def test_rules_that_make_no_sense_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(InputError):
        PushRules(**bad)


def test_a_fourth_request_in_ten_minutes_waits() -> None:
    first_three = [0, 60_000, 120_000]
    decision = may_send(first_three, [], 180_000, RULES)
    assert (decision.allowed, decision.reason) == (False, "too many requests")
    assert decision.retry_at_ms == 600_000
    assert not may_send(first_three, [], 599_999, RULES)
    assert may_send(first_three, [], 600_000, RULES)


def test_two_denials_end_requests_for_a_day() -> None:
    decision = may_send([], [1_000, 2_000], 3_000, RULES)
    assert (decision.allowed, decision.reason) == (False, "denials")
    assert decision.retry_at_ms == 1_000 + 86_400_000
    assert may_send([], [1_000], 3_000, RULES)
    assert may_send([], [1_000, 2_000], 1_000 + 86_400_000, RULES)


def test_ten_requests_without_one_success_end_requests_until_there_is_one() -> None:
    day = 86_400_000
    decision = may_send([day * i for i in range(10)], [], day * 100, RULES)
    assert (decision.allowed, decision.retry_at_ms) == (False, None)
    assert may_send([day * i for i in range(9)], [], day * 100, RULES)


def test_a_clock_set_back_opens_nothing() -> None:
    requests = [1_000_000, 1_060_000, 1_120_000]
    assert not may_send(requests, [], 0, RULES)
    assert not may_send([], [1_000_000, 1_000_001], 0, RULES)


@given(st.lists(st.integers(0, 3_600_000), min_size=1, max_size=60))
def test_a_bomber_never_gets_more_than_the_limit_through_in_any_window(times: list[int]) -> None:
    sent: list[int] = []
    for now in sorted(times):
        if may_send(sent, [], now, RULES):
            sent.append(now)
    for start in sent:
        window = [t for t in sent if start <= t < start + RULES.window_seconds * 1000]
        assert len(window) <= RULES.max_in_window
    assert len(sent) <= RULES.max_since_success


@given(
    st.lists(st.integers(0, 2_000_000), max_size=9),
    st.lists(st.integers(0, 2_000_000), max_size=5),
    st.integers(0, 2_000_000),
)
def test_the_time_to_retry_is_the_first_at_which_that_limit_lifts(
    requests: list[int], denials: list[int], now: int
) -> None:
    decision = may_send(requests, denials, now, RULES)
    if decision.retry_at_ms is not None:
        before = may_send(requests, denials, decision.retry_at_ms - 1, RULES)
        assert before.reason == decision.reason
        assert may_send(requests, denials, decision.retry_at_ms, RULES).reason != decision.reason
