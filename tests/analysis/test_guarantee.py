"""The guarantee against its promise: wrong no more often than it says, and of use when right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofa_lab.analysis.guarantee import evidence, pvalues, within_budget

BUDGET, CAP = 0.1, 4.0


def accounts(rng: np.random.Generator, rate: float, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Challenges (1, accounts) and logins of accounts that differ a lot, at a rate over logins."""
    logins = np.minimum(rng.geometric(0.2, size), 30)
    own = rng.choice([0.25, 1.75], size) * rate  # some accounts are challenged far more
    return rng.binomial(logins, own)[None, :], logins


def test_exactly_at_the_budget_it_passes_no_more_often_than_the_level():
    rng = np.random.default_rng(3)
    runs = [pvalues(evidence(*accounts(rng, BUDGET, 300), BUDGET, CAP).wealth) for _ in range(600)]
    passed = np.mean(np.array(runs) <= 0.05)
    assert passed <= 0.05


def test_well_within_the_budget_it_passes():
    rng = np.random.default_rng(4)
    runs = [pvalues(evidence(*accounts(rng, 0.05, 600), BUDGET, CAP).wealth) for _ in range(50)]
    assert np.mean(np.array(runs) <= 0.05) > 0.9


def test_expected_wealth_under_the_null_is_at_most_one():
    """The property behind it, by exact enumeration: one account, two outcomes, mean excess 0."""
    logins = 10
    for challenged, chance in ((logins, BUDGET), (2, BUDGET * logins / 2)):
        asked, none = (
            np.exp(evidence(np.array([[c]]), np.array([logins]), BUDGET, CAP).wealth)
            for c in (challenged, 0)
        )
        assert (chance * asked + (1.0 - chance) * none <= 1.0 + 1e-12).all() == (
            challenged - BUDGET * logins <= CAP
        )  # a challenge beyond the cap is left out, and so not guaranteed


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=30),
    st.integers(1, 29),
)
def test_evidence_adds_up_over_shards_in_any_order(pairs, at):
    challenged = np.array([[min(c, n) for c, n in pairs]])
    logins = np.array([n for _, n in pairs])
    whole = evidence(challenged, logins, BUDGET, CAP)
    parts = [
        evidence(challenged[:, part], logins[part], BUDGET, CAP)
        for part in (slice(at, None), slice(0, at))
    ]
    np.testing.assert_allclose(whole.wealth, parts[0].wealth + parts[1].wealth, atol=1e-9)
    np.testing.assert_allclose(whole.cut, parts[0].cut + parts[1].cut)


def test_the_cut_is_what_lies_beyond_the_cap():
    found = evidence(np.array([[9, 1]]), np.array([10, 10]), BUDGET, CAP)
    assert found.cut.tolist() == [9 - BUDGET * 10 - CAP]


@pytest.mark.parametrize(
    ("p", "passed"),
    [
        ([0.01, 0.05, 0.06, 0.0], [True, True, False, False]),
        ([0.2, 0.0], [False, False]),
        ([0.0, 0.0], [True, True]),
    ],
)
def test_testing_stops_at_the_first_that_cannot_be_rejected(p, passed):
    assert within_budget(np.array(p), 0.05).tolist() == passed
