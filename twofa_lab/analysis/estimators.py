"""Differences between two arms of an experiment, from sums: means, CUPED, ratio metrics, clusters.

Everything is arm a less arm b. Most need only an arm's `Moments`, whose fields may be arrays: so
thousands of experiments cost one call. Adjusting many p-values stands here too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from twofa_lab.analysis.arguments import finite, fraction, plain, quotient
from twofa_lab.analysis.estimates import Estimate
from twofa_lab.errors import InputError
from twofa_lab.tables import Array

__all__ = [
    "Difference",
    "Moments",
    "benjamini_hochberg",
    "cluster_bootstrap",
    "cuped_difference",
    "holm",
    "mean_difference",
    "ratio_difference",
]


@dataclass(frozen=True)
class Difference:
    """Arm a less arm b: value, standard error, interval, and p-value of no difference.

    Numbers, or arrays where the moments were arrays. NaN where nothing varies.
    """

    value: Any
    standard_error: Any
    low: Any
    high: Any
    pvalue: Any


@dataclass(frozen=True)
class Moments:
    """What the estimators need of one arm: a metric y, and a second number x beside it.

    x is the pre-period covariate for CUPED, the denominator for a ratio metric. Variances and the
    covariance are the unbiased ones. Arrays hold one experiment an entry.
    """

    n: Any
    mean: Any
    variance: Any
    mean_x: Any = np.nan
    variance_x: Any = np.nan
    covariance: Any = np.nan

    @classmethod
    def of(cls, y: ArrayLike, x: ArrayLike | None = None) -> Moments:
        """The moments along the last axis, one entry a visitor.

        >>> Moments.of([1.0, 2.0, 3.0])
        Moments(n=3, mean=2.0, variance=1.0, mean_x=nan, variance_x=nan, covariance=nan)
        """
        values = _sample("y", y)
        n, mean = values.shape[-1], values.mean(axis=-1)
        if x is None:
            return cls(n, plain(mean), plain(values.var(axis=-1, ddof=1)))
        beside = _sample("x", x)
        if beside.shape != values.shape:
            raise InputError("x and y need one value each for every visitor")
        mean_x = beside.mean(axis=-1)
        products = (values - mean[..., None]) * (beside - mean_x[..., None])
        return cls(
            n,
            plain(mean),
            plain(values.var(axis=-1, ddof=1)),
            plain(mean_x),
            plain(beside.var(axis=-1, ddof=1)),
            plain(products.sum(axis=-1) / (n - 1)),
        )


def mean_difference(a: Moments, b: Moments, confidence: float = 0.95) -> Difference:
    """The difference between two means, variances not assumed equal (Welch 1947).

    >>> found = mean_difference(Moments.of([3.0, 4, 5, 6]), Moments.of([1.0, 2, 3, 4]))
    >>> found.value, round(found.pvalue, 4)
    (2.0, 0.071)
    """
    value = np.subtract(a.mean, b.mean)
    return _welch(value, a.variance, a.n, b.variance, b.n, confidence)


def cuped_difference(a: Moments, b: Moments, confidence: float = 0.95) -> Difference:
    """The difference between two means with less noise, by a covariate from before (CUPED).

    Deng, Xu, Kohavi and Walker (2013): of y is taken off what x foretells. The slope is the one
    within arms, so that the effect itself cannot leak into it. x must be fixed before the arms
    part; then the estimate stays that of the plain difference, its variance multiplied by one less
    the squared correlation.

    >>> before = np.arange(8.0)
    >>> after = before + [0.1, -0.1] * 4
    >>> found = cuped_difference(Moments.of(after + 1, before), Moments.of(after, before))
    >>> round(found.value, 6), round(found.standard_error, 3)
    (1.0, 0.052)
    """
    _need_x(a, b, "a covariate")
    own, other = np.subtract(a.n, 1), np.subtract(b.n, 1)
    together = own * a.covariance + other * b.covariance
    slope = quotient(together, own * a.variance_x + other * b.variance_x, 0.0)
    value = np.subtract(a.mean, b.mean) - slope * np.subtract(a.mean_x, b.mean_x)
    left = [
        # rounding may take what x explains fully to just below 0
        np.maximum(arm.variance - 2.0 * slope * arm.covariance + slope**2 * arm.variance_x, 0.0)
        for arm in (a, b)
    ]
    return _welch(value, left[0], a.n, left[1], b.n, confidence)


def ratio_difference(a: Moments, b: Moments, confidence: float = 0.95) -> Difference:
    """The difference between two ratios of sums, y over x, by the delta method.

    For metrics whose unit is not the unit of assignment: completed logins (y) over logins (x) when
    accounts are assigned, an entry of `Moments.of` for each account (Deng, Knoblich and Lu 2018).

    >>> a, b = Moments.of([1, 2, 2, 3], [2, 2, 4, 4]), Moments.of([1, 1, 1, 2], [2, 2, 4, 4])
    >>> round(ratio_difference(a, b).value, 4)
    0.25
    """
    _need_x(a, b, "a denominator")
    if (np.less_equal(a.mean_x, 0) | np.less_equal(b.mean_x, 0)).any():
        raise InputError("the denominator x must have a mean above 0 in both arms")
    rates, spread = [], []
    for arm in (a, b):
        rate = np.divide(arm.mean, arm.mean_x)
        variance = arm.variance - 2.0 * rate * arm.covariance + rate**2 * arm.variance_x
        rates.append(rate)
        spread.append(np.maximum(variance, 0.0) / np.square(arm.mean_x))
    return _welch(rates[0] - rates[1], spread[0], a.n, spread[1], b.n, confidence)


def cluster_bootstrap(
    a: tuple[ArrayLike, ArrayLike],
    b: tuple[ArrayLike, ArrayLike],
    rng: np.random.Generator,
    replicates: int = 1_000,
) -> Estimate:
    """The difference between two ratios of sums with a 95 % bootstrap interval over clusters.

    Each arm is (sums of y, sums of x), one entry a cluster: an account, a household. Whole clusters
    are drawn with replacement within each arm, so whatever binds their rows together stays.

    >>> tops, bottoms = np.array([1, 2, 2, 3]), np.array([2, 2, 4, 4])
    >>> rng = np.random.default_rng(1)
    >>> cluster_bootstrap((tops, bottoms), (tops, bottoms), rng).value
    0.0
    """
    if replicates < 1:
        raise InputError(f"replicates must be 1 or more, not {replicates}")
    values, spread = [], []
    for name, (top, bottom) in (("a", a), ("b", b)):
        y, x = _sample(f"sums of y in arm {name}", top), _sample(f"sums of x in arm {name}", bottom)
        if y.ndim != 1 or y.shape != x.shape or (x < 0).any() or not x.any():
            raise InputError(f"arm {name} needs a sum of y and of x, 0 or more, for each cluster")
        values.append(y.sum() / x.sum())
        drawn_y, drawn_x = _redrawn(y, x, rng, replicates)
        spread.append(quotient(drawn_y, drawn_x, np.nan))
    return Estimate.of(values[0] - values[1], spread[0] - spread[1])


def _redrawn(y: Array, x: Array, rng: np.random.Generator, replicates: int) -> Array:
    """Sums of y and of x over as many clusters drawn with replacement, shape (2, replicates).

    Clusters that are alike are drawn together, as a multinomial count: the same law, sooner.
    """
    kinds, counts = np.unique(y + 1j * x, return_counts=True)
    if 4 * len(kinds) < len(y):
        times = rng.multinomial(len(y), counts / len(y), size=replicates)
        return np.stack([times @ kinds.real, times @ kinds.imag])
    picked = (rng.integers(len(y), size=len(y)) for _ in range(replicates))
    return np.array([(y[rows].sum(), x[rows].sum()) for rows in picked]).T


def holm(pvalues: ArrayLike) -> Array:
    """p-values such that rejecting those below alpha errs even once with at most alpha (Holm 1979).

    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    found = _pvalues(pvalues)
    order = np.argsort(found)
    risen = np.maximum.accumulate(found[order] * np.arange(len(found), 0, -1))
    adjusted = np.empty_like(found)
    adjusted[order] = np.minimum(risen, 1.0)
    return adjusted


