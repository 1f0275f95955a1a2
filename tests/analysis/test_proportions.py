"""Intervals and tests for two proportions: published values, brute force, exact coverage."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from statsmodels.stats.proportion import confint_proportions_2indep

from twofa_lab.analysis.proportions import (
    difference_test,
    exact_interval,
    miettinen_nurminen_interval,
    newcombe_interval,
    noninferiority_sample_size,
    noninferiority_test,
    ratio_interval,
    sample_ratio_mismatch,
)
from twofa_lab.analysis.score import difference_statistic, restricted_proportions
from twofa_lab.errors import InputError

INTERVALS = [newcombe_interval, miettinen_nurminen_interval, ratio_interval, exact_interval]
DIFFERENCES = [newcombe_interval, miettinen_nurminen_interval, exact_interval]


@st.composite
def tables(draw: st.DrawFn, most: int = 300) -> tuple[int, int, int, int]:
    n_a, n_b = draw(st.integers(1, most)), draw(st.integers(1, most))
    return draw(st.integers(0, n_a)), n_a, draw(st.integers(0, n_b)), n_b


def without_factor(confidence: float, total: int) -> float:
    """The confidence at which the interval with N / (N - 1) is the one without at `confidence`."""
    z = stats.norm.isf((1 - confidence) / 2) * np.sqrt((total - 1) / total)
    return 1 - 2 * stats.norm.sf(z)


@pytest.mark.parametrize(
    ("table", "low", "high"),
    [  # Newcombe (1998), table II, method 10
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((5, 56, 0, 29), -0.0381, 0.1926),
        ((0, 10, 0, 20), -0.1611, 0.2775),
        ((0, 10, 0, 10), -0.2775, 0.2775),
        ((10, 10, 0, 20), 0.6791, 1.0),
        ((10, 10, 0, 10), 0.6075, 1.0),
    ],
)
def test_newcombe_as_published(table: tuple[int, ...], low: float, high: float) -> None:
    assert newcombe_interval(*table) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("table", "low", "high"),
    [  # Newcombe (1998), table II; the last from Fagerland, Lydersen and Laake (2017), chapter 4
        ((56, 70, 48, 80), 0.0528, 0.3382),
        ((9, 10, 3, 10), 0.1700, 0.8406),
        ((5, 56, 0, 29), -0.0326, 0.1933),
        ((0, 10, 0, 20), -0.1658, 0.2844),
        ((0, 10, 0, 10), -0.2879, 0.2879),
        ((10, 10, 0, 20), 0.7156, 1.0),
        ((0, 16, 15, 72), -0.3164, -0.0056),
    ],
)
def test_miettinen_nurminen_as_published(table: tuple[int, ...], low: float, high: float) -> None:
    assert miettinen_nurminen_interval(*table) == pytest.approx((low, high), abs=5e-5)


def test_mee_without_the_factor_as_published() -> None:
    """Fagerland, Lydersen and Laake (2017), chapter 4."""
    found = miettinen_nurminen_interval(7, 34, 1, 34, without_factor(0.95, 68))
    assert found == pytest.approx((0.0284, 0.3439), abs=5e-5)


def test_ratio_as_published() -> None:
    """The same book: Miettinen and Nurminen, and Koopman, who has no factor."""
    assert ratio_interval(7, 34, 1, 34) == pytest.approx((1.2086, 43.0330), abs=5e-5)
    koopman = ratio_interval(7, 34, 1, 34, without_factor(0.95, 68))
    assert koopman == pytest.approx((1.2209, 42.5757), abs=5e-5)
    # Koopman (1984): 36 of 40 against 16 of 80
    koopman = ratio_interval(36, 40, 16, 80, without_factor(0.95, 120))
    assert koopman == pytest.approx((2.94, 7.15), abs=5e-3)


@given(tables())
@settings(max_examples=60, deadline=None)
def test_ratio_is_that_of_statsmodels(table: tuple[int, int, int, int]) -> None:
    a, n, b, m = table
    if not (0 < a < n and 0 < b < m):
        return
    other = confint_proportions_2indep(a, n, b, m, compare="ratio", method="score")
    assert ratio_interval(a, n, b, m) == pytest.approx(other, rel=1e-6)


@example((5, 5, 1, 1), 0.0)  # double roots at the ends
@example((0, 267, 0, 70), 0.0)
@example((267, 267, 70, 70), 1e-9)
@given(tables(), st.floats(-0.999, 0.999))
@settings(max_examples=60, deadline=None)
def test_restricted_estimate_is_the_likeliest(
    table: tuple[int, int, int, int], null: float
) -> None:
    a, n, b, m = table

    def unlikely(p: float) -> float:
        return -float(
            stats.binom.logpmf(a, n, p) + stats.binom.logpmf(b, m, np.clip(p - null, 0, 1))
        )

    low, high = max(0.0, null), min(1.0, 1.0 + null)
    best = optimize.minimize_scalar(unlikely, bounds=(low, high), options={"xatol": 1e-12})
    at_best = min(float(best.fun), unlikely(low), unlikely(high))
    p_a, p_b = restricted_proportions(*(np.asarray(float(v)) for v in (a / n, n, b / m, m, null)))
    assert low <= p_a <= high
    assert float(p_a - p_b) == pytest.approx(null, abs=1e-12)
    assert unlikely(float(p_a)) == pytest.approx(at_best, rel=1e-7, abs=1e-7)


@given(tables(), st.sampled_from([0.5, 0.9, 0.95, 0.999]))
@settings(max_examples=60, deadline=None)
def test_miettinen_nurminen_ends_where_the_test_turns(
    table: tuple[int, int, int, int], confidence: float
) -> None:
    observed = table[0] / table[1] - table[2] / table[3]
    low, high = miettinen_nurminen_interval(*table, confidence)
    z = stats.norm.isf((1 - confidence) / 2)
    assert -1 <= low <= observed + 1e-12
    assert observed - 1e-12 <= high <= 1
    for end, sign in ((low, 1), (high, -1)):
        if abs(end) < 1 - 1e-6:
            arrays = [np.asarray(float(value)) for value in table]
            at = float(difference_statistic(*arrays, np.asarray(end)))
            assert at == pytest.approx(sign * z, abs=1e-4)


@pytest.mark.parametrize("interval", DIFFERENCES)
@given(table=tables(30))
@settings(max_examples=6, deadline=None)
def test_difference_intervals_are_sound(interval: object, table: tuple[int, int, int, int]) -> None:
    a, n, b, m = table
    low, high = interval(*table)
    assert -1 <= low <= a / n - b / m <= high <= 1
    # arms exchanged, or failures counted for successes: the same with the sign turned
    assert interval(b, m, a, n) == pytest.approx((-high, -low), abs=2e-3)
    assert interval(n - a, n, m - b, m) == pytest.approx((-high, -low), abs=2e-3)
    wider = interval(*table, confidence=0.99)
    assert wider[0] <= low
    assert wider[1] >= high


@given(tables())
@settings(max_examples=50, deadline=None)
def test_ratio_interval_is_sound(table: tuple[int, int, int, int]) -> None:
    a, n, b, m = table
    low, high = ratio_interval(*table)
    assert 0 <= low <= high
    assert (low == 0) == (a == 0)
    assert (high == np.inf) == (b == 0)
    if a and b:
        assert low <= (a / n) / (b / m) * (1 + 1e-12)
        assert high >= (a / n) / (b / m) * (1 - 1e-12)
        assert ratio_interval(b, m, a, n) == pytest.approx((1 / high, 1 / low), rel=1e-9)
    wider = ratio_interval(*table, confidence=0.99)
    assert wider[0] <= low
    assert wider[1] >= high


def test_arrays_are_many_experiments_at_once() -> None:
    a, b = np.array([[5, 0], [30, 12]]), np.array([7, 3])
    for interval in (newcombe_interval, miettinen_nurminen_interval, ratio_interval):
        low, high = interval(a, 30, b, 25)
        assert low.shape == high.shape == (2, 2)
        one = interval(12, 30, 3, 25)
        assert (low[1, 1], high[1, 1]) == pytest.approx(tuple(one), rel=1e-12)
    assert noninferiority_test(a, 30, b, 25, 0.1).pvalue.shape == (2, 2)


def test_without_difference_it_is_pearsons_chi_square() -> None:
    z, pvalue = difference_test(56, 70, 48, 80)
    pearson = stats.chi2_contingency([[56, 14], [48, 32]], correction=False)
    assert z**2 == pytest.approx(pearson.statistic * 149 / 150, rel=1e-12)
    assert pvalue == pytest.approx(stats.chi2.sf(z**2, 1), rel=1e-12)
    assert difference_test(0, 10, 0, 20) == (0.0, 1.0)


@given(tables(), st.floats(0.005, 0.6))
@settings(max_examples=60, deadline=None)
def test_noninferiority_is_an_interval_above_the_margin(
    table: tuple[int, int, int, int], margin: float
) -> None:
    low, high = miettinen_nurminen_interval(*table)
    pvalue = noninferiority_test(*table, margin).pvalue
    if abs(low + margin) > 1e-9:
        assert (low > -margin) == (pvalue < 0.025)
    # the other side: the null that a is better by the margin, arms exchanged
    swapped = noninferiority_test(table[2], table[3], table[0], table[1], margin).pvalue
    if abs(high - margin) > 1e-9:
        assert (high < margin) == (swapped < 0.025)
    assert noninferiority_test(*table, min(margin * 1.3, 0.99)).pvalue <= pvalue


def test_noninferiority_by_hand() -> None:
    """Equal arms and p_a - p_b = -margin observed: restricted is observed, so z is 0."""
    assert noninferiority_test(40, 100, 50, 100, 0.1) == pytest.approx((0.0, 0.5), abs=1e-9)
    # without an effect the restricted proportions of equal arms with p = 0.5 are 0.45 and 0.55
    z = 0.1 / np.sqrt(2 * 0.45 * 0.55 / 100 * 200 / 199)
    assert noninferiority_test(50, 100, 50, 100, 0.1).statistic == pytest.approx(z, rel=1e-9)


def test_noninferior_and_worse_can_both_hold() -> None:
    table = (7_800, 10_000, 8_000, 10_000)
    assert noninferiority_test(*table, 0.05).pvalue < 1e-6
    assert miettinen_nurminen_interval(*table).high < 0


def coverage(interval: object, n: int, m: int, p_a: float, p_b: float, truth: float) -> float:
    """The exact chance that the interval holds the truth: every table, weighted by its chance."""
    a, b = np.meshgrid(np.arange(n + 1), np.arange(m + 1), indexing="ij")
    low, high = interval(a, n, b, m)
    chance = stats.binom.pmf(a, n, p_a) * stats.binom.pmf(b, m, p_b)
    return float(chance[(low <= truth + 1e-12) & (truth <= high + 1e-12)].sum())


@pytest.mark.parametrize("p_b", [0.05, 0.2, 0.5, 0.8])
@pytest.mark.parametrize("difference", [-0.04, 0.0, 0.1])
def test_exact_coverage_of_the_approximate_intervals(p_b: float, difference: float) -> None:
    """No simulation: every table of 100 against 80. With a success or two they cover more often."""
    p_a = p_b + difference
    most = 0.99 if min(100 * p_a, 80 * p_b) < 5 else 0.965
    for interval in (newcombe_interval, miettinen_nurminen_interval):
        assert 0.938 < coverage(interval, 100, 80, p_a, p_b, difference) < most
    assert 0.938 < coverage(ratio_interval, 100, 80, p_a, p_b, p_a / p_b) < most


def test_exact_interval_covers_at_least_as_often_as_it_says() -> None:
    n, m = 5, 4
    ends = np.array([[exact_interval(a, n, b, m) for b in range(m + 1)] for a in range(n + 1)])
    worst = 1.0
    for p_a in np.linspace(0.01, 0.99, 50):
        for p_b in np.linspace(0.01, 0.99, 50):
            inside = (ends[..., 0] <= p_a - p_b) & (p_a - p_b <= ends[..., 1])
            chance = np.outer(
                stats.binom.pmf(range(n + 1), n, p_a), stats.binom.pmf(range(m + 1), m, p_b)
            )
            worst = min(worst, float(chance[inside].sum()))
    assert 0.95 <= worst < 0.97  # guaranteed, and not wastefully wide


def test_exact_interval_agrees_with_barnards_test() -> None:
    """At no difference the ordering statistic is Barnard's pooled one."""
    n, m = 9, 8
    for a in range(2, n + 1, 3):
        for b in range(m + 1):
            if a / n <= b / m:
                continue
            columns = [[a, b], [n - a, m - b]]
            pvalue = stats.barnard_exact(columns, alternative="greater", pooled=True).pvalue
            if abs(pvalue - 0.025) > 1e-4:
                assert (exact_interval(a, n, b, m).low > 0) == (pvalue < 0.025)


