"""Before an experiment: how many visitors each metric needs, how long that takes, what can be seen.

Baselines (rates, spread, likeness within clusters) come from a table of visitors before the change,
a pilot. Shares use the formulas of the module `power`, means and ratios the normal approximation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from twofa_lab.analysis.arguments import fraction, positive
from twofa_lab.analysis.experiment_data import Metric, Sample
from twofa_lab.analysis.power import (
    design_effect,
    minimum_detectable_effect,
    noninferiority_sizes,
    superiority_sizes,
)
from twofa_lab.errors import InputError
from twofa_lab.sheet import Sheet, number, percent
from twofa_lab.tables import Array

if TYPE_CHECKING:
    from twofa_lab.analysis.picture import Figure

__all__ = ["Design", "Need", "plan"]


@dataclass(frozen=True)
class Need:
    """What one metric needs. `aim` says what is to be shown; `effect` is the true effect assumed,
    treatment less control; `design_effect` multiplies the visitors where clusters are assigned.
    """

    metric: Metric
    aim: str
    baseline: float
    effect: float
    design_effect: float
    n_a: int
    n_b: int
    days: float

    @property
    def total(self) -> int:
        return self.n_a + self.n_b


@dataclass(frozen=True, repr=False)
class Design:
    """The plan of an experiment; renders and plots itself.

    `curves` gives, for the visitors of `days` of running, the smallest effect each metric would
    show with the planned power, as a share of its baseline.
    """

    needs: tuple[Need, ...]
    visitors_per_day: float
    share_a: float
    alpha: float
    power: float
    days: Array
    curves: dict[str, Array]

    @property
    def total(self) -> int:
        """Visitors that satisfy every metric."""
        return max(need.total for need in self.needs)

    @property
    def duration(self) -> float:
        """Days until they have come."""
        return max(need.days for need in self.needs)

    def __getitem__(self, name: str) -> Need:
        for need in self.needs:
            if need.metric.name == name:
                return need
        raise InputError(f"no metric {name!r} in this design")

    def sheet(self) -> Sheet:
        rows = tuple(
            (
                n.metric.title,
                n.aim,
                n.metric.text(n.baseline),
                n.metric.change(n.effect),
                number(n.design_effect, 2),
                number(n.n_a),
                number(n.n_b),
                number(n.days, 1),
            )
            for n in self.needs
        )
        columns = (
            "metric", "to show", "control", "true effect assumed", "design effect",
            "treatment visitors", "control visitors", "days",
        )  # fmt: skip
        note = (
            f"Power {percent(self.power, 0)}; superiority two-sided at {percent(self.alpha, 1)}, "
            f"non-inferiority one-sided at {percent(self.alpha / 2, 1)}; "
            f"{number(self.visitors_per_day)} visitors a day, {percent(self.share_a, 0)} of them "
            "into the treatment. What follows a sign-up takes its own time besides."
        )
        return Sheet("Visitors needed", columns, rows, note)

    def plot(self) -> Figure:
        """The smallest effect each metric shows, by days of running."""
        from twofa_lab.analysis.experiment_figures import plot_design

        return plot_design(self)

    def __repr__(self) -> str:
        return str(self.sheet())

    def _repr_html_(self) -> str:
        return self.sheet().to_html()


def plan(
    pilot: Sample,
    metrics: Sequence[Metric],
    *,
    effects: Mapping[str, float],
    visitors_per_day: float,
    share_a: float = 0.5,
    alpha: float = 0.05,
    power: float = 0.8,
    most_days: int = 60,
) -> Design:
    """Sizes for each metric of `metrics` that is a guardrail or has an assumed effect.

    `effects` maps a metric's name to its assumed true effect *relative* to the control (-0.5: half
    as much); a guardrail without one is assumed not to change. A guardrail is sized for
    non-inferiority within its margin, others for superiority. The baselines are those of both arms
    of the pilot together, so pass one where nothing was changed.
    """
    unknown = set(effects) - {metric.name for metric in metrics}
    if unknown:
        raise InputError(f"effects: no metric {min(unknown)!r} in this experiment")
    positive("visitors_per_day", visitors_per_day)
    fraction("share_a", share_a)
    days = np.arange(1.0, most_days + 1.0)
    needs, curves = [], {}
    for metric in metrics:
        if metric.role != "guardrail" and not effects.get(metric.name):
            continue
        base, variance, deff = _baseline(pilot, metric)
        effect = effects.get(metric.name, 0.0) * base
        n_a, n_b = _sizes(metric, base, variance, effect, share_a, alpha, power)
        n_a, n_b = math.ceil(n_a * deff), math.ceil(n_b * deff)
        aim = "no worse by the margin" if metric.role == "guardrail" else "better"
        if metric.role == "guardrail":
            aim = f"not worse by {metric.change(metric.margin).lstrip('+')}"
        needs.append(
            Need(metric, aim, base, effect, deff, n_a, n_b, (n_a + n_b) / visitors_per_day)
        )
        visible = _visible(
            metric, base, variance, days * visitors_per_day / deff, share_a, alpha, power
        )
        curves[metric.name] = visible / base
    if not needs:
        raise InputError("nothing to plan for: name an effect, or give a guardrail a margin")
    return Design(tuple(needs), visitors_per_day, share_a, alpha, power, days, curves)


def _baseline(pilot: Sample, metric: Metric) -> tuple[float, float, float]:
    """The metric before, the variance of one visitor's share in it, and the design effect."""
    y = np.concatenate(pilot.values(metric))
    beside = pilot.beside(metric) if metric.kind == "ratio" else None
    x = np.concatenate(beside) if beside is not None else np.ones_like(y)
    base = float(y.sum() / x.sum())
    if not base:
        raise InputError(f"metric {metric.name!r} is 0 in the pilot: nothing to plan with")
    left = (y - base * x) / x.mean()
    variance = float(left.var(ddof=1))
    if not pilot.cluster:
        return base, variance, 1.0
    cluster = np.unique(np.concatenate(pilot.column(pilot.cluster)), return_inverse=True)[1]
    sizes = np.bincount(cluster).astype(np.float64)
    likeness = min(max(_likeness(left, cluster, sizes), 0.0), 1.0)
    return base, variance, design_effect(sizes.mean(), likeness, sizes.std() / sizes.mean())