def benjamini_hochberg(pvalues: ArrayLike) -> Array:
    """p-values such that among those below q a share of at most q is expected to be false.

    Benjamini and Hochberg (1995), for independent or positively dependent tests.

    >>> benjamini_hochberg([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.04, 0.04]
    """
    return np.asarray(stats.false_discovery_control(_pvalues(pvalues)))


def _pvalues(pvalues: ArrayLike) -> Array:
    found = fraction("pvalues", pvalues, ends=True)
    if found.ndim != 1 or not len(found):
        raise InputError("pvalues must be a list of p-values")
    return found


def _sample(name: str, values: ArrayLike) -> Array:
    found = finite(name, values)
    if found.ndim < 1 or found.shape[-1] < 2:
        raise InputError(f"{name} needs two values or more")
    return found


def _need_x(a: Moments, b: Moments, what: str) -> None:
    if np.isnan(a.covariance).any() or np.isnan(b.covariance).any():
        raise InputError(f"both arms need {what}: Moments.of(y, x)")


def _welch(
    value: Array, variance_a: Array, n_a: Array, variance_b: Array, n_b: Array, confidence: float
) -> Difference:
    """A difference with the t interval of Welch and Satterthwaite."""
    alpha = 1.0 - float(fraction("confidence", confidence))
    if np.less(n_a, 2).any() or np.less(n_b, 2).any():
        raise InputError("each arm needs two visitors or more")
    of_a, of_b = np.divide(variance_a, n_a), np.divide(variance_b, n_b)
    squares = of_a**2 / np.subtract(n_a, 1) + of_b**2 / np.subtract(n_b, 1)
    degrees = quotient((of_a + of_b) ** 2, squares, np.nan)
    error = np.sqrt(of_a + of_b)
    half = stats.t.isf(alpha / 2.0, degrees) * error
    pvalue = 2.0 * stats.t.sf(np.abs(quotient(value, error, np.nan)), degrees)
    return Difference(
        plain(value), plain(error), plain(value - half), plain(value + half), plain(pvalue)
    )
