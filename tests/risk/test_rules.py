"""Points, and through them and the decision the guide's semantics."""

from __future__ import annotations

import math
from decimal import Decimal
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import points, shares
from twofa_lab.errors import InputError
from twofa_lab.risk.decision import ALLOW, CHALLENGE, DENY, decide
from twofa_lab.risk.policy import Policy
from twofa_lab.risk.rules import RulePoints, signal_names
from twofa_lab.risk.signals import BITS, SignalRules
from twofa_lab.tables import SIGNALS

RISK = Policy.risk_based()


def mask(*signals: str) -> int:
    return sum(BITS[name] for name in signals)


def decision(*signals: str, failures: int = 0, trusted: bool = False) -> int:
    """What the built-in risk-based policy decides."""
    score = RISK.points.score(mask(*signals), failures)
    return decide(score, RISK.challenge_score, RISK.deny_score, trusted, RISK.trust_below)


# The guide: device alone, country alone, a burst regardless, an odd hour only with something else.


@pytest.mark.parametrize("signal", ["new_device", "new_country", "new_region", "failed_burst"])
def test_alone_it_steps_up(signal: str) -> None:
    assert decision(signal) == CHALLENGE


def test_nothing_steps_up_nothing() -> None:
    assert decision() == ALLOW


def test_an_odd_hour_alone_does_not_step_up() -> None:
    assert decision("odd_hour") == ALLOW


@pytest.mark.parametrize("signal", [name for name in SIGNALS if name != "odd_hour"])
def test_an_odd_hour_with_anything_else_does(signal: str) -> None:
    assert decision("odd_hour", signal) == CHALLENGE


def test_an_odd_hour_with_two_failed_passwords_does_and_with_one_does_not() -> None:
    assert decision("odd_hour", failures=1) == ALLOW
    assert decision("odd_hour", failures=2) == CHALLENGE
    assert decision(failures=2) == ALLOW


@pytest.mark.parametrize("others", list(product([False, True], repeat=4)))
@pytest.mark.parametrize("trusted", [False, True])
def test_a_burst_steps_up_regardless(others: tuple[bool, ...], trusted: bool) -> None:
    names = [name for name, fires in zip(SIGNALS[:-1], others, strict=True) if fires]
    assert decision("failed_burst", *names, failures=3, trusted=trusted) == CHALLENGE


def test_trust_lifts_a_new_region_and_a_forgotten_device_but_no_new_country() -> None:
    assert decision("new_region", trusted=True) == ALLOW
    assert decision("new_device", trusted=True) == ALLOW
    assert decision("new_country", trusted=True) == CHALLENGE
    assert decision("new_device", "odd_hour", trusted=True) == CHALLENGE


# Points.


def test_the_score_is_the_sum_of_the_points() -> None:
    p = RulePoints()
    assert p.score(mask("new_device", "odd_hour"), 0) == 0.7
    assert p.score(mask("new_country"), 1) == 0.75
    assert p.score(0, 0) == 0.0


def test_failures_count_only_below_a_burst() -> None:
    p = RulePoints()
    assert p.contributions(mask(), 2) == {"failed_attempt": 0.3}
    assert p.contributions(mask("failed_burst"), 3) == {"failed_burst": 0.6}
    assert p.contributions(mask("failed_burst"), 32) == {"failed_burst": 0.6}


def test_reasons_that_add_nothing_are_not_named() -> None:
    p = RulePoints(new_device=0.0, failed_attempt=0.0)
    assert p.contributions(mask("new_device", "odd_hour"), 2) == {"odd_hour": 0.2}


@given(points(shares(exact=False)), st.integers(0, 31), st.integers(0, 2))
def test_scores_lie_between_0_and_1_and_explain_themselves(
    p: RulePoints, bits: int, failures: int
) -> None:
    score = p.score(bits, failures)
    assert 0.0 <= score <= 1.0
    assert math.isclose(
        score, min(1.0, sum(p.contributions(bits, failures).values())), abs_tol=1e-9
    )