def test_false_positives_in_two_thousand_aa_tests() -> None:
    rng = np.random.default_rng(20)
    a, b = rng.binomial(20_000, 0.62, (2, 2_000))
    rate = np.mean(difference_test(a, 20_000, b, 20_000).pvalue < 0.05)
    error = np.sqrt(0.05 * 0.95 / 2_000)
    assert abs(rate - 0.05) < 4 * error
    # at the edge of the margin the non-inferiority test errs as often as it says
    worse = rng.binomial(20_000, 0.60, 2_000)
    rate = np.mean(noninferiority_test(worse, 20_000, b, 20_000, 0.02).pvalue < 0.025)
    assert abs(rate - 0.025) < 4 * np.sqrt(0.025 * 0.975 / 2_000)


def test_sample_size_as_published() -> None:
    """Chow, Shao and Wang, section 4.2.3: 25 an arm."""
    assert noninferiority_sample_size(0.85, 0.65, 0.10, alpha=0.05, power=0.80) == 25


def test_sample_ratio_mismatch() -> None:
    statistic, pvalue = sample_ratio_mismatch([[5_000, 5_200], [5_000, 5_000]], [0.5, 0.5])
    assert statistic.tolist() == pytest.approx([3.921569, 0.0], abs=1e-6)
    assert pvalue[1] == 1.0
    three = sample_ratio_mismatch([300, 200, 500], [0.3, 0.2, 0.5])
    assert three == (0.0, 1.0)
    for counts, shares in (([1, 2, 3], [0.5, 0.5]), ([1, 2], [0.5, 0.6]), ([0, 0], [0.5, 0.5])):
        with pytest.raises(InputError):
            sample_ratio_mismatch(counts, shares)


