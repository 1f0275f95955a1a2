"""What a contest measures of a score, with intervals from a bootstrap over accounts.

| measure | is |
|---|---|
| area | under the ROC curve: the chance that an attempt outscores a login, ties counted half |
| caught | the largest share of attempts challenged while at most so many legitimate logins are |
| challenged | the smallest share of legitimate logins challenged so that enough attempts are |
| precision | average precision (area under precision and recall) at a stated prevalence |

A threshold is a score met, never a toss between two: coarse scores pay for their ties. A login
without a score is never challenged. An account's logins and the attempts on it are weighted
together in a replicate (`totals`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from twofa_lab.analysis.curve import Curve, curve, curve_replicates
from twofa_lab.analysis.estimates import Estimate
from twofa_lab.analysis.totals import bootstrap_sums
from twofa_lab.tables import Array

__all__ = ["Calibration", "Goals", "Mark", "Scores", "calibration_of", "marks_of", "median_asked"]

_SALT = 20_260_105  # of the bootstrap weights: that of a comparison, so that intervals agree


class Goals(NamedTuple):
    """Where the curve is read: `budget`, share of legitimate logins that may be challenged;
    `recall`, share of attempts to catch; `prevalence`, share of attempts among logins.
    """

    budget: float = 0.01
    recall: float = 0.9
    prevalence: float = 0.001


class Scores(NamedTuple):
    """Scores (NaN: none) and the account of each."""

    score: Array
    account: Array


@dataclass(frozen=True, repr=False)
class Mark:
    """How one scorer did against one kind of attacker; `threshold` is that of `caught`."""

    attempts: int
    accounts: int
    unscored: int
    area: Estimate
    caught: Estimate
    challenged: Estimate
    precision: Estimate
    threshold: float
    curve: Curve


class _Summary(NamedTuple):
    area: Array
    caught: Array
    challenged: Array
    precision: Array


def marks_of(
    people: Scores, attempts: dict[str, Scores], goals: Goals, replicates: int
) -> dict[str, Mark]:
    """A scorer's marks by kind of attacker, against the same legitimate logins."""
    curves = {
        name: curve(np.append(people.score, tried.score), _labels(people, tried))
        for name, tried in attempts.items()
    }
    grid = np.unique(np.concatenate([_grid(found, goals) for found in curves.values()]))
    ours = _replicates(people, grid, replicates, attack=False)
    found = {}
    for name, tried in attempts.items():
        exact = curves[name]
        theirs = _replicates(tried, grid, replicates, attack=True)
        at = _summary(exact.challenge_rate, exact.caught_share, goals)
        spread = _summary(ours, theirs, goals)
        found[name] = Mark(
            len(tried.score),
            len(np.unique(tried.account)),
            int(np.isnan(tried.score).sum()),
            Estimate.of(float(at.area), spread.area),
            Estimate.of(float(at.caught), spread.caught),
            Estimate.of(float(at.challenged), spread.challenged),
            Estimate.of(float(at.precision), spread.precision),
            exact.threshold_at(goals.budget),
            exact,
        )
    return found


def _labels(people: Scores, tried: Scores) -> Array:
    return np.append(np.zeros(len(people.score), np.bool_), np.ones(len(tried.score), np.bool_))


def _grid(exact: Curve, goals: Goals) -> Array:
    """Thresholds that the replicates are read at: close together near the goals."""
    rate, share = exact.challenge_rate, exact.caught_share
    if len(rate) <= 300:
        return exact.threshold
    rates = np.append(np.geomspace(1e-4, 1.0, 120), np.linspace(0.5, 2.0, 60) * goals.budget)
    at = np.searchsorted(rate, rates, side="right") - 1
    also = np.searchsorted(share, np.linspace(0.0, 1.0, 101))
    chosen = np.unique(np.clip(np.append(at, also), 0, len(rate) - 1))
    found: Array = exact.threshold[chosen]
    return found


def _replicates(scores: Scores, grid: Array, replicates: int, *, attack: bool) -> Array:
    """The share above each threshold, the highest first: shape (thresholds, replicates)."""
    labels = np.full(len(scores.score), attack)
    found = curve_replicates(
        scores.score, labels, scores.account, grid, replicates=replicates, salt=_SALT
    )
    share: Array = (found.caught_share if attack else found.challenge_rate)[::-1]
    return share


