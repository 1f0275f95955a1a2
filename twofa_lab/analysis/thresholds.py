"""Where to set the threshold: curves, an operating point with a guarantee, who bears it, a policy.

The usual way sweeps a threshold over scores that one policy logged (*open loop*). But a threshold
changes who completes, which devices are trusted, and so the scores themselves: here every threshold
of an operating grid is replayed (*closed loop*) on the same logins, and both are shown.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from twofa_lab.analysis.arguments import fraction, quotient
from twofa_lab.analysis.curve import Curve
from twofa_lab.analysis.estimates import Estimate, PolicyResult, cost_of
from twofa_lab.analysis.guarantee import within_budget
from twofa_lab.analysis.segments import side_words
from twofa_lab.analysis.thresholds_sweep import (
    at_threshold,
    budget_word,
    fitted_words,
    logged_curve,
    operating_grid,
    sweep,
    threshold_word,
)
from twofa_lab.analysis.totals import SUMS
from twofa_lab.errors import InputError, WorkError
from twofa_lab.risk.policy import Policy, input_error
from twofa_lab.sheet import Sheet, interval, money, number, percent
from twofa_lab.tables import Array
from twofa_lab.traffic.scenario import Costs
from twofa_lab.traffic.world import World, WorldFacts

if TYPE_CHECKING:
    from twofa_lab.analysis.burden import Burden
    from twofa_lab.analysis.picture import Figure

__all__ = ["Point", "Tuning", "tune"]

_TAKEOVERS = SUMS.index("takeovers")
_SALT = 20_260_105  # of the bootstrap weights: that of a comparison, so that intervals agree


@dataclass(frozen=True)
class Point:
    """One threshold (None: never ask), closed loop, with the open loop's rates beside it.

    `passed`: with the stated confidence its challenge rate keeps to the budget. `cut`: challenges
    that this leaves out (see `guarantee`).
    """

    threshold: float | None
    result: PolicyResult
    open_rate: float
    open_caught: float
    pvalue: float
    passed: bool
    cut: float

    @property
    def caught(self) -> float:
        """Share of attacker logins with the right password that were challenged."""
        counts = np.array([*self.result.by_kind.values()]).reshape(-1, 4).sum(axis=0)
        return float(quotient(counts[2], counts[1], np.nan))

    @property
    def stopped(self) -> Estimate:
        """Share of attacker logins with the right password that were not completed."""
        rate = self.result.takeover_rate
        return Estimate(1.0 - rate.value, 1.0 - rate.high, 1.0 - rate.low)


@dataclass(frozen=True, repr=False)
class Tuning:
    """Thresholds of one policy on one world, and the one to use; renders itself.

    `points` run from never asking to the lowest threshold. `chosen` is an index into them, None
    where no threshold satisfies the budget. `curve` is that of the scores logged under another
    policy, `logged_under`.
    """

    world: World
    policy: Policy
    logged_under: Policy
    points: tuple[Point, ...]
    curve: Curve
    budget: float | None
    confidence: float
    cap: float
    costs: Costs
    cheapest: bool
    chosen: int | None

    @property
    def facts(self) -> WorldFacts:
        return self.world.facts

    @property
    def point(self) -> Point:
        """The chosen threshold; `WorkError` where none satisfies the budget."""
        if self.chosen is None:
            raise WorkError(self.sentence())
        return self.points[self.chosen]

    @property
    def best(self) -> Policy:
        """The policy at the chosen threshold."""
        name = f"{self.policy.name[:60]}-tuned"
        return self.policy.model_copy(update={"challenge_at": self.point.threshold, "name": name})

    @property
    def note(self) -> str:
        """What every reader of the figures must know about where they come from."""
        words = [side_words(self.facts), "Intervals: 95 %, bootstrap over accounts."]
        words += filter(None, [fitted_words(self.policy, self.facts)])
        if self.budget is not None:
            words.append(
                f"Keeps the budget: with {percent(self.confidence, 0)} confidence at most "
                f"{budget_word(self.budget)} of such accounts' legitimate logins are challenged "
                f"(Learn then Test), an account's challenges beyond {self.cap:.1f} over its share "
                "left out."
            )
        return " ".join(words)

    def allowed(self) -> list[int]:
        """Indices of the points that may be chosen: with a budget, those that ask and keep it."""
        return [
            i
            for i, p in enumerate(self.points)
            if self.budget is None
            or (
                p.threshold is not None
                and p.passed
                and p.result.challenge_rate.value <= self.budget
            )
        ]

    def operating(self) -> dict[str, int | None]:
        """The choice under the budget, under the cost, and under both: indices of `points`; of
        equals the highest.
        """
        results = [point.result for point in self.points]
        allowed = self.allowed()
        everywhere = min(range(len(results)), key=lambda i: results[i].cost.total.value)
        if self.budget is None:
            return {"cost": everywhere}
        return {
            "budget": min(allowed, key=lambda i: results[i].takeovers, default=None),
            "cost": everywhere,
            "both": min(allowed, key=lambda i: results[i].cost.total.value, default=None),
        }

    def table(self) -> Sheet:
        """One row a threshold."""
        rows = []
        for i, p in enumerate(self.points):
            r = p.result
            rows.append((
                ("> " if i == self.chosen else "") + threshold_word(p.threshold),
                percent(p.open_rate), percent(r.challenge_rate.value),
                interval(percent(r.challenge_rate.low), percent(r.challenge_rate.high)),
                "n/a" if self.budget is None else ("yes" if p.passed else "no"),
                percent(p.open_caught, 1), percent(p.caught, 1), percent(p.stopped.value, 1),
                interval(percent(p.stopped.low, 1), percent(p.stopped.high, 1)),
                percent(1.0 - r.conversion.value), money(r.cost.total.value),
            ))  # fmt: skip
        columns = (
            "threshold", "challenged, open loop", "closed loop", "95 % interval",
            "keeps the budget", "attacks challenged, open loop", "closed loop",
            "takeovers stopped", "95 % interval",
            "logins lost", "US$ per 1,000",
        )  # fmt: skip
        title = (
            f"Thresholds of {self.policy.name} ({self.policy.scorer}) on "
            f"{number(self.points[0].result.legitimate)} legitimate logins and "
            f"{number(self.points[0].result.attacks)} attacks with the right password"
        )
        return Sheet(title, columns, tuple(rows), self.note)

    def choices(self) -> Sheet:
        """The operating point under the budget, under the cost model, and under both."""
        rows = []
        for name, index in self.operating().items():
            if index is None:
                rows.append((name, "no threshold satisfies this", "", "", "", ""))
                continue
            p = self.points[index]
            rows.append((
                name, threshold_word(p.threshold), percent(p.result.challenge_rate.value),
                percent(p.stopped.value, 1), money(p.result.cost.total.value),
                percent(self.support_of(index, name), 0),
            ))  # fmt: skip
        columns = (
            "chosen under", "threshold", "challenged", "takeovers stopped", "US$ per 1,000",
            "of replicates agree",
        )  # fmt: skip
        return Sheet("Operating points", columns, tuple(rows), self.note)

    def support_of(self, index: int, criterion: str) -> float:
        """Share of bootstrap replicates in which this point is (one of) the best of those allowed:
        fewest takeovers under "budget", else least cost.
        """
        allowed = list(range(len(self.points))) if criterion == "cost" else self.allowed()
        values = np.array([self._replicates(p, criterion) for p in self.points])
        best = values[allowed].min(axis=0)
        return float((values[index] <= best + 1e-9 * np.abs(best)).mean())

    def _replicates(self, point: Point, criterion: str) -> Array:
        sums = point.result.totals.replicates
        return sums[_TAKEOVERS] if criterion == "budget" else cost_of(sums, self.costs)["total"]

    def sentence(self) -> str:
        """The decision in one sentence made from the figures."""
        if self.chosen is None:
            highest = self.points[1].result if len(self.points) > 1 else self.points[0].result
            return (
                f"no threshold satisfies this: at most {budget_word(self.budget or 0.0)} "
                f"challenged with {percent(self.confidence, 0)} confidence. The highest threshold "
                f"challenges {percent(highest.challenge_rate.value)}; raise the budget or take "
                "more accounts"
            )
        p = self.point
        r, rate = p.result, p.result.challenge_rate
        do = "Never ask" if p.threshold is None else f"Challenge at {threshold_word(p.threshold)}"
        text = (
            f"{do}: it asks {percent(rate.value)} of legitimate logins "
            f"({interval(percent(rate.low), percent(rate.high))}), stops "
            f"{percent(p.stopped.value, 0)} of attackers who hold the password and costs "
            f"{money(r.cost.total.value)} per 1,000 logins"
        )
        if not np.isnan(p.open_rate):
            text += (
                f"; scores as logged promised {percent(p.open_rate)} and "
                f"{percent(p.open_caught, 0)} challenged"
            )
        return text + "."

    def burden(self, *, workers: int | None = None, progress: bool | None = None) -> Burden:
        """Who bears the chosen policy's challenges: weeks, countries, devices, new accounts."""
        from twofa_lab.analysis.burden import burden

        return burden(self.world, self.best, workers=workers, progress=progress)

    def sensitivity(self) -> Sheet:
        """Which price or budget would change the choice, exactly, from the sums at hand."""
        from twofa_lab.analysis.sensitivity import price_sheet

        return price_sheet(self)

    def assumptions(self, *, workers: int | None = None, progress: bool | None = None) -> Sheet:
        """Which assumption about people and delivery would, by replaying changed logins."""
        from twofa_lab.analysis.sensitivity import assumption_sheet

        return assumption_sheet(self, workers=workers, progress=progress)

    def plot(self) -> Figure:
        """Open and closed loop, with the budget and the choice."""
        from twofa_lab.analysis.thresholds_figures import plot_curves

        return plot_curves(self)

    def plot_cost(self) -> Figure:
        """Cost by threshold, in its parts."""
        from twofa_lab.analysis.thresholds_figures import plot_costs

        return plot_costs(self)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        p = self.point
        rate = p.result.challenge_rate
        return {
            "scorer": self.policy.scorer,
            "threshold": p.threshold,
            "challenge_rate": rate.value,
            "challenge_rate_ci": [rate.low, rate.high],
            "takeovers_stopped_share": None if np.isnan(p.stopped.value) else p.stopped.value,
            "max_challenge_rate": self.budget,
            "confidence": self.confidence,
            "cost_per_1000_usd": p.result.cost.total.value,
            "open_loop_challenge_rate": None if np.isnan(p.open_rate) else p.open_rate,
            "note": self.note,
        }

    def save(self, path: str | Path, *, day: date) -> Path:
        """Write the chosen policy as a file for a review, with where it comes from."""
        from twofa_lab.analysis.policy_file import write_policy

        return write_policy(self, path, day)

    def __repr__(self) -> str:
        return f"{self.table()}\n{self.sentence()}"

    def _repr_html_(self) -> str:
        return f"<p><b>{html.escape(self.sentence())}</b></p>{self.table().to_html()}"


