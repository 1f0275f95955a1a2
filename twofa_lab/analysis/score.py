"""The score statistic for two proportions under any null difference or ratio.

Miettinen and Nurminen (1985): the observed contrast less the null's, over its standard error at the
proportions most likely *under the null*. Those come from Farrington and Manning (1990) in closed
form. All functions take arrays that broadcast, so thousands of experiments cost one call.
"""

from __future__ import annotations

import numpy as np

from twofa_lab.analysis.arguments import quotient
from twofa_lab.tables import Array

__all__ = ["difference_statistic", "ratio_statistic", "restricted_proportions"]


def restricted_proportions(
    p_a: Array, n_a: Array, p_b: Array, n_b: Array, difference: Array
) -> tuple[Array, Array]:
    """The most likely (p_a, p_b) among those with p_a - p_b = `difference`, in (-1, 1).

    The likelihood's derivative is a cubic in p_a with one root where both proportions are
    possible; its closed form (Farrington and Manning 1990, appendix) loses digits near double
    roots, so Newton's steps follow.

    >>> a, b = restricted_proportions(*map(np.asarray, (0.8, 70.0, 0.6, 80.0, 0.0)))
    >>> float(a.round(6)), float(b.round(6))  # no difference: the pooled proportion, 104 of 150
    (0.693333, 0.693333)
    """
    theta = n_b / n_a
    cubic = 1.0 + theta
    square = -(1.0 + theta + p_a + theta * p_b + difference * (theta + 2.0))
    linear = difference**2 + difference * (2.0 * p_a + theta + 1.0) + p_a + theta * p_b
    constant = -p_a * difference * (1.0 + difference)
    shift = square / (3.0 * cubic)
    v = shift**3 - square * linear / (6.0 * cubic**2) + constant / (2.0 * cubic)
    u = np.copysign(np.sqrt(np.maximum(shift**2 - linear / (3.0 * cubic), 0.0)), v)
    angle = (np.pi + np.arccos(np.clip(quotient(v, u**3, 0.0), -1.0, 1.0))) / 3.0
    low, high = np.maximum(0.0, difference), np.minimum(1.0, 1.0 + difference)
    root = np.clip(2.0 * u * np.cos(angle) - shift, low, high)
    for _ in range(2):
        value = ((cubic * root + square) * root + linear) * root + constant
        slope = (3.0 * cubic * root + 2.0 * square) * root + linear
        nearer = np.clip(root - quotient(value, slope, 0.0), low, high)
        moved = ((cubic * nearer + square) * nearer + linear) * nearer + constant
        root = np.where(np.abs(moved) < np.abs(value), nearer, root)
    # two arms without a failure, or without a success: the best end, which near no difference is
    # a double root, found to half the digits only
    root = np.where((p_a == 1.0) & (p_b == 1.0), high, root)
    root = np.where((p_a == 0.0) & (p_b == 0.0), low, root)
    return root, np.clip(root - difference, 0.0, 1.0)


def difference_statistic(
    count_a: Array, n_a: Array, count_b: Array, n_b: Array, difference: Array
) -> Array:
    """The z value of the null p_a - p_b = `difference`, in (-1, 1); falls as the difference rises.

    The variance has the factor N / (N - 1) of Miettinen and Nurminen. Without it, which is the
    test of Farrington and Manning, z is larger by the square root of that factor.

    >>> z = difference_statistic(*map(np.asarray, (56.0, 70.0, 48.0, 80.0, 0.0)))
    >>> float(z.round(4))
    2.6413
    """
    p_a, p_b = count_a / n_a, count_b / n_b
    null_a, null_b = restricted_proportions(p_a, n_a, p_b, n_b, difference)
    variance = null_a * (1.0 - null_a) / n_a + null_b * (1.0 - null_b) / n_b
    return _standardised(p_a - p_b - difference, variance, n_a + n_b)


def ratio_statistic(count_a: Array, n_a: Array, count_b: Array, n_b: Array, weight: Array) -> Array:
    """The z value of the null p_a / p_b = `weight` / (1 - `weight`), with a weight in (0, 1).

    It falls as the weight rises. The restricted estimate solves a quadratic (Koopman 1984); the
    variance has the factor N / (N - 1) of Miettinen and Nurminen. The weight stands for the ratio
    so that both arms are treated alike and no ratio is infinite.
    """
    p_a, p_b, rest = count_a / n_a, count_b / n_b, 1.0 - weight
    middle = weight * (n_a + count_b) + rest * (n_b + count_a)
    total = count_a + count_b
    root = np.sqrt(np.maximum(middle**2 - 4.0 * (n_a + n_b) * weight * rest * total, 0.0))
    null_a, null_b = 2.0 * weight * total / (middle + root), 2.0 * rest * total / (middle + root)
    variance_a = np.maximum(null_a * (1.0 - null_a), 0.0) / n_a
    variance_b = np.maximum(null_b * (1.0 - null_b), 0.0) / n_b
    variance = rest**2 * variance_a + weight**2 * variance_b
    return _standardised(rest * p_a - weight * p_b, variance, n_a + n_b)


def _standardised(gap: Array, variance: Array, total: Array) -> Array:
    """Gap over standard error; no gap is 0 and a gap without variance infinite."""
    error = np.sqrt(variance * total / (total - 1.0))
    gap = np.where(np.abs(gap) < 1e-15, 0.0, gap)
    return quotient(gap, error, np.where(gap == 0.0, 0.0, np.copysign(np.inf, gap)))