@given(points(shares(exact=False)), st.integers(0, 31), st.integers(0, 4))
def test_one_more_signal_never_lowers_the_score(p: RulePoints, bits: int, which: int) -> None:
    burst = BITS["failed_burst"]
    more = bits | 1 << which
    if more & burst == bits & burst:  # a burst replaces the points of single failures
        assert p.score(more, 1) >= p.score(bits, 1)
    assert p.score(more, 0) >= p.score(bits, 0)


@given(points(shares(exact=True)), st.integers(0, 31), st.integers(0, 2))
def test_decimal_points_reach_their_own_sum(p: RulePoints, bits: int, failures: int) -> None:
    """As people add them on paper, however binary fractions round."""
    exact = sum((Decimal(repr(getattr(p, name))) for name in signal_names(bits)), Decimal(0))
    if not bits & BITS["failed_burst"]:
        exact += Decimal(repr(p.failed_attempt)) * failures
    assert p.score(bits, failures) == float(min(Decimal(1), exact))


@pytest.mark.parametrize("burst_count", [1, 3, 6])
def test_the_table_holds_every_score(burst_count: int) -> None:
    p, rules = RulePoints(), SignalRules(burst_count=burst_count)
    table = p.table(rules)
    assert table.shape == (32, burst_count)
    for bits in range(32):
        for failures in range(burst_count):
            assert table[bits, failures] == p.score(bits, failures)


@pytest.mark.parametrize("name", RulePoints.__dataclass_fields__)
@pytest.mark.parametrize("value", [-0.01, 1.01, math.nan, math.inf, -math.inf])
def test_points_outside_0_to_1_are_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(InputError, match=rf"points\.{name}"):
        RulePoints(**{name: value})


# The decision.

NEVER = math.inf


@pytest.mark.parametrize(
    ("score", "challenge_at", "deny_at", "trusted", "expected"),
    [
        (0.0, 0.0, NEVER, False, CHALLENGE),  # universal: nothing is below zero
        (1.0, NEVER, NEVER, False, ALLOW),  # password only
        (0.45, 0.45, NEVER, False, CHALLENGE),
        (math.nextafter(0.45, 0), 0.45, NEVER, False, ALLOW),
        (0.9, 0.45, 0.9, False, DENY),
        (math.nextafter(0.9, 0), 0.45, 0.9, False, CHALLENGE),
        (0.9, 0.45, 0.9, True, DENY),
        (0.0, 0.0, 0.0, True, DENY),
        (0.9, NEVER, 0.9, False, DENY),
        (0.45, 0.45, NEVER, True, ALLOW),
        (0.6, 0.45, NEVER, True, CHALLENGE),
        (math.nextafter(0.6, 0), 0.45, NEVER, True, ALLOW),
    ],
)
def test_thresholds_are_reached_from_below(
    score: float, challenge_at: float, deny_at: float, trusted: bool, expected: int
) -> None:
    assert decide(score, challenge_at, deny_at, trusted, 0.6) == expected


@given(*[st.floats(0, 1)] * 4, st.booleans())
def test_a_higher_score_is_never_treated_better(
    low: float, high: float, challenge_at: float, trust_below: float, trusted: bool
) -> None:
    low, high = sorted((low, high))
    for deny_at in (NEVER, challenge_at, 1.0):
        below, above = (
            decide(score, challenge_at, deny_at, trusted, trust_below) for score in (low, high)
        )
        assert below <= above


@given(*[st.floats(0, 1)] * 4)
def test_trust_never_makes_it_worse_and_never_outranks(
    score: float, challenge_at: float, deny_at: float, trust_below: float
) -> None:
    trusted, unknown = (
        decide(score, challenge_at, deny_at, trust, trust_below) for trust in (True, False)
    )
    assert trusted <= unknown
    if score >= trust_below or unknown == DENY:
        assert trusted == unknown
