"""Planning a comparison of two proportions: power, sizes of the arms, smallest visible effect.

Normal approximations from the textbooks (Fleiss; Chow, Shao and Wang). Superiority tests are
two-sided at `alpha`, non-inferiority tests one-sided at `alpha`. `share_a` is arm a's share of all
visitors.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from twofa_lab.analysis.arguments import finite, fraction, plain, positive, quotient
from twofa_lab.errors import InputError
from twofa_lab.tables import Array

__all__ = [
    "Sizes",
    "design_effect",
    "minimum_detectable_effect",
    "noninferiority_power",
    "noninferiority_sizes",
    "superiority_power",
    "superiority_sizes",
]


class Sizes(NamedTuple):
    """Visitors needed in each arm."""

    n_a: int
    n_b: int

    @property
    def total(self) -> int:
        return self.n_a + self.n_b


def superiority_power(
    p_a: ArrayLike, p_b: ArrayLike, n_a: ArrayLike, n_b: ArrayLike, alpha: float = 0.05
) -> Any:
    """Chance that a two-sided test of p_a = p_b rejects in the right direction; broadcasts.

    The pooled variance under the null, the separate ones under the alternative, as in R's
    `power.prop.test`. Without a difference it is alpha / 2, the one side.

    >>> round(superiority_power(0.75, 0.50, 50, 50), 3)
    0.74
    """
    a, b = fraction("p_a", p_a, ends=True), fraction("p_b", p_b, ends=True)
    n, m = positive("n_a", n_a), positive("n_b", n_b)
    return plain(_superiority(a, b, n, m, _upper(alpha, sides=2)))


def superiority_sizes(
    p_a: float, p_b: float, *, share_a: float = 0.5, alpha: float = 0.05, power: float = 0.8
) -> Sizes:
    """Visitors for a two-sided test of p_a = p_b with this power; unequal arms allowed.

    >>> superiority_sizes(0.75, 0.50, power=0.90)  # R: 76.65 each
    Sizes(n_a=77, n_b=77)
    """
    a, b = float(fraction("p_a", p_a, ends=True)), float(fraction("p_b", p_b, ends=True))
    if a == b:
        raise InputError("p_a equals p_b: no number of visitors shows a difference that is not")
    w = float(fraction("share_a", share_a))
    pooled = w * a + (1.0 - w) * b
    null = math.sqrt(pooled * (1.0 - pooled) / (w * (1.0 - w)))
    alternative = math.sqrt(a * (1.0 - a) / w + b * (1.0 - b) / (1.0 - w))
    needed = _upper(alpha, sides=2) * null + _quantile(power) * alternative
    return _sizes((needed / (a - b)) ** 2, w)


def minimum_detectable_effect(
    p_b: ArrayLike,
    n_a: ArrayLike,
    n_b: ArrayLike,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    fall: bool = False,
) -> Any:
    """The smallest rise of p_a above p_b that a two-sided test would find with this power.

    With `fall`, the smallest fall, as a positive number. NaN where even the largest possible
    change would not be found so often. Broadcasts: an array of sizes gives the curve.

    >>> round(minimum_detectable_effect(0.50, 50, 50, power=0.90), 4)  # R: 0.8026 against 0.50
    0.3026
    """
    b = fraction("p_b", p_b, ends=True)
    b, n, m = np.broadcast_arrays(b, positive("n_a", n_a), positive("n_b", n_b))
    z, sign = _upper(alpha, sides=2), -1.0 if fall else 1.0
    _quantile(power)  # refuses what is no power
    low, most = np.zeros_like(b), b if fall else 1.0 - b
    high = most
    for _ in range(60):
        middle = 0.5 * (low + high)
        enough = _superiority(np.clip(b + sign * middle, 0.0, 1.0), b, n, m, z) >= power
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    reached = _superiority(np.clip(b + sign * most, 0.0, 1.0), b, n, m, z) >= power
    return plain(np.where(reached, high, np.nan))


def noninferiority_power(
    p_a: ArrayLike,
    p_b: ArrayLike,
    n_a: ArrayLike,
    n_b: ArrayLike,
    margin: float,
    alpha: float = 0.05,
) -> Any:
    """Chance that a one-sided test shows p_a - p_b > -margin; broadcasts.

    >>> round(noninferiority_power(0.85, 0.65, 25, 25, margin=0.10), 3)
    0.809
    """
    a, b = fraction("p_a", p_a, ends=True), fraction("p_b", p_b, ends=True)
    gap = a - b + fraction("margin", margin)
    variance = a * (1.0 - a) / positive("n_a", n_a) + b * (1.0 - b) / positive("n_b", n_b)
    return plain(_chance(gap - _upper(alpha) * np.sqrt(variance), np.sqrt(variance)))


def noninferiority_sizes(
    p_a: float,
    p_b: float,
    margin: float,
    *,
    share_a: float = 0.5,
    alpha: float = 0.05,
    power: float = 0.8,
) -> Sizes:
    """Visitors to show p_a - p_b > -margin with this power (Chow, Shao and Wang, section 4.2).

    >>> noninferiority_sizes(0.85, 0.65, 0.10)
    Sizes(n_a=25, n_b=25)
    """
    a, b = float(fraction("p_a", p_a, ends=True)), float(fraction("p_b", p_b, ends=True))
    gap = a - b + float(fraction("margin", margin))
    if gap <= 0:
        raise InputError(
            f"p_a - p_b is {a - b:.4g}, not above -margin ({-margin:.4g}): "
            "no number of visitors shows what is not so"
        )
    w = float(fraction("share_a", share_a))
    variance = a * (1.0 - a) / w + b * (1.0 - b) / (1.0 - w)
    return _sizes(((_upper(alpha) + _quantile(power)) / gap) ** 2 * variance, w)


def design_effect(mean_size: float, correlation: float, variation: float = 0.0) -> float:
    """By how much visitors must be multiplied when whole clusters (households) are assigned.

    `correlation` is that of two visitors of one cluster, `variation` the coefficient of variation
    of cluster sizes (Eldridge, Ashby and Kerry 2006).

    >>> design_effect(2.5, 0.2)
    1.3
    """
    size = float(finite("mean_size", mean_size))
    if size < 1.0:
        raise InputError(f"mean_size must be 1 or more, not {size:.10g}")
    spread = float(finite("variation", variation))
    if spread < 0.0:
        raise InputError(f"variation must be 0 or more, not {spread:.10g}")
    shared = float(fraction("correlation", correlation, ends=True))
    return 1.0 + ((1.0 + spread**2) * size - 1.0) * shared


def _superiority(a: Array, b: Array, n: Array, m: Array, z: float) -> Array:
    pooled = (n * a + m * b) / (n + m)
    null = np.sqrt(pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m))
    alternative = np.sqrt(a * (1.0 - a) / n + b * (1.0 - b) / m)
    return _chance(np.abs(a - b) - z * null, alternative)


def _chance(gap: Array, error: Array) -> Array:
    """P(normal error < gap), also where there is no error."""
    certain = np.where(gap > 0.0, np.inf, -np.inf)
    return np.asarray(stats.norm.cdf(quotient(gap, error, certain)))


def _upper(alpha: float, sides: int = 1) -> float:
    return float(stats.norm.isf(float(fraction("alpha", alpha)) / sides))


def _quantile(power: float) -> float:
    return float(stats.norm.ppf(float(fraction("power", power))))


def _sizes(total: float, share_a: float) -> Sizes:
    """Whole visitors; a hair above a whole number is rounding error."""
    needed = (total * share_a, total * (1.0 - share_a))
    n_a, n_b = (max(1, math.ceil(n - 1e-9 * n)) for n in needed)
    return Sizes(n_a, n_b)
