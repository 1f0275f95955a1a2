"""Two proportions: intervals for their difference and ratio, tests, sample-ratio mismatch.

Everywhere `count_a` of `n_a` and `count_b` of `n_b` are successes and sizes of two independent
arms, and a difference is p_a - p_b. Counts and sizes may be arrays, which broadcast;
`exact_interval` takes one experiment at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from twofa_lab.analysis.arguments import Interval, arms, finite, fraction, plain, positive, quotient
from twofa_lab.analysis.power import noninferiority_sizes
from twofa_lab.analysis.score import difference_statistic, ratio_statistic
from twofa_lab.errors import InputError
from twofa_lab.tables import Array

__all__ = [
    "ScoreTest",
    "difference_test",
    "exact_interval",
    "miettinen_nurminen_interval",
    "newcombe_interval",
    "noninferiority_sample_size",
    "noninferiority_test",
    "ratio_interval",
    "sample_ratio_mismatch",
]

_EXACT_TABLES = 10_000  # above it an exact interval takes seconds and hardly differs


class ScoreTest(NamedTuple):
    """A test's statistic and p-value: numbers, or arrays where the arguments were arrays."""

    statistic: Any
    pvalue: Any


def newcombe_interval(
    count_a: ArrayLike,
    n_a: ArrayLike,
    count_b: ArrayLike,
    n_b: ArrayLike,
    confidence: float = 0.95,
) -> Interval:
    """Newcombe's hybrid score interval for p_a - p_b (1998, method 10).

    Built from the two arms' Wilson intervals; never leaves [-1, 1] and needs no iteration.

    >>> low, high = newcombe_interval(56, 70, 48, 80)
    >>> round(low, 4), round(high, 4)
    (0.0524, 0.3339)
    """
    from statsmodels.stats.proportion import confint_proportions_2indep

    alpha = 1.0 - float(fraction("confidence", confidence))
    table = arms(count_a, n_a, count_b, n_b)
    low, high = confint_proportions_2indep(*table, method="newcomb", compare="diff", alpha=alpha)
    return Interval(plain(np.clip(low, -1.0, 1.0)), plain(np.clip(high, -1.0, 1.0)))


def miettinen_nurminen_interval(
    count_a: ArrayLike,
    n_a: ArrayLike,
    count_b: ArrayLike,
    n_b: ArrayLike,
    confidence: float = 0.95,
) -> Interval:
    """The score interval of Miettinen and Nurminen (1985) for p_a - p_b.

    It holds every difference that `difference_test` would not reject, so that test, the
    non-inferiority test and the interval always agree.

    >>> low, high = miettinen_nurminen_interval(56, 70, 48, 80)
    >>> round(low, 4), round(high, 4)
    (0.0528, 0.3382)
    """
    z = _critical(confidence)
    table = arms(count_a, n_a, count_b, n_b)
    observed = table[0] / table[1] - table[2] / table[3]

    def statistic(difference: Array) -> Array:
        return difference_statistic(*table, difference)

    low = _where_it_falls_to(statistic, z, np.full_like(observed, -1.0), observed)
    high = _where_it_falls_to(statistic, -z, observed, np.full_like(observed, 1.0))
    return Interval(plain(low), plain(high))


def ratio_interval(
    count_a: ArrayLike,
    n_a: ArrayLike,
    count_b: ArrayLike,
    n_b: ArrayLike,
    confidence: float = 0.95,
) -> Interval:
    """The score interval of Miettinen and Nurminen (1985) for the ratio p_a / p_b.

    It reaches down to 0 where arm a has no success, up to infinity where arm b has none.

    >>> low, high = ratio_interval(7, 34, 1, 34)
    >>> round(low, 4), round(high, 4)
    (1.2086, 43.033)
    """
    z = _critical(confidence)
    a, n, b, m = arms(count_a, n_a, count_b, n_b)
    p_a, p_b = a / n, b / m
    # the weight w of a ratio w / (1 - w); without any success the whole axis remains
    at = quotient(p_a, p_a + p_b, 0.0)

    def statistic(weight: Array) -> Array:
        return ratio_statistic(a, n, b, m, weight)

    low = _where_it_falls_to(statistic, z, np.zeros_like(at), at)
    high = _where_it_falls_to(statistic, -z, at, np.ones_like(at))
    high = np.where(b == 0.0, 1.0, high)
    low, high = (quotient(weight, 1.0 - weight, np.inf) for weight in (low, high))
    return Interval(plain(low), plain(high))