@pytest.mark.parametrize("interval", INTERVALS)
@pytest.mark.parametrize(
    ("table", "says"),
    [
        ((11, 10, 1, 10), "count_a must be from 0 to n_a"),
        ((1, 10, -1, 10), "count_b must be from 0 to n_b"),
        ((0, 0, 1, 10), "n_a must be above 0"),
        ((1, 10, 1, -5), "n_b must be above 0"),
        ((float("nan"), 10, 1, 10), "count_a holds NaN"),
        ((1, float("inf"), 1, 10), "n_a holds NaN or infinity"),
        ((1.5, 10, 1, 10), "count_a must be a whole number"),
        (("few", 10, 1, 10), "count_a must be a number"),
    ],
)
def test_what_is_no_count_is_refused(interval: object, table: tuple, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        interval(*table)
    assert "\n" not in str(caught.value)


def test_other_bad_input_is_refused() -> None:
    for confidence in (0, 1, 95, float("nan")):
        for interval in INTERVALS:
            with pytest.raises(InputError, match="confidence"):
                interval(5, 10, 5, 10, confidence)
    for margin in (0, -0.1, 1, float("nan")):
        with pytest.raises(InputError, match="margin"):
            noninferiority_test(5, 10, 5, 10, margin)
        with pytest.raises(InputError, match="margin"):
            noninferiority_sample_size(0.5, 0.5, margin)
    with pytest.raises(InputError, match="too large for an exact interval"):
        exact_interval(5, 300, 5, 300)
    with pytest.raises(InputError, match="difference must be"):
        difference_test(5, 10, 5, 10, 1.0)
    with pytest.raises(InputError, match="differ in shape"):
        newcombe_interval([1, 2], 5, [1, 2, 3], 5)
