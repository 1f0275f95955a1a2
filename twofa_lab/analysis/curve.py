"""The exact trade-off of a score: whom each threshold would challenge, people against attackers.

*Open loop*: scores are taken as they were logged, whatever another threshold would have changed in
the histories behind them. `thresholds.tune` sets the closed loop beside it.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from twofa_lab.analysis.arguments import finite, quotient
from twofa_lab.analysis.totals import account_weights, poisson_table
from twofa_lab.compiled import loop
from twofa_lab.errors import InputError
from twofa_lab.tables import Array

__all__ = ["Curve", "CurveReplicates", "curve", "curve_replicates"]


@dataclass(frozen=True, repr=False)
class Curve:
    """What a threshold at each distinct score would challenge, from the highest score down.

    `challenged` and `caught` are the weights of legitimate logins and of attacks whose score is at
    least `threshold`; `legitimate` and `attacks` those of all, unscored logins included.
    """

    threshold: Array
    challenged: Array
    caught: Array
    legitimate: float
    attacks: float

    @property
    def challenge_rate(self) -> Array:
        """Share of the legitimate logins challenged at each threshold; NaN without any."""
        return quotient(self.challenged, np.array(self.legitimate), np.nan)

    @property
    def caught_share(self) -> Array:
        """Share of the attacks challenged at each threshold; NaN without any."""
        return quotient(self.caught, np.array(self.attacks), np.nan)

    @property
    def area(self) -> float:
        """Area under the curve (ROC), ties counted half; a login without a score comes last."""
        x = np.concatenate([[0.0], self.challenge_rate, [1.0]])
        y = np.concatenate([[0.0], self.caught_share, [1.0]])
        return float(np.trapezoid(y, x))

    def at(self, threshold: ArrayLike) -> tuple[Array, Array]:
        """Challenge rate and share of attacks caught at any thresholds, not only at scores met.

        >>> rate, share = curve([0.2, 0.7, 0.9], [False, False, True]).at([0.5, 0.95])
        >>> rate.tolist(), share.tolist()
        ([0.5, 0.0], [1.0, 0.0])
        """
        reached = np.searchsorted(-self.threshold, -np.asarray(threshold, np.float64), "right")
        zero = np.zeros(1)
        return (
            np.concatenate([zero, self.challenge_rate])[reached],
            np.concatenate([zero, self.caught_share])[reached],
        )

    def threshold_at(self, challenge_rate: float) -> float:
        """The lowest score whose challenge rate stays within this one; infinity where none does.

        >>> curve([0.2, 0.7, 0.9], [False, False, True]).threshold_at(0.5)
        0.7
        """
        within = np.flatnonzero(self.challenge_rate <= challenge_rate)
        return float(self.threshold[within[-1]]) if len(within) else float("inf")

    def __repr__(self) -> str:
        return (
            f"Curve({len(self.threshold):,} thresholds, {self.legitimate:,.10g} legitimate logins, "
            f"{self.attacks:,.10g} attacks, area {self.area:.4f})"
        )


def curve(score: ArrayLike, attack: ArrayLike, weight: ArrayLike | None = None) -> Curve:
    """The exact curve over every distinct score, higher meaning riskier.

    `score`: float, one a login, NaN where there is none: then no threshold challenges it, and it
    still counts below the line. `attack`: bool. `weight`: such as inverse sampling probabilities;
    1 by default. Two sorts and one compiled scan of both sorted arrays.

    >>> found = curve([0.2, 0.7, 0.7, 0.9], [False, False, True, True])
    >>> found.threshold.tolist(), found.challenged.tolist(), found.caught.tolist()
    ([0.9, 0.7, 0.2], [0.0, 1.0, 2.0], [1.0, 2.0, 2.0])
    """
    scores, attacks, weights = _columns(score, attack, weight)
    people = _Sorted.of(scores, weights, ~attacks)
    others = _Sorted.of(scores, weights, attacks)
    size = _distinct(people.score, others.score)
    threshold = np.empty(size)
    above_people, above_others = np.empty(size, np.int64), np.empty(size, np.int64)
    _fill(people.score, others.score, threshold, above_people, above_others)
    return Curve(
        threshold,
        people.weight_of_top(above_people),
        others.weight_of_top(above_others),
        people.total,
        others.total,
    )


def _columns(
    score: ArrayLike, attack: ArrayLike, weight: ArrayLike | None
) -> tuple[Array, Array, Array | None]:
    scores, attacks = np.asarray(score, np.float64), np.asarray(attack)
    weights = None if weight is None else finite("weight", weight)
    if attacks.dtype != np.bool_:
        raise InputError("attack must be true or false for each login")
    if scores.ndim != 1 or scores.shape != attacks.shape or not len(scores):
        raise InputError("score and attack need one value a login, and at least one login")
    if weights is not None and (weights.shape != scores.shape or (weights < 0).any()):
        raise InputError("weight needs one value of 0 or more a login")
    return scores, attacks, weights


@dataclass(frozen=True)
class _Sorted:
    """One side's scores in rising order, NaN left out; running weights from the top, if any."""

    score: Array
    from_top: Array | None
    total: float

    @classmethod
    def of(cls, score: Array, weight: Array | None, chosen: Array) -> _Sorted:
        if weight is None:
            ordered = np.sort(score[chosen])
            total, from_top = float(len(ordered)), None
        else:
            own = weight[chosen]
            order = np.argsort(score[chosen], kind="stable")
            ordered, total = score[chosen][order], float(own.sum())
        known = int(np.searchsorted(ordered, np.nan))
        if weight is not None:
            from_top = np.concatenate([[0.0], np.cumsum(own[order][:known][::-1])])
        return cls(ordered[:known], from_top, total)

    def weight_of_top(self, count: Array) -> Array:
        return count.astype(np.float64) if self.from_top is None else self.from_top[count]