def difference_test(
    count_a: ArrayLike,
    n_a: ArrayLike,
    count_b: ArrayLike,
    n_b: ArrayLike,
    difference: float = 0.0,
) -> ScoreTest:
    """Two-sided score test of the null p_a - p_b = `difference` (Miettinen and Nurminen 1985).

    For no difference this is Pearson's chi-square with the factor (N - 1) / N. Two arms without
    any success, or without any failure, give z = 0.

    >>> found = difference_test(56, 70, 48, 80)
    >>> round(found.statistic, 4), round(found.pvalue, 4)
    (2.6413, 0.0083)
    """
    if not abs(finite("difference", difference)) < 1:
        raise InputError(f"difference must be between -1 and 1, not {difference:.10g}")
    z = difference_statistic(*arms(count_a, n_a, count_b, n_b), np.asarray(float(difference)))
    return ScoreTest(plain(z), plain(2.0 * stats.norm.sf(np.abs(z))))


def noninferiority_test(
    count_a: ArrayLike,
    n_a: ArrayLike,
    count_b: ArrayLike,
    n_b: ArrayLike,
    margin: float,
) -> ScoreTest:
    """One-sided score test of the null p_a - p_b <= -margin, margin in (0, 1).

    Arm a is not worse than arm b by the margin where the p-value is small: p < 0.025 exactly
    where the 95 % interval of Miettinen and Nurminen lies above -margin. The standard error comes
    from the proportions most likely under the null (Farrington and Manning 1990) with Miettinen
    and Nurminen's factor N / (N - 1); Farrington and Manning's own z is larger by its square
    root.

    A significantly lower p_a can pass as well, when it is lower by less than the margin: look
    at the interval beside this.

    >>> found = noninferiority_test(480, 600, 492, 600, margin=0.07)
    >>> round(found.statistic, 3), round(found.pvalue, 4)
    (2.2, 0.0139)
    """
    within = fraction("margin", margin)
    z = difference_statistic(*arms(count_a, n_a, count_b, n_b), -within)
    return ScoreTest(plain(z), plain(stats.norm.sf(z)))


def noninferiority_sample_size(
    p_a: float, p_b: float, margin: float, alpha: float = 0.05, power: float = 0.8
) -> int:
    """Visitors each of two equal arms needs to show p_a - p_b > -margin with this power.

    `alpha` is one-sided: 0.025 goes with a two-sided 95 % interval. The formula is that of Chow,
    Shao and Wang; `power.noninferiority_sizes` is the same for unequal arms.

    >>> noninferiority_sample_size(0.85, 0.65, 0.10)
    25
    """
    return noninferiority_sizes(p_a, p_b, margin, alpha=alpha, power=power).n_a


def exact_interval(
    count_a: int, n_a: int, count_b: int, n_b: int, confidence: float = 0.95
) -> Interval:
    """An interval for p_a - p_b that covers at least as often as it says, however small the arms.

    Inverts two one-sided exact unconditional tests ordered by the score statistic (Chan and Zhang
    1999): a difference is left out when, whatever the nuisance proportion, so extreme a table has a
    probability of at most half of 1 - confidence. Takes up to a few seconds; arms with n_a * n_b
    above 10,000 are refused, since `miettinen_nurminen_interval` is about as good there.

    >>> low, high = exact_interval(7, 34, 1, 34)
    >>> round(low, 3), round(high, 3)
    (0.019, 0.358)
    """
    alpha = 1.0 - float(fraction("confidence", confidence))
    a, n, b, m = (int(value) for value in arms(count_a, n_a, count_b, n_b))
    if n * m > _EXACT_TABLES:
        raise InputError(
            f"arms of {n} and {m} are too large for an exact interval: use "
            "miettinen_nurminen_interval"
        )
    low = _exact_low(a, n, b, m, alpha / 2.0)
    return Interval(low, -_exact_low(b, m, a, n, alpha / 2.0))


