"""What a policy did, as figures with intervals, from sums over accounts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twofa_lab.analysis.totals import SUMS, Totals
from twofa_lab.risk.policy import Policy
from twofa_lab.tables import ATTACKS, OUTCOME_NAMES, Array
from twofa_lab.traffic.scenario import Costs

__all__ = ["Cost", "Estimate", "PairedDifference", "PolicyResult", "cost_of", "paired", "result_of"]


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval (percentiles of the bootstrap); NaN where undefined."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, replicates: Array) -> Estimate:
        """A figure with the 2.5th and 97.5th percentile of its bootstrap replicates."""
        known = replicates[np.isfinite(replicates)]
        if not len(known) or not np.isfinite(value):
            return cls(float(value), float("nan"), float("nan"))
        low, high = np.percentile(known, [2.5, 97.5])
        return cls(float(value), float(low), float(high))


@dataclass(frozen=True)
class Cost:
    """US$ per 1,000 legitimate logins, in parts."""

    messages: Estimate
    support: Estimate
    lost_logins: Estimate
    takeovers: Estimate
    total: Estimate

    @property
    def losses(self) -> float:
        """Lost logins and takeovers together."""
        return self.lost_logins.value + self.takeovers.value


@dataclass(frozen=True)
class PolicyResult:
    """One policy on one world; rates as the module `totals` defines them.

    `friction` is seconds at a completed legitimate challenge: 10th percentile, median, 90th.
    `lost` counts legitimate logins that were not completed, by outcome. `by_kind` maps an attack
    to (attempts, with the right password, challenged, completed).
    """

    policy: Policy
    logins: int
    legitimate: int
    challenge_rate: Estimate
    conversion: Estimate
    takeover_rate: Estimate
    takeovers: int
    attacks: int
    accounts_taken_over: int
    friction: tuple[float, float, float]
    cost: Cost
    lost: dict[str, int]
    not_asked: int
    asked_and_completed: int
    by_kind: dict[str, tuple[int, int, int, int]]
    totals: Totals

    @property
    def name(self) -> str:
        return self.policy.name


@dataclass(frozen=True)
class PairedDifference:
    """Policy `a` less policy `b` on the very same logins."""

    a: str
    b: str
    conversion: Estimate
    takeovers: Estimate
    cost: Estimate


def _ratio(top: Array | float, bottom: Array | float) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.divide(top, bottom, dtype=np.float64))


def _row(sums: Array, name: str) -> Array:
    return sums[SUMS.index(name)].astype(np.float64)


def cost_of(sums: Array, costs: Costs) -> dict[str, Array]:
    """Parts of the cost per 1,000 legitimate logins, from sums of shape (7,) or (7, B)."""
    legitimate = _row(sums, "legitimate")
    lost = legitimate - _row(sums, "completed")
    parts = {
        "messages": _row(sums, "microusd") / 1e6,
        "support": lost * costs.tickets_per_lost_login * costs.support_ticket,
        "lost_logins": lost * costs.lost_login,
        "takeovers": _row(sums, "taken_over") * costs.takeover,
    }
    found = {name: _ratio(1000.0 * usd, legitimate) for name, usd in parts.items()}
    return found | {"total": np.sum([*found.values()], axis=0)}


def result_of(policy: Policy, totals: Totals, costs: Costs) -> PolicyResult:
    """Figures and intervals of one policy."""
    sums, many = totals.sums, totals.replicates

    def rate(top: str, bottom: str) -> Estimate:
        value = _ratio(_row(sums, top), _row(sums, bottom))
        return Estimate.of(float(value), _ratio(_row(many, top), _row(many, bottom)))

    at, spread = cost_of(sums, costs), cost_of(many, costs)
    by_outcome = dict(zip(OUTCOME_NAMES, totals.outcomes.sum(axis=0).tolist(), strict=True))
    done = ("allowed", "verified")
    return PolicyResult(
        policy=policy,
        logins=totals.logins,
        legitimate=int(_row(sums, "legitimate")),
        challenge_rate=rate("challenged", "legitimate"),
        conversion=rate("completed", "legitimate"),
        takeover_rate=rate("takeovers", "attacks"),
        takeovers=int(_row(sums, "takeovers")),
        attacks=int(_row(sums, "attacks")),
        accounts_taken_over=int(_row(sums, "taken_over")),
        friction=_quantiles(totals.seconds),
        cost=Cost(**{name: Estimate.of(float(at[name]), spread[name]) for name in at}),
        lost={name: n for name, n in by_outcome.items() if n and name not in done},
        not_asked=by_outcome["allowed"],
        asked_and_completed=by_outcome["verified"],
        by_kind={
            kind: (int(row[0]), int(row[1]), int(row[2]), int(row[3]))
            for kind, row in zip(ATTACKS, totals.by_kind, strict=True)
            if kind != "none" and row[0]
        },
        totals=totals,
    )


def _quantiles(histogram: Array) -> tuple[float, float, float]:
    """10th percentile, median and 90th, in seconds, of a histogram of tenths of a second."""
    cum = np.cumsum(histogram)
    if not cum[-1]:
        return (float("nan"),) * 3
    at = np.searchsorted(cum, np.array([0.1, 0.5, 0.9]) * cum[-1])
    return tuple((at / 10.0).tolist())


def paired(a: PolicyResult, b: PolicyResult, costs: Costs) -> PairedDifference:
    """How policy `a` differs from `b`: the same bootstrap weights for both, so paired."""

    def difference(value: list[float], spread: list[Array]) -> Estimate:
        return Estimate.of(value[0] - value[1], spread[0] - spread[1])

    both = (a.totals, b.totals)
    conversion = [
        _ratio(_row(t.replicates, "completed"), _row(t.replicates, "legitimate")) for t in both
    ]
    takeovers = [_row(t.replicates, "takeovers") for t in both]
    cost = [cost_of(t.replicates, costs)["total"] for t in both]
    return PairedDifference(
        a.name,
        b.name,
        difference([a.conversion.value, b.conversion.value], conversion),
        difference([float(a.takeovers), float(b.takeovers)], takeovers),
        difference([a.cost.total.value, b.cost.total.value], cost),
    )
