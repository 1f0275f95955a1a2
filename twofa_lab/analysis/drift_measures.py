"""How far one column moved between two samples of logins, and how far chance would move it.

- PSI, the population stability index: the sum over bins of (now - before) ln(now / before). Usual
  reading (Siddiqi 2006, Credit Risk Scorecards): under 0.1 stable, to 0.25 moderate, above large. A
  convention, which knows nothing of how many logins there are.
- KS, the largest distance between the two distribution functions (Kolmogorov and Smirnov). Its
  textbook p-value takes logins for independent, which those of one account are not.

So beside each stands what *chance* would show in 1 of 20 comparisons: a bootstrap over accounts of
the difference less its own mean, which keeps that most accounts are in both periods.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from twofa_lab.analysis.arguments import quotient
from twofa_lab.analysis.totals import bootstrap_sums
from twofa_lab.errors import InputError
from twofa_lab.tables import Array

__all__ = ["MARKS", "Judged", "Shift", "ks", "psi", "rate_chance", "shift_of"]

MARKS = {"stable": 0.1, "moderate": 0.25}
"""PSI below which a change is called so; above: large (Siddiqi 2006)."""

_BINS = 10
_FINER = 20  # quantiles at which the distance of the distribution functions is resampled


class Shift(NamedTuple):
    """How one signal, or the score, moved from the first period to a later one. `psi_chance` and
    `ks_chance`: what chance would exceed in 1 of 20 comparisons.
    """

    period: str
    name: str
    before: float
    now: float
    psi: float
    psi_chance: float
    ks: float
    ks_chance: float

    @property
    def reading(self) -> str:
        """The usual word for this PSI, or that it is within chance."""
        if self.psi <= self.psi_chance and self.ks <= self.ks_chance:
            return "within chance"
        return next((word for word, mark in MARKS.items() if self.psi < mark), "large")


class Judged(NamedTuple):
    """The judged logins of one period: signals (rows, 14), score, whether they are legitimate and
    challenged, and their accounts as codes below `accounts`. Periods of equal `salt` have the same
    accounts.
    """

    values: Array
    score: Array
    own: Array
    challenged: Array
    account: Array
    accounts: int
    salt: int


def psi(before: ArrayLike, now: ArrayLike) -> float:
    """The population stability index of two histograms over the same bins, as counts.

    An empty bin counts as half a login, so that the index stays finite.

    >>> round(psi([50, 30, 20], [20, 30, 50]), 4)  # twice 0.3 ln 2.5
    0.5498
    """
    first, second = (np.maximum(np.asarray(counts, np.float64), 0.5) for counts in (before, now))
    if first.ndim != 1 or first.shape != second.shape or not len(first):
        raise InputError("psi needs two histograms over the same bins")
    a, b = first / first.sum(), second / second.sum()
    return float(((b - a) * np.log(b / a)).sum())


def ks(before: ArrayLike, now: ArrayLike) -> float:
    """The two-sample Kolmogorov-Smirnov statistic of two samples.

    >>> ks([1, 2, 3, 4], [3, 4, 5, 6])
    0.5
    """
    first, second = (np.sort(np.asarray(values, np.float64)) for values in (before, now))
    if not len(first) or not len(second):
        raise InputError("ks needs at least one value on either side")
    places = np.concatenate([first, second])
    below = [np.searchsorted(side, places, "right") / len(side) for side in (first, second)]
    return float(np.abs(below[0] - below[1]).max())


def shift_of(
    period: str, name: str, column: int, before: Judged, now: Judged, replicates: int
) -> Shift:
    """One signal's shift; the column after the last signal is the score."""
    first, second = (
        (part.score if column == part.values.shape[1] else part.values[:, column]).astype(float)
        for part in (before, now)
    )
    coarse, fine = _cuts(first, second)
    counts = [_counts(values, fine, part) for values, part in
              ((first, before), (second, now))]  # fmt: skip
    sums = [c.sum(axis=0) for c in counts]
    many = [bootstrap_sums(c[None], np.arange(part.accounts), replicates, part.salt)[0]
            for c, part in zip(counts, (before, now), strict=True)]  # fmt: skip
    difference = many[1] / many[1].sum(axis=0) - many[0] / many[0].sum(axis=0)
    centred = difference - (sums[1] / sums[1].sum() - sums[0] / sums[0].sum())[:, None]
    into = np.searchsorted(coarse, np.append(fine, np.inf), "left")  # bins of the index, of finer
    wide = [np.bincount(into, weights=s, minlength=len(coarse) + 1) for s in sums]
    joined = np.array([centred[into == k].sum(axis=0) for k in range(len(wide[0]))])
    share = np.maximum(wide[0] + wide[1], 1.0) / (sums[0].sum() + sums[1].sum())
    by_chance = (joined**2 / share[:, None]).sum(axis=0)  # the index, to its leading term
    apart = np.abs(np.cumsum(centred, axis=0)).max(axis=0)
    return Shift(
        period, name, float(first.mean()), float(second.mean()), psi(*wide),
        float(np.quantile(by_chance, 0.95)), ks(first, second), float(np.quantile(apart, 0.95)),
    )  # fmt: skip


def _cuts(before: Array, now: Array) -> tuple[Array, Array]:
    """Upper ends of all bins but the last: of the index, and finer ones that keep to them.

    Few distinct values have a bin each; else deciles of the first period, so that a value that many
    logins share ends a bin.
    """
    both = np.concatenate([before, now])
    distinct = np.unique(both)
    if len(distinct) <= _BINS:
        return distinct[:-1], distinct[:-1]
    coarse = np.unique(np.quantile(before, np.arange(1, _BINS) / _BINS, method="lower"))
    finer = np.quantile(both, np.arange(1, _FINER) / _FINER, method="lower")
    return coarse, np.unique(np.concatenate([coarse, finer]))


def _counts(values: Array, cuts: Array, part: Judged) -> Array:
    """Rows by account and bin, shape (accounts, bins)."""
    bins = len(cuts) + 1
    code = part.account * bins + np.searchsorted(cuts, values, "left")
    return np.bincount(code, minlength=part.accounts * bins).reshape(part.accounts, bins)


def rate_chance(before: Judged, now: Judged, replicates: int) -> float:
    """By how much the share of legitimate judged logins challenged would differ by chance."""
    rates = []
    for part in (before, now):
        flags = (part.own & part.challenged, part.own)
        counts = [np.bincount(part.account[f], minlength=part.accounts) for f in flags]
        values = np.stack(counts, axis=1)
        many = bootstrap_sums(values[None], np.arange(part.accounts), replicates, part.salt)[0]
        challenged, own = values.sum(axis=0)
        rates.append(quotient(many[0], many[1], np.nan) - quotient(challenged, own, np.nan))
    return float(np.quantile(np.abs(rates[1] - rates[0]), 0.95))
