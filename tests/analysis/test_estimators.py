"""Estimators of differences: against other libraries, and their coverage by simulation."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from twofa_lab.analysis.estimators import (
    Moments,
    benjamini_hochberg,
    cluster_bootstrap,
    cuped_difference,
    holm,
    mean_difference,
    ratio_difference,
)
from twofa_lab.errors import InputError

# Benjamini and Hochberg (1995), section 3.2: fifteen p-values, of which theirs rejects four.
FIFTEEN = [
    0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719,
    0.6528, 0.7590, 1.0000,
]  # fmt: skip


def test_means_are_welchs() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(1, 2, 40), rng.normal(0, 5, 25)
    found = mean_difference(Moments.of(a), Moments.of(b), confidence=0.9)
    other = stats.ttest_ind(a, b, equal_var=False)
    ends = other.confidence_interval(0.9)
    assert found.pvalue == pytest.approx(other.pvalue, rel=1e-10)
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high), rel=1e-10)


def test_cuped_is_the_regression_on_arm_and_covariate() -> None:
    rng = np.random.default_rng(2)
    before = rng.normal(10, 3, 500)
    arm = rng.integers(0, 2, 500)
    after = 0.8 * before + 0.5 * arm + rng.normal(size=500)
    parts = [Moments.of(after[arm == k], before[arm == k]) for k in (1, 0)]
    found = cuped_difference(*parts)
    other = sm.OLS(after, np.column_stack([np.ones(500), arm, before])).fit(cov_type="HC2")
    assert found.value == pytest.approx(other.params[1], rel=1e-10)
    assert found.standard_error == pytest.approx(other.bse[1], rel=0.01)
    # noise falls as 1 - r^2 says
    within = np.corrcoef(after - 0.5 * arm, before)[0, 1]
    plain = mean_difference(*parts)
    expected = np.sqrt(1 - within**2)
    assert found.standard_error / plain.standard_error == pytest.approx(expected, rel=0.02)


def test_cuped_without_a_relation_changes_little() -> None:
    rng = np.random.default_rng(3)
    a, b = (Moments.of(*rng.normal(size=(2, 4_000))) for _ in "ab")
    adjusted, plain = cuped_difference(a, b), mean_difference(a, b)
    assert adjusted.value == pytest.approx(plain.value, abs=0.005)
    assert adjusted.standard_error == pytest.approx(plain.standard_error, rel=0.01)


def accounts(
    rng: np.random.Generator, experiments: int, people: int
) -> tuple[np.ndarray, np.ndarray]:
    """Completed logins and logins of accounts: heavy and light ones, each with its own rate."""
    logins = rng.poisson(rng.gamma(1.0, 6.0, (experiments, people))) + 1
    rate = rng.beta(4.0, 1.0, (experiments, people))
    return rng.binomial(logins, rate), logins


def test_coverage_with_two_thousand_experiments_at_once() -> None:
    rng = np.random.default_rng(4)
    runs = 2_000
    (top_a, bottom_a), (top_b, bottom_b) = (accounts(rng, runs, 300) for _ in "ab")
    error = np.sqrt(0.05 * 0.95 / runs)
    found = ratio_difference(Moments.of(top_a, bottom_a), Moments.of(top_b, bottom_b))
    assert found.pvalue.shape == (runs,)
    assert abs(np.mean(found.pvalue < 0.05) - 0.05) < 4 * error
    inside = (found.low <= 0) & (found.high >= 0)
    assert np.array_equal(inside, found.pvalue >= 0.05)

    before = rng.normal(size=(2, runs, 100))
    after = before + rng.normal(size=before.shape)
    found = cuped_difference(*(Moments.of(after[k], before[k]) for k in (0, 1)))
    assert abs(np.mean(found.pvalue < 0.05) - 0.05) < 4 * error

    # rows taken for independent are sure too often
    p_a, p_b = top_a.sum(1) / bottom_a.sum(1), top_b.sum(1) / bottom_b.sum(1)
    naive = p_a * (1 - p_a) / bottom_a.sum(1) + p_b * (1 - p_b) / bottom_b.sum(1)
    assert np.mean(np.abs(p_a - p_b) > 1.96 * np.sqrt(naive)) > 0.15


def test_bootstrap_and_delta_method_agree() -> None:
    rng = np.random.default_rng(5)
    arms = [tuple(part[0] for part in accounts(rng, 1, 1_500)) for _ in "ab"]
    drawn = cluster_bootstrap(arms[0], arms[1], np.random.default_rng(6), replicates=2_000)
    delta = ratio_difference(Moments.of(*arms[0]), Moments.of(*arms[1]))
    assert drawn.value == pytest.approx(delta.value, abs=1e-12)
    # the percentiles of 2,000 replicates have an error of about 4 % of the half width
    assert drawn.high - drawn.low == pytest.approx(delta.high - delta.low, rel=0.1)
    again = cluster_bootstrap(arms[0], arms[1], np.random.default_rng(6), replicates=2_000)
    assert drawn == again


def test_the_bootstrap_is_the_same_law_for_alike_clusters_and_for_single_ones() -> None:
    """Counts are drawn by kind of cluster; a hair more on each makes every cluster its own kind."""
    rng = np.random.default_rng(8)
    top, bottom = (part[0].astype(float) for part in accounts(rng, 1, 2_000))
    alike = cluster_bootstrap((top, bottom), (top, bottom), np.random.default_rng(9), 2_000)
    hair = 1e-9 * np.arange(2_000)
    single = cluster_bootstrap((top + hair, bottom), (top, bottom), np.random.default_rng(9), 2_000)
    assert alike.value == 0.0
    assert single.high - single.low == pytest.approx(alike.high - alike.low, rel=0.1)
    assert alike.low < 0.0 < alike.high


def test_holm_and_benjamini_hochberg_as_published() -> None:
    assert (benjamini_hochberg(FIFTEEN) <= 0.05).sum() == 4
    assert (holm(FIFTEEN) <= 0.05).sum() == 3
    # R: p.adjust(1:5 / 100, "holm"), "BH"
    five = np.arange(1, 6) / 100
    assert holm(five) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert benjamini_hochberg(five) == pytest.approx([0.05] * 5)
    # order is the caller's
    assert holm(five[::-1]) == pytest.approx(holm(five)[::-1])


def test_where_nothing_varies_there_is_no_interval() -> None:
    same = Moments.of([1.0, 1.0, 1.0], [1.0, 1.0, 1.0])
    found = cuped_difference(same, same)
    assert found.value == 0.0
    assert np.isnan([found.low, found.high, found.pvalue]).all()


def test_bad_input_is_refused() -> None:
    good = Moments.of([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])
    bare = Moments.of([1.0, 2.0, 3.0])
    for estimator in (cuped_difference, ratio_difference):
        with pytest.raises(InputError, match="both arms need"):
            estimator(good, bare)
    for estimator in (cuped_difference, ratio_difference, mean_difference):
        with pytest.raises(InputError, match="confidence"):
            estimator(good, good, confidence=95)
    with pytest.raises(InputError, match="mean above 0"):
        ratio_difference(good, Moments.of([1.0, 2.0], [0.0, 0.0]))
    for wrong in ([1.0], 1.0, [1.0, float("nan")]):
        with pytest.raises(InputError, match="y "):
            Moments.of(wrong)
    with pytest.raises(InputError, match="one value each"):
        Moments.of([1.0, 2.0], [1.0, 2.0, 3.0])
    rng = np.random.default_rng(1)
    for arm in (([1, 2], [0, 0]), ([1, 2], [1, -1]), ([1, 2], [1, 2, 3])):
        with pytest.raises(InputError, match="arm b"):
            cluster_bootstrap(([1, 2], [2, 2]), arm, rng)
    with pytest.raises(InputError, match="replicates"):
        cluster_bootstrap(([1, 2], [2, 2]), ([1, 2], [2, 2]), rng, replicates=0)
    for pvalues in ([0.1, 1.1], [], [float("nan")], 0.5):
        with pytest.raises(InputError, match="pvalues"):
            holm(pvalues)