@loop
def _distinct(a: Array, b: Array) -> int:
    """How many distinct values two sorted arrays hold together."""
    found, i, j = 0, len(a) - 1, len(b) - 1
    while i >= 0 or j >= 0:
        top = a[i] if j < 0 or (i >= 0 and a[i] >= b[j]) else b[j]
        while i >= 0 and a[i] == top:
            i -= 1
        while j >= 0 and b[j] == top:
            j -= 1
        found += 1
    return found


@loop
def _fill(a: Array, b: Array, value: Array, above_a: Array, above_b: Array) -> None:
    """The distinct values of two sorted arrays, falling, and how many of each are as high."""
    i, j = len(a) - 1, len(b) - 1
    for k in range(len(value)):
        top = a[i] if j < 0 or (i >= 0 and a[i] >= b[j]) else b[j]
        while i >= 0 and a[i] == top:
            i -= 1
        while j >= 0 and b[j] == top:
            j -= 1
        value[k], above_a[k], above_b[k] = top, len(a) - 1 - i, len(b) - 1 - j


@dataclass(frozen=True, repr=False)
class CurveReplicates:
    """The curve at given thresholds in every bootstrap replicate over accounts.

    `challenged` and `caught`: shape (thresholds, replicates); `legitimate` and `attacks`: one a
    replicate.
    """

    threshold: Array
    challenged: Array
    caught: Array
    legitimate: Array
    attacks: Array

    @property
    def challenge_rate(self) -> Array:
        """Shape (thresholds, replicates)."""
        return quotient(self.challenged, self.legitimate, np.nan)

    @property
    def caught_share(self) -> Array:
        """Shape (thresholds, replicates)."""
        return quotient(self.caught, self.attacks, np.nan)


def curve_replicates(
    score: ArrayLike,
    attack: ArrayLike,
    account: ArrayLike,
    threshold: ArrayLike,
    *,
    weight: ArrayLike | None = None,
    replicates: int = 200,
    salt: int = 0,
    workers: int = 2,
) -> CurveReplicates:
    """The curve, exact at each of these thresholds, for bootstrap replicates over accounts.

    `account` is the account's number, as in the logins table; rows of one account should lie
    together (if not, it is slower and no less right: a weight depends on account and replicate
    alone, as in `totals`). Every distinct score would be a curve of millions of points a replicate;
    an operating grid of some hundred is what intervals are drawn at.

    >>> found = curve_replicates([0.2, 0.9], [False, True], [1, 2], [0.5], replicates=8)
    >>> found.challenged.sum(), bool((found.caught[0] == found.attacks).all())
    (np.float64(0.0), True)
    """
    scores, attacks, weights = _columns(score, attack, weight)
    users = np.asarray(account, np.int64)
    if users.shape != scores.shape:
        raise InputError("account needs one number a login")
    grid = np.unique(finite("threshold", threshold))
    ones = np.ones(1) if weights is None else weights

    def part_of(first: int, last: int) -> Array:
        sums = np.zeros((2, len(grid) + 1, replicates))
        own = ones if weights is None else ones[first:last]
        _add(
            scores[first:last], attacks[first:last], users[first:last], own, grid, np.uint64(salt),
            poisson_table(), np.empty(replicates + 4), np.zeros((2, len(grid) + 1)),
            np.zeros(2 * len(grid) + 2, np.int64), sums,
        )  # fmt: skip
        return sums

    ends = np.linspace(0, len(scores), workers + 1).astype(int).tolist()
    with ThreadPoolExecutor(workers) as threads:
        sums = np.sum([*threads.map(part_of, *zip(*pairwise(ends), strict=True))], axis=0)
    at_least = sums[:, ::-1].cumsum(axis=1)[:, ::-1]
    people, others = at_least[:, 1:]
    return CurveReplicates(grid, people, others, at_least[0, 0], at_least[1, 0])


@loop
def _add(
    score: Array,
    attack: Array,
    user: Array,
    weight: Array,
    grid: Array,
    salt: np.uint64,
    table: Array,
    weights: Array,
    held: Array,
    touched: Array,
    sums: Array,
) -> None:
    """Add every row to its bin in every replicate; an account's rows in one bin go together.

    `held` (2, bins) is what the account at hand has in each bin, `touched` which bins those are.
    """
    rows, replicates, bins = len(score), sums.shape[2], len(grid) + 1
    found = 0
    for i in range(rows):
        low, high = 0, len(grid)  # how many thresholds the score reaches; NaN reaches none
        while low < high:
            middle = (low + high) // 2
            if score[i] >= grid[middle]:
                low = middle + 1
            else:
                high = middle
        kind = 1 if attack[i] else 0
        added = weight[i] if len(weight) == rows else weight[0]
        if held[kind, low] == 0.0 and added != 0.0:
            touched[found] = kind * bins + low
            found += 1
        held[kind, low] += added
        if i + 1 == rows or user[i + 1] != user[i]:
            account_weights(user[i], salt, replicates, table, weights)
            for k in range(found):
                kind, low = touched[k] // bins, touched[k] % bins
                value, target = held[kind, low], sums[kind, low]
                held[kind, low] = 0.0
                for b in range(replicates):
                    target[b] += value * weights[b]
            found = 0