def _likeness(values: Array, cluster: Array, sizes: Array) -> float:
    """Intraclass correlation by the analysis of variance (Donner and Koval 1980)."""
    n, k = sizes.sum(), len(sizes)
    if n == k:
        return 0.0
    means = np.bincount(cluster, values) / sizes
    between = float((sizes * (means - values.mean()) ** 2).sum()) / (k - 1)
    within = float(((values - means[cluster]) ** 2).sum()) / (n - k)
    typical = (n - (sizes**2).sum() / n) / (k - 1)
    return (between - within) / (between + (typical - 1) * within)


def _sizes(
    metric: Metric,
    base: float,
    variance: float,
    effect: float,
    share_a: float,
    alpha: float,
    power: float,
) -> tuple[int, int]:
    guard = metric.role == "guardrail"
    if metric.kind == "binary" and guard:
        # where less is better, what must not fall is the share without it
        a, b = (base + effect, base) if metric.better == "higher" else (1 - base - effect, 1 - base)
        return noninferiority_sizes(
            a, b, metric.margin, share_a=share_a, alpha=alpha / 2, power=power
        )
    if metric.kind == "binary":
        return superiority_sizes(base + effect, base, share_a=share_a, alpha=alpha, power=power)
    gap = metric.sign * effect + metric.margin if guard else abs(effect)
    if gap <= 0:
        raise InputError(f"guardrail {metric.name!r} is assumed to be worse than its margin")
    z = stats.norm.isf(alpha / 2) + stats.norm.ppf(power)
    total = float(z**2 * variance / gap**2 * (1 / share_a + 1 / (1 - share_a)))
    return math.ceil(total * share_a), math.ceil(total * (1 - share_a))


def _visible(
    metric: Metric,
    base: float,
    variance: float,
    visitors: Array,
    share_a: float,
    alpha: float,
    power: float,
) -> Array:
    """The smallest change, for the worse or, of a goal, for the better, that would be seen."""
    n_a, n_b = visitors * share_a, visitors * (1 - share_a)
    if metric.kind == "binary":
        falls = (metric.role == "goal") == (metric.better == "lower")
        found = minimum_detectable_effect(base, n_a, n_b, alpha=alpha, power=power, fall=falls)
        return np.asarray(found)
    z = stats.norm.isf(alpha / 2) + stats.norm.ppf(power)
    return np.asarray(z * np.sqrt(variance * (1 / n_a + 1 / n_b)))
