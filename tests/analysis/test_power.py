"""Planning: published sizes, and the power that exact enumeration finds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import power_proportions_2indep

from twofa_lab.analysis.power import (
    design_effect,
    minimum_detectable_effect,
    noninferiority_power,
    noninferiority_sizes,
    superiority_power,
    superiority_sizes,
)
from twofa_lab.analysis.proportions import difference_test, noninferiority_test
from twofa_lab.errors import InputError

shares = st.floats(0.05, 0.95)


def test_as_in_r() -> None:
    """The examples of `power.prop.test`."""
    assert superiority_power(0.50, 0.75, 50, 50) == pytest.approx(0.740, abs=5e-4)
    assert superiority_sizes(0.50, 0.75, power=0.90) == (77, 77)  # 76.7
    assert minimum_detectable_effect(0.50, 50, 50, power=0.90) == pytest.approx(0.3026, abs=5e-5)


def test_unequal_arms_as_in_statsmodels() -> None:
    """It counts the wrong side too, which at this power adds less than 1e-9."""
    other = power_proportions_2indep(0.04, 0.20, 3_000, ratio=0.5).power
    assert superiority_power(0.24, 0.20, 3_000, 1_500) == pytest.approx(other, abs=1e-3)


@given(shares, shares, st.floats(0.1, 0.9), st.floats(0.5, 0.95))
def test_sizes_reach_their_power_and_no_fewer_do(
    p_a: float, p_b: float, share: float, power: float
) -> None:
    if abs(p_a - p_b) < 0.01:
        return
    n_a, n_b = superiority_sizes(p_a, p_b, share_a=share, power=power)
    # rounding up may tilt the split by a visitor an arm
    slack = 3.0 / min(n_a, n_b)
    assert superiority_power(p_a, p_b, n_a, n_b) >= power - slack
    if n_a > 30 and n_b > 30:
        assert superiority_power(p_a, p_b, n_a * 0.97, n_b * 0.97) < power + slack


@given(shares, st.integers(20, 100_000), st.booleans())
def test_the_smallest_visible_effect_has_just_the_power(p_b: float, n: int, fall: bool) -> None:
    effect = minimum_detectable_effect(p_b, n, 2 * n, fall=fall)
    most = p_b if fall else 1 - p_b
    if np.isnan(effect):
        assert superiority_power(0.0 if fall else 1.0, p_b, n, 2 * n) < 0.8
        return
    assert 0 < effect <= most
    p_a = p_b - effect if fall else p_b + effect
    assert superiority_power(np.clip(p_a, 0, 1), p_b, n, 2 * n) >= 0.8 - 1e-9


def test_the_curve_falls_with_the_size() -> None:
    curve = minimum_detectable_effect(0.6, np.array([100, 1_000, 10_000]), 1_000)
    assert (np.diff(curve) < 0).all()
    assert np.isnan(minimum_detectable_effect(0.999, 50, 50))


def test_noninferiority_sizes() -> None:
    sizes = noninferiority_sizes(0.62, 0.62, 0.01, share_a=0.3, alpha=0.025, power=0.9)
    assert sizes.n_a / sizes.total == pytest.approx(0.3, abs=1e-4)
    reached = noninferiority_power(0.62, 0.62, *sizes, margin=0.01, alpha=0.025)
    assert reached == pytest.approx(0.9, abs=1e-4)


def exact_power(pvalue: np.ndarray, alpha: float, n: int, p_a: float, p_b: float) -> float:
    chance = np.outer(stats.binom.pmf(range(n + 1), n, p_a), stats.binom.pmf(range(n + 1), n, p_b))
    return float(chance[pvalue < alpha].sum())


def test_planned_power_is_realised_without_simulation() -> None:
    """Every table of two arms, weighted by its chance."""
    n, _ = superiority_sizes(0.70, 0.60)
    a, b = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
    real = exact_power(difference_test(a, n, b, n).pvalue, 0.05, n, 0.70, 0.60)
    assert real == pytest.approx(0.80, abs=0.01)

    n, _ = noninferiority_sizes(0.62, 0.62, 0.10, alpha=0.025)
    a, b = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
    real = exact_power(noninferiority_test(a, n, b, n, 0.10).pvalue, 0.025, n, 0.62, 0.62)
    assert real == pytest.approx(0.80, abs=0.01)


def test_planned_power_is_realised_with_unequal_arms() -> None:
    rng = np.random.default_rng(5)
    n_a, n_b = superiority_sizes(0.64, 0.62, share_a=0.2)
    a, b = rng.binomial(n_a, 0.64, 4_000), rng.binomial(n_b, 0.62, 4_000)
    real = np.mean(difference_test(a, n_a, b, n_b).pvalue < 0.05)
    assert abs(real - 0.8) < 4 * np.sqrt(0.8 * 0.2 / 4_000)


def test_a_single_look_of_certain_outcomes() -> None:
    assert superiority_power(1.0, 0.0, 50, 50) == 1.0
    assert superiority_power(0.3, 0.3, 50, 50) == pytest.approx(0.025)
    assert noninferiority_power(1.0, 1.0, 5, 5, margin=0.1) == 1.0


def test_design_effect() -> None:
    assert design_effect(1, 0.5) == 1.0
    assert design_effect(20, 0.05) == pytest.approx(1.95)  # Kish
    assert design_effect(20, 0.05, variation=0.5) == pytest.approx(2.2)


def test_bad_plans_are_refused() -> None:
    with pytest.raises(InputError, match="p_a equals p_b"):
        superiority_sizes(0.5, 0.5)
    with pytest.raises(InputError, match="not above -margin"):
        noninferiority_sizes(0.5, 0.7, 0.1)
    for bad in (0, 1, 1.2, float("nan")):
        with pytest.raises(InputError, match="power"):
            superiority_sizes(0.5, 0.6, power=bad)
        with pytest.raises(InputError, match="alpha"):
            superiority_power(0.5, 0.6, 10, 10, alpha=bad)
        with pytest.raises(InputError, match="share_a"):
            superiority_sizes(0.5, 0.6, share_a=bad)
        with pytest.raises(InputError, match="power"):
            minimum_detectable_effect(0.5, 10, 10, power=bad)
    with pytest.raises(InputError, match="n_a"):
        superiority_power(0.5, 0.6, 0, 10)
    for wrong in ((0.5, 0.1, 0), (2, 2, 0), (2, 0.1, -1)):
        with pytest.raises(InputError):
            design_effect(*wrong)
