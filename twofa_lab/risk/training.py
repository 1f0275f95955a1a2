"""Fitting on what was seen of past logins: boosted trees, calibrated; and two contrasts to them.

Rows are split by time, never at random: the trees are fitted on the first part, calibrated on the
next, and judged on the last. Labels are the caller's, and so is what they leave out.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from twofa_lab.errors import InputError
from twofa_lab.risk.vector import VECTOR
from twofa_lab.tables import Array

__all__ = [
    "LAST_SHARE",
    "SHARES",
    "TREES",
    "Training",
    "fit_isolation",
    "fit_trees",
    "fit_unconstrained",
]

SHARES = {"fitted on": 0.6, "calibrated on": 0.2, "judged on": 0.2}
"""Shares of the logins, in the order of time (assumption)."""

LAST_SHARE = SHARES["judged on"]

_FEWEST_ATTACKS = 10
TREES = {"max_iter": 200, "learning_rate": 0.1, "max_leaf_nodes": 8, "l2_regularization": 1.0}
"""Settings of the trees (assumption; small trees, since each looks at one signal)."""


@dataclass(frozen=True, eq=False)
class Training:
    """Judged logins to learn from. `values`: vectors (rows, signals); `attack`: bool labels; `time`
    in ms; `weights`: how many logins each stands for, or None; `segments`: masks of the rows.
    """

    values: Array
    attack: Array
    time: Array
    weights: Array | None = None
    segments: Mapping[str, Array] = field(default_factory=dict)

    def rows(self, chosen: Array) -> Training:
        """Some of the rows: a mask or their places."""
        weights = None if self.weights is None else self.weights[chosen]
        return replace(
            self,
            values=self.values[chosen],
            attack=self.attack[chosen],
            time=self.time[chosen],
            weights=weights,
            segments={name: mask[chosen] for name, mask in self.segments.items()},
        )

    def parts(self) -> dict[str, Training]:
        """The parts of `SHARES`, in the order of time; equal times stay together."""
        edges = np.quantile(self.time, np.cumsum(list(SHARES.values()))[:-1], method="lower")
        part = np.searchsorted(edges, self.time, side="left")
        return {name: self.rows(part == at) for at, name in enumerate(SHARES)}

    def check(self, what: str) -> None:
        """`InputError` where there are too few attacks or nothing but attacks to learn from."""
        attacks = int(self.attack.sum())
        if attacks < _FEWEST_ATTACKS or attacks == len(self.attack):
            raise InputError(
                f"the logins to be {what} hold {attacks} attacks of {len(self.attack)}, and "
                f"{_FEWEST_ATTACKS} and some legitimate ones are needed: take more users or days"
            )


def fit_trees(parts: Mapping[str, Training], seed: int, **settings: Any) -> Any:
    """Boosted trees that are additive and monotone as `VECTOR` says, calibrated by a sigmoid (Platt
    1999) on the second part: a `CalibratedClassifierCV`.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    trees = HistGradientBoostingClassifier(
        monotonic_cst=[signal.direction for signal in VECTOR],
        interaction_cst="no_interactions",
        early_stopping=False,
        random_state=seed,
        **TREES | settings,
    )
    return _calibrated(trees, parts)


def fit_unconstrained(parts: Mapping[str, Training], seed: int, **settings: Any) -> Any:
    """The contrast: the same trees, free to combine signals and to turn them round. No tables can
    hold it, so it scores only what was noted (open loop).
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    settings = TREES | {"max_leaf_nodes": 31} | settings
    trees = HistGradientBoostingClassifier(early_stopping=False, random_state=seed, **settings)
    return _calibrated(trees, parts)


def fit_isolation(fitted_on: Training, seed: int, **settings: Any) -> Any:
    """The baseline without labels: an isolation forest (Liu, Ting and Zhou 2008) over the same
    vectors. `-forest.score_samples(values)` rises with how easily a login is set apart.
    """
    from sklearn.ensemble import IsolationForest

    forest = IsolationForest(
        random_state=seed, **{"n_estimators": 100, "max_samples": 256} | settings
    )
    return forest.fit(fitted_on.values)


def _calibrated(trees: Any, parts: Mapping[str, Training]) -> Any:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # it has none

    first, second = (parts[name] for name in list(SHARES)[:2])
    first.check("fitted on")
    second.check("calibrated on")
    with threadpool_limits(1):  # its threads wait for each other where cores are shared
        trees.fit(first.values, first.attack, sample_weight=first.weights)
    calibrated = CalibratedClassifierCV(FrozenEstimator(trees), method="sigmoid")
    with warnings.catch_warnings():
        # the weights are for the calibration alone, the trees being fitted: as it is meant
        warnings.filterwarnings("ignore", "Since FrozenEstimator does not appear", UserWarning)
        return calibrated.fit(second.values, second.attack, sample_weight=second.weights)