def _summary(rate: Array, share: Array, goals: Goals) -> _Summary:
    """The measures of curves given from the highest threshold down, along the first axis."""
    ends = rate.shape[1:]
    x = np.concatenate([np.zeros((1, *ends)), rate, np.ones((1, *ends))])
    y = np.concatenate([np.zeros((1, *ends)), share, np.ones((1, *ends))])
    unknown = np.isnan(x + y).any(axis=0)
    with np.errstate(invalid="ignore"):
        theirs, ours = goals.prevalence * y, (1.0 - goals.prevalence) * x
        precision = theirs[1:] / (theirs[1:] + ours[1:])
        parts = np.where(np.diff(y, axis=0) > 0, np.diff(y, axis=0) * precision, 0.0)
        measures = (
            np.trapezoid(y, x, axis=0),
            np.where(x <= goals.budget, y, 0.0).max(axis=0),
            np.where(y >= goals.recall, x, 1.0).min(axis=0),
            parts.sum(axis=0),
        )
    return _Summary(*(np.where(unknown, np.nan, measure) for measure in measures))


def median_asked(
    asked: Array, account: Array, logins: tuple[int, ...], replicates: int
) -> list[Estimate]:
    """Over accounts with at least so many logins: the median number of them that were challenged.

    `asked` has an entry a login, account by account in the order of time. NaN without accounts.

    >>> asked = np.array([False, True, True, False, False, False])
    >>> [round(e.value) for e in median_asked(asked, np.array([1, 1, 1, 2, 2, 2]), (3,), 8)]
    [1]
    """
    start = np.flatnonzero(np.append(True, account[1:] != account[:-1]))
    length = np.diff(np.append(start, len(account)))
    total = np.append(0, np.cumsum(asked))
    found = []
    for n in logins:
        some = start[length >= n]
        counts = total[some + n] - total[some]
        if not len(some):
            found.append(Estimate(np.nan, np.nan, np.nan))
            continue
        cells = np.zeros((1, len(some), n + 1), np.int64)
        cells[0, np.arange(len(some)), counts] = 1
        sums = bootstrap_sums(cells, account[some].astype(np.int64), replicates, _SALT)[0]
        running = np.cumsum(sums, axis=0)
        spread = (running < running[-1] / 2).sum(axis=0).astype(np.float64)
        found.append(Estimate.of(float(np.median(counts)), spread))
    return found


class Calibration(NamedTuple):
    """Predicted probabilities beside what came true. `predicted`, `observed`, `logins`: by bin of
    equal numbers of attacks; `brier`: mean squared error; `of_the_mean`: that of predicting the
    mean for every login, which a score must beat.
    """

    predicted: Array
    observed: Array
    logins: Array
    mean_predicted: float
    mean_observed: float
    brier: float
    of_the_mean: float


def calibration_of(score: Array, attack: Array, bins: int = 5) -> Calibration:
    """How far a probability can be taken at its word; logins without one are left out.

    >>> found = calibration_of(np.array([0.1, 0.1, 0.9, 0.9]), np.array([0, 0, 1, 1]) > 0, bins=2)
    >>> found.observed.tolist(), round(found.brier, 3), found.of_the_mean
    ([0.0, 1.0], 0.01, 0.25)
    """
    known = np.isfinite(score)
    score, attack = score[known], attack[known]
    if attack.any():
        edges = np.unique(np.quantile(score[attack], np.linspace(0, 1, bins + 1)[:-1]))
    else:
        edges = np.empty(0)
    at = np.searchsorted(edges, score, side="right")
    logins = np.bincount(at, minlength=len(edges) + 1)
    there = logins > 0
    predicted, observed = (
        np.bincount(at, values, len(edges) + 1)[there] / logins[there]
        for values in (score, attack.astype(float))
    )
    mean = float(attack.mean()) if len(attack) else float("nan")
    return Calibration(
        predicted, observed, logins[there],
        float(score.mean()) if len(score) else float("nan"), mean,
        float(((score - attack) ** 2).mean()) if len(score) else float("nan"),
        mean * (1.0 - mean),
    )  # fmt: skip
