"""The rules as a scorer with points of its own, and points fitted to past logins.

Fitted points are the weights of a logistic regression on the signals, none below 0 so that no
signal lowers the risk, scaled so that the most suspicious login scores 1: then nothing is cut off
and the rules order logins as the regression does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from twofa_lab.errors import InputError
from twofa_lab.risk.model_card import ModelCard
from twofa_lab.risk.one_account import OneAccount, Seen
from twofa_lab.risk.rules import RulePoints
from twofa_lab.risk.score_rules import score_by_rules
from twofa_lab.risk.scored import Scored
from twofa_lab.risk.signals import SignalRules
from twofa_lab.tables import SIGNALS, Array

__all__ = ["RuleScorer", "fit_points"]

_NAMES = tuple(one.name for one in fields(RulePoints))
_PENALTY = 1.0  # on the squared weights, as if one more login spoke for 0; keeps them finite


@dataclass(frozen=True, eq=False)
class RuleScorer:
    """The rules with these points; `Policy(points=scorer.points)` takes them into a policy.

    >>> RuleScorer().account().score({"time": 1_767_614_400_000})  # a device unknown: 0.5
    0.5
    """

    points: RulePoints = field(default_factory=RulePoints)
    card: ModelCard | None = None

    def score(
        self, table: Mapping[str, Array], vocabularies: Mapping[str, Sequence[str]]
    ) -> Scored:
        """Score each login with the right password of an account-major table (open loop)."""
        return score_by_rules(table, vocabularies, self.points)

    def account(self) -> OneAccount:
        """A new account, to score its logins one at a time."""
        return OneAccount(self)

    def judge(self, seen: Seen) -> float:
        """The score of one login that was seen."""
        return self.points.score(seen.bits, seen.failures)

    def explain(self, seen: Seen) -> dict[str, float]:
        """Points by reason."""
        return self.points.contributions(seen.bits, seen.failures)


def fit_points(
    bits: Array,
    failures: Array,
    attack: Array,
    weights: Array | None = None,
    rules: SignalRules | None = None,
) -> RulePoints:
    """Points fitted to judged logins: their signal bits, failed passwords and whether they were
    attacks. `InputError` where no signal tells attacks apart.
    """
    from scipy.optimize import minimize

    count = (rules or SignalRules()).burst_count
    code = bits.astype(np.int64) * count + np.minimum(failures, count - 1)
    cells = count << len(SIGNALS)
    weight = np.ones(len(code)) if weights is None else weights
    logins = np.bincount(code, weight, cells)
    attacks = np.bincount(code, weight * attack, cells)
    design = _design(count)
    seen = logins > 0
    design, logins, attacks = design[seen], logins[seen], attacks[seen]

    def loss(w: Array) -> tuple[float, Array]:
        odds = w[0] + design @ w[1:]
        value = (logins * np.logaddexp(0.0, odds) - attacks * odds).sum()
        rest = logins / (1.0 + np.exp(-odds)) - attacks
        gradient = np.append(rest.sum(), design.T @ rest + _PENALTY * w[1:])
        return float(value + 0.5 * _PENALTY * (w[1:] ** 2).sum()), gradient

    base = float(np.clip(attacks.sum() / logins.sum(), 1e-9, 1 - 1e-9))
    start = np.append(math.log(base / (1 - base)), np.zeros(len(_NAMES)))
    bounds = [(None, None), *[(0.0, None)] * len(_NAMES)]
    found: Any = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B")
    slopes = dict(zip(_NAMES, found.x[1:].tolist(), strict=True))
    most = (
        slopes["new_device"] + max(slopes["new_country"], slopes["new_region"])
        + slopes["odd_hour"]
        + max(slopes["failed_burst"], slopes["failed_attempt"] * (count - 1))
    )  # fmt: skip
    if most < 1e-6:
        raise InputError("no signal tells these attacks from the other logins")
    return RulePoints(**{name: round(slope / most, 4) for name, slope in slopes.items()})


def _design(count: int) -> Array:
    """What each combination of signals and failures adds of each point (cells, points)."""
    return np.array(
        [
            [
                *(float(bits >> at & 1) for at in range(len(SIGNALS))),
                0.0 if bits >> SIGNALS.index("failed_burst") & 1 else float(failures),
            ]
            for bits in range(1 << len(SIGNALS))
            for failures in range(count)
        ]
    )
