"""An additive model folded into tables: a risk is a sum of one entry a signal.

Boosted trees that may not combine signals each look at one signal only, so that all of them
together are one step function a signal. `fold` adds them up, with the calibration: what is left is
a table a signal, exactly equal to the trees, and fast enough for the closed loop. Each entry is
what its signal adds to the log-odds of an attack, against the average login of the training rows.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from twofa_lab.compiled import loop, part
from twofa_lab.errors import WorkError
from twofa_lab.tables import Array

__all__ = ["Additive", "contributions", "fold", "log_odds_of", "probability", "score_rows"]


class Additive(NamedTuple):
    """The tables, float64. `edges`: ascending, a row a signal, of which the first `sizes` (int64)
    count. `points`: one column more; entry b belongs to values above edge b - 1 and at most edge b.
    `intercept`: the log-odds, shape (1,), of the average login.
    """

    edges: Array
    sizes: Array
    points: Array
    intercept: Array


@part
def _bin(edges, sizes, signal, value):  # type: ignore[no-untyped-def]
    """How many of a signal's edges lie below a value."""
    low, high = 0, sizes[signal]
    while low < high:
        middle = (low + high) >> 1
        if edges[signal, middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@part
def log_odds_of(additive, values):  # type: ignore[no-untyped-def]
    """The log-odds of an attack for one login's signals."""
    total = additive.intercept[0]
    for signal in range(len(additive.sizes)):
        total += additive.points[
            signal, _bin(additive.edges, additive.sizes, signal, values[signal])
        ]
    return total


@part
def probability(log_odds: float) -> float:
    """The probability with these log-odds.

    >>> probability(0.0)
    0.5
    """
    return 1.0 / (1.0 + math.exp(-log_odds))


@loop
def score_rows(additive: Additive, values: Array, scores: Array) -> None:
    """Probabilities of an attack, for `values` of shape (rows, signals)."""
    for i in range(len(values)):
        scores[i] = probability(log_odds_of(additive, values[i]))


@loop
def _read_points(additive: Additive, values: Array, out: Array) -> None:
    for i in range(len(values)):
        for signal in range(len(additive.sizes)):
            at = _bin(additive.edges, additive.sizes, signal, values[i, signal])
            out[i, signal] = additive.points[signal, at]


def contributions(additive: Additive, values: Array) -> Array:
    """What each signal adds to the log-odds, shape of `values` (rows, signals); with the intercept
    they add up to the score's log-odds.
    """
    out = np.zeros(values.shape)
    _read_points(additive, values, out)
    return out


def fold(calibrated: Any, values: Array, weights: Array | None = None) -> Additive:
    """The tables of a `CalibratedClassifierCV` (sigmoid) over frozen boosted trees that each look
    at one signal. `values` are the rows whose average login the entries are told against.

    `WorkError` if a tree combines signals, or if the calibration turned the risk round.
    """
    inner = calibrated.calibrated_classifiers_[0]
    trees, sigmoid = inner.estimator.estimator, inner.calibrators[0]
    slope, offset = -float(sigmoid.a_), -float(sigmoid.b_)
    if not slope > 0.0:
        raise WorkError(
            "the later period contradicts the earlier: there the risk does not rise with the "
            "attacks, so it cannot be calibrated; fit on more attacks"
        )
    steps: list[list[tuple[Array, Array]]] = [[] for _ in range(values.shape[1])]
    constant = float(trees._baseline_prediction[0, 0])
    for (tree,) in trees._predictors:
        signal, edges, points = _steps(tree.nodes)
        if signal < 0:
            constant += float(points[0])
        else:
            steps[signal].append((edges, points))
    tables = [_sum_of(some) for some in steps]
    width = max(len(edges) for edges, _ in tables)
    folded = Additive(
        np.full((len(tables), max(width, 1)), np.inf),
        np.array([len(edges) for edges, _ in tables], np.int64),
        np.zeros((len(tables), max(width, 1) + 1)),
        np.array([slope * constant + offset]),
    )
    for signal, (edges, points) in enumerate(tables):
        folded.edges[signal, : len(edges)] = edges
        folded.points[signal, : len(points)] = slope * points
    means = np.average(contributions(folded, values), axis=0, weights=weights)
    for signal, (_, points) in enumerate(tables):
        folded.points[signal, : len(points)] -= means[signal]
    folded.intercept[0] += means.sum()
    return folded


def _steps(nodes: Array) -> tuple[int, Array, Array]:
    """One tree as a step function: its signal (-1: a constant), edges and values between them."""
    inner = nodes[nodes["is_leaf"] == 0]
    signals = set(inner["feature_idx"].tolist())
    if len(signals) > 1:
        raise WorkError(
            "these trees combine signals, so that they are no sum of one table a signal"
        )
    edges = np.unique(inner["num_threshold"])
    points = np.empty(len(edges) + 1)
    for b in range(len(points)):
        node = nodes[0]
        while not node["is_leaf"]:
            # entry b: values at most edge b, the last above all
            left = b < len(edges) and edges[b] <= node["num_threshold"]
            node = nodes[node["left"] if left else node["right"]]
        points[b] = node["value"]
    return (signals.pop() if signals else -1), edges, points


def _sum_of(steps: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    """Several step functions of one signal as one."""
    if not steps:
        return np.empty(0), np.zeros(1)
    edges = np.unique(np.concatenate([some for some, _ in steps]))
    reached = np.append(edges, np.inf)
    total = np.zeros(len(reached))
    for some, points in steps:
        total += points[np.searchsorted(some, reached, side="left")]
    return edges, total
