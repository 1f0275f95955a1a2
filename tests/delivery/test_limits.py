from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from twofa_lab.delivery.limits import (
    PUMPING,
    SEND_LIMITS,
    Limit,
    MemoryCounter,
    PumpingRule,
    Refusal,
    SendGuard,
    network_of,
    prefix_of,
)
from twofa_lab.delivery.phone import PhoneNumber, parse
from twofa_lab.errors import InputError

T0 = 1_760_000_000_000
MOBILE = parse("+447400123456")


def block(count: int) -> Iterator[PhoneNumber]:
    """Numbers of one prefix, all valid."""
    return (parse(f"+44740012{index:04d}") for index in range(count))


def guard(**options: object) -> SendGuard:
    return SendGuard(MemoryCounter(), **options)  # type: ignore[arg-type]


def test_three_verifications_a_number_in_ten_minutes() -> None:
    limits = guard()
    for at in (0, 1, 2):
        assert limits.admit(MOBILE, "203.0.113.1", T0 + at) is None
    assert limits.admit(MOBILE, "203.0.113.2", T0 + 3) == Refusal("number", 600)
    assert limits.admit(MOBILE, "203.0.113.2", T0 + 599_999) == Refusal("number", 600)
    assert limits.admit(MOBILE, "203.0.113.2", T0 + 600_000) is None


def test_what_is_refused_is_not_counted() -> None:
    limits = guard(limits=(Limit("number", 1, 600, "test"),))
    assert limits.admit(MOBILE, "203.0.113.1", T0) is None
    for at in range(1, 600):
        assert limits.admit(MOBILE, "203.0.113.1", T0 + at * 1000) is not None
    assert limits.admit(MOBILE, "203.0.113.1", T0 + 600_000) is None


def test_what_one_limit_refuses_does_not_use_up_another() -> None:
    limits = guard(limits=(Limit("number", 2, 600, "test"), Limit("ip", 1, 600, "test")))
    assert limits.admit(MOBILE, "203.0.113.1", T0) is None
    for _ in range(5):
        assert limits.admit(MOBILE, "203.0.113.1", T0) == Refusal("ip", 600)
    assert limits.admit(MOBILE, "203.0.113.2", T0) is None


def test_one_address_may_not_try_many_numbers() -> None:
    limits = guard()
    numbers = list(block(21))
    allowed = [limits.admit(number, "2001:db8::1", T0) for number in numbers[:20]]
    assert allowed == [None] * 20
    # another address of the same customer's network, then another customer
    assert limits.admit(numbers[20], "2001:db8::ffff", T0) == Refusal("ip", 3600)
    assert limits.admit(numbers[20], "2001:db8:0:1::1", T0) is None


def test_a_prefix_has_a_limit_of_its_own() -> None:
    limits = guard(limits=(Limit("prefix", 5, 60, "test"),), pumping=None)
    numbers = list(block(6))
    for index, number in enumerate(numbers[:5]):
        assert limits.admit(number, f"203.0.113.{index}", T0) is None
    assert limits.admit(numbers[5], "203.0.113.9", T0) == Refusal("prefix", 60)
    assert limits.admit(parse("+447911123456"), "203.0.113.9", T0) is None


def test_a_prefix_with_traffic_but_no_conversion_is_blocked_and_recovers() -> None:
    limits = guard(limits=())
    numbers = list(block(40))
    for index, number in enumerate(numbers[:20]):
        assert limits.admit(number, f"203.0.113.{index}", T0 + index) is None
    # within the settling time people may still be typing
    assert limits.admit(numbers[20], "203.0.113.99", T0 + 60_000) is None
    blocked = limits.admit(numbers[21], "203.0.113.99", T0 + 200_000)
    assert blocked == Refusal("pumping", 3600)
    assert limits.admit(parse("+447911123456"), "203.0.113.99", T0 + 200_000) is None
    assert limits.admit(numbers[21], "203.0.113.99", T0 + 3_700_000) is None


def test_a_prefix_that_converts_is_not_blocked() -> None:
    limits = guard(limits=())
    for index, number in enumerate(block(200)):
        assert limits.admit(number, "203.0.113.1", T0 + index * 10_000) is None
        if index % 3 == 0:
            limits.completed(number, T0 + index * 10_000 + 15_000)


def test_honest_traffic_is_blocked_less_than_twice_in_a_million() -> None:
    published_conversion = 0.723
    needed = PUMPING.conversion * PUMPING.volume
    assert binom.cdf(needed - 1, PUMPING.volume, published_conversion) < 2e-6


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_blocking_is_monotone(started: int, completed: int) -> None:
    if PUMPING.blocks(started, completed) and completed > 0:
        assert PUMPING.blocks(started, completed - 1)
    if PUMPING.blocks(started, completed):
        assert PUMPING.blocks(started + 1, completed)
    assert not PumpingRule(volume=10_001).blocks(started, completed)


def test_fifty_threads_never_pass_the_limit() -> None:
    limits = guard(limits=(Limit("number", 3, 600, "test"),))
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: limits.admit(MOBILE, "203.0.113.1", T0), range(200)))
    assert sum(answer is None for answer in answers) == 3
    assert limits.admit(MOBILE, "203.0.113.1", T0) is not None


def test_a_clock_that_steps_back_frees_nobody() -> None:
    limits = guard()
    for _ in range(3):
        assert limits.admit(MOBILE, "203.0.113.1", T0) is None
    assert limits.admit(MOBILE, "203.0.113.1", T0 - 3_600_000) == Refusal("number", 600)


def test_addresses_and_prefixes() -> None:
    assert network_of("::ffff:203.0.113.9") == "203.0.113.9"
    assert prefix_of(MOBILE) == "+44740012"
    for text in ("", "localhost", "203.0.113.999", "203.0.113.0/24"):
        with pytest.raises(InputError):
            network_of(text)


def test_every_limit_names_its_source() -> None:
    assert all(limit.source for limit in SEND_LIMITS)


@given(st.lists(st.integers(0, 50)), st.integers(-1, 51), st.integers(-1, 51))
def test_the_memory_counter_counts_from_a_time_on(
    times: list[int], since: int, before: int
) -> None:
    counter = MemoryCounter()
    for at in times:
        counter.add("a", at)
    assert counter.count("a", since) == sum(at >= since for at in times)
    counter.forget(before)
    assert counter.count("a", -2) == sum(at >= before for at in times)
    assert counter.count("b", -2) == 0