def tune(
    world: World,
    policy: Policy | None = None,
    max_challenge_rate: float | None = None,
    cost: Costs | Mapping[str, float] | None = None,
    *,
    thresholds: Sequence[float] | None = None,
    points: int = 50,
    confidence: float = 0.95,
    logged_under: Policy | None = None,
    replicates: int = 200,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: bool | None = None,
) -> Tuning:
    """Choose `challenge_at` of a policy (default: risk-based) under a budget, a cost, or both.

    With `max_challenge_rate` alone: the threshold that lets fewest takeovers through among those
    that keep the budget with `confidence`; of equals the highest. With `cost` (prices that differ
    from the world's; `{}` for the world's own) the cheapest; with both the cheapest that keeps it.
    `thresholds` (default: `operating_grid` of the scores `logged_under` a policy that never asks)
    are replayed one by one. `InputError` for a log without people, or with nothing to tune.

    >>> import twofa_lab as lab
    >>> world = lab.simulate("us-consumer", users=500, days=30, seed=1)
    >>> found = tune(world, max_challenge_rate=0.1)
    >>> found.point.result.challenge_rate.value < 0.1
    True
    """
    base = policy or Policy.risk_based()
    if not world.has_people:
        raise InputError(
            "this log has no potential outcomes: call with_people(scenario, seed) to lend it some"
        )
    if max_challenge_rate is None and cost is None:
        raise InputError("say what to tune for: max_challenge_rate, cost or both")
    budget = None if max_challenge_rate is None else float(
        fraction("max_challenge_rate", max_challenge_rate)
    )  # fmt: skip
    world = _priced(world, cost)
    sure = float(fraction("confidence", confidence))
    logged = logged_under or at_threshold(base, None)
    run = (executor, workers, progress)
    open_loop = logged_curve(world, logged, *run)
    grid = _thresholds(thresholds, open_loop, points, base)
    cap = max(4.0, world.facts.days / 7.0)  # about one challenge a week: an assumption, shown
    policies = [at_threshold(base, threshold) for threshold in grid]
    swept = sweep(world, policies, budget, cap, replicates, _SALT, *run)
    passed = within_budget(swept.pvalue, 1.0 - sure) if budget else np.zeros(len(grid), bool)
    rate, caught = open_loop.at([np.inf if t is None else t for t in grid])
    made = tuple(
        Point(t, r, float(rate[i]), float(caught[i]), float(swept.pvalue[i]), bool(passed[i]),
              float(swept.cut[i]))
        for i, (t, r) in enumerate(zip(grid, swept.results, strict=True))
    )  # fmt: skip
    found = Tuning(
        world, base, logged, made, open_loop, budget, sure, cap, world.facts.costs,
        cost is not None, None,
    )  # fmt: skip
    criterion = "cost" if budget is None else ("both" if cost is not None else "budget")
    return replace(found, chosen=found.operating()[criterion])


def _priced(world: World, cost: Costs | Mapping[str, float] | None) -> World:
    """The world with other prices."""
    if not cost:
        return world
    if not isinstance(cost, Costs):
        mine = world.facts.costs.model_dump()
        for name, value in cost.items():
            if name not in mine or isinstance(mine[name], dict):
                known = ", ".join(n for n, v in mine.items() if not isinstance(v, dict))
                raise InputError(f"cost: no price {name!r}: use {known}")
            mine[name] = value
        try:
            cost = Costs.model_validate(mine)
        except ValidationError as error:
            raise input_error("cost", error) from None
    return replace(world, facts=replace(world.facts, costs=cost))


def _thresholds(
    given: Sequence[float] | None, open_loop: Curve, points: int, policy: Policy
) -> list[float | None]:
    highest = min(policy.deny_score, 1.0)
    if given is None:
        return [None, *operating_grid(open_loop, points, highest)]
    if not given or not all(0.0 <= value <= highest for value in given):
        raise InputError(f"thresholds must be some numbers from 0 to {highest:g}")
    return [None, *sorted({float(value) for value in given}, reverse=True)]