def sample_ratio_mismatch(counts: ArrayLike, shares: ArrayLike) -> ScoreTest:
    """Chi-square test that visitors fell into the arms in the planned shares.

    `counts` is a number an arm, shape (..., arms); `shares` sum to 1. A tiny p-value (0.001 is a
    common alarm; Fabijan and others 2019) says that assignment or logging is broken, and that no
    estimate of this experiment should be believed.

    >>> round(sample_ratio_mismatch([821_588, 815_482], [0.5, 0.5]).pvalue, 8)
    1.82e-06
    """
    found, planned = finite("counts", counts), positive("shares", shares)
    if found.ndim < 1 or planned.ndim != 1 or found.shape[-1] != len(planned) or len(planned) < 2:
        raise InputError("counts and shares need one number for each of two arms or more")
    if abs(planned.sum() - 1.0) > 1e-9:
        raise InputError(f"shares must sum to 1, not {planned.sum():.10g}")
    if (found < 0).any() or (found != np.rint(found)).any():
        raise InputError("counts must be whole numbers, 0 or more")
    total = positive("the sum of counts", found.sum(axis=-1))
    result = stats.chisquare(found, total[..., None] * planned, axis=-1)
    return ScoreTest(plain(result.statistic), plain(result.pvalue))


def _critical(confidence: float) -> float:
    return float(stats.norm.isf((1.0 - float(fraction("confidence", confidence))) / 2.0))


def _where_it_falls_to(
    statistic: Callable[[Array], Array], z: float, low: Array, high: Array
) -> Array:
    """Where a falling statistic equals z, between `low` and `high`, by halving."""
    for _ in range(60):
        middle = 0.5 * (low + high)
        above = statistic(middle) > z
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.asarray(np.where(low == high, low, 0.5 * (low + high)))


def _exact_low(a: int, n: int, b: int, m: int, alpha: float) -> float:
    """The lowest difference at which a table as high as this one is likelier than `alpha`."""
    tables = np.meshgrid(np.arange(n + 1.0), np.arange(m + 1.0), indexing="ij")
    nuisance = np.sin(np.linspace(0.0, np.pi / 2.0, 201)) ** 2  # denser near 0 and 1
    log_a, log_b = _log_choose(n), _log_choose(m)

    def likely(difference: float) -> bool:
        null = np.asarray(difference)
        z = difference_statistic(tables[0], np.asarray(n), tables[1], np.asarray(m), null)
        high = (z >= z[a, b] - 1e-9).astype(np.float64)
        room = 1.0 - abs(difference)
        p_a = max(0.0, difference) + room * nuisance
        p_b = np.clip(p_a - difference, 0.0, 1.0)
        chance = (_binomial(log_a, p_a) @ high * _binomial(log_b, p_b)).sum(axis=1)
        return bool(chance.max() > alpha)

    observed = a / n - b / m
    if observed <= -1.0:
        return -1.0
    # from outside in, because the p-value need not rise steadily; then halve the first step
    steps = np.linspace(-1.0, observed, 101)
    first = next((i for i in range(1, 101) if likely(float(steps[i]))), 100)
    low, high = float(steps[first - 1]), float(steps[first])
    for _ in range(20):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if likely(middle) else (middle, high)
    return low


def _log_choose(n: int) -> Array:
    from scipy.special import gammaln

    k = np.arange(n + 1.0)
    return np.asarray(gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0))


def _binomial(log_choose: Array, p: Array) -> Array:
    """Binomial probabilities, a row a proportion, a column a count."""
    from scipy.special import xlog1py, xlogy

    n = len(log_choose) - 1
    k = np.arange(n + 1.0)
    p = p[:, None]
    return np.asarray(np.exp(log_choose + xlogy(k, p) + xlog1py(n - k, -p)))
