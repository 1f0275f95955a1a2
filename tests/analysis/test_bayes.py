"""The beta-binomial posterior against its closed form and against draws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betaln

from twofa_lab.analysis.bayes import beta_binomial
from twofa_lab.errors import InputError


def chance_second_higher(a: tuple[float, float], b: tuple[float, float]) -> float:
    """P(B > A) for beta variables with a whole first parameter of B, as a sum (Miller 2015)."""
    i = np.arange(b[0])
    terms = betaln(a[0] + i, a[1] + b[1]) - np.log(b[1] + i) - betaln(1 + i, b[1]) - betaln(*a)
    return float(np.exp(terms).sum())


def loss(a: tuple[float, float], b: tuple[float, float]) -> float:
    """E max(B - A, 0) in closed form (Stucchio 2015)."""
    more_b, more_a = (b[0] + 1, b[1]), (a[0] + 1, a[1])
    return b[0] / sum(b) * chance_second_higher(a, more_b) - a[0] / sum(a) * chance_second_higher(
        more_a, b
    )


@st.composite
def tables(draw: st.DrawFn) -> tuple[int, int, int, int]:
    n_a, n_b = draw(st.integers(1, 5_000)), draw(st.integers(1, 5_000))
    return draw(st.integers(0, n_a)), n_a, draw(st.integers(0, n_b)), n_b


def test_as_published() -> None:
    assert beta_binomial(240, 1_000, 200, 1_000).a_better == pytest.approx(0.98454, abs=5e-6)
    assert beta_binomial(200, 1_000, 240, 1_000).a_better == pytest.approx(0.01546, abs=5e-6)


@given(tables())
@settings(max_examples=60, deadline=None)
def test_is_the_closed_form(table: tuple[int, int, int, int]) -> None:
    x, n, y, m = table
    found = beta_binomial(*table)
    a, b = (1.0 + x, 1.0 + n - x), (1.0 + y, 1.0 + m - y)
    assert 1 - found.a_better == pytest.approx(chance_second_higher(a, b), abs=1e-8)
    assert found.loss_a == pytest.approx(loss(a, b), abs=1e-8)
    assert found.loss_b == pytest.approx(loss(b, a), abs=1e-8)
    # what one may lose less what one may win is the difference
    assert found.loss_b - found.loss_a == pytest.approx(found.difference, abs=1e-9)
    assert found.interval.low < found.difference < found.interval.high


def test_interval_is_that_of_draws() -> None:
    found = beta_binomial(30, 120, 18, 90, prior=(0.5, 0.5), confidence=0.9)
    rng = np.random.default_rng(1)
    draws = rng.beta(30.5, 90.5, 400_000) - rng.beta(18.5, 72.5, 400_000)
    assert tuple(found.interval) == pytest.approx(np.quantile(draws, [0.05, 0.95]), abs=1e-3)
    assert found.a_better == pytest.approx(np.mean(draws > 0), abs=4e-3)


def test_large_arms_and_no_successes() -> None:
    found = beta_binomial(600_300, 1_000_000, 600_000, 1_000_000)
    z = 0.0003 / np.sqrt(2 * 0.6 * 0.4 / 1e6)
    from scipy.stats import norm

    assert found.a_better == pytest.approx(norm.cdf(z), abs=1e-4)
    none = beta_binomial(0, 50, 0, 50)
    assert none.a_better == pytest.approx(0.5, abs=1e-9)
    assert none.loss_a == pytest.approx(none.loss_b)


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="count_a"):
        beta_binomial(11, 10, 1, 10)
    with pytest.raises(InputError, match="prior"):
        beta_binomial(1, 10, 1, 10, prior=(0.0, 1.0))
    with pytest.raises(InputError, match="prior"):
        beta_binomial(1, 10, 1, 10, prior=(1.0, 1.0, 1.0))
    with pytest.raises(InputError, match="confidence"):
        beta_binomial(1, 10, 1, 10, confidence=1.0)
