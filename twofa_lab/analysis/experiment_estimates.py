"""Effects of a treatment: the estimate to go by, and every other way to come to one.

The estimate to go by: for a share the score interval of Miettinen and Nurminen, for a mean CUPED
where the metric has a covariate (else Welch), for a ratio the delta method. Where clusters were
assigned, the delta method over clusters for all three.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from twofa_lab.analysis.estimators import (
    Difference,
    Moments,
    cluster_bootstrap,
    cuped_difference,
    mean_difference,
    ratio_difference,
)
from twofa_lab.analysis.experiment_data import Metric, Sample
from twofa_lab.analysis.proportions import (
    difference_test,
    exact_interval,
    miettinen_nurminen_interval,
    newcombe_interval,
    noninferiority_test,
    ratio_interval,
)
from twofa_lab.errors import InputError
from twofa_lab.tables import Array

__all__ = ["Effect", "MetricResult", "estimate", "exact_ratio", "measure"]

_EXACT_TABLES = 10_000  # what `exact_interval` takes
_FEW = 20  # successes in an arm below which the exact ratio is shown
_NAN = float("nan")


@dataclass(frozen=True)
class Effect:
    """Treatment less control by one method; `of_ratio`: treatment over control instead."""

    method: str
    value: float
    low: float
    high: float
    pvalue: float = _NAN
    of_ratio: bool = False


@dataclass(frozen=True)
class MetricResult:
    """One metric in both arms.

    `effect` is the estimate to go by, at the confidence asked for; `methods` are all that apply.
    `worse_by_margin` is the one-sided p-value of the null that the treatment is worse by the margin
    or more; NaN without a margin. `counts`, of a share: successes and visitors of the treatment,
    then of the control.
    """

    metric: Metric
    n_a: int
    n_b: int
    value_a: float
    value_b: float
    effect: Effect
    methods: tuple[Effect, ...] = ()
    worse_by_margin: float = _NAN
    counts: tuple[int, int, int, int] | None = None

    @property
    def good(self) -> tuple[float, float]:
        """The interval with its sign turned so that more is better."""
        ends = self.metric.sign * self.effect.low, self.metric.sign * self.effect.high
        return min(ends), max(ends)

    @property
    def relative(self) -> float:
        """The effect as a share of the control's value."""
        return self.effect.value / self.value_b if self.value_b else _NAN


def estimate(sample: Sample, metric: Metric, confidence: float = 0.95) -> MetricResult:
    """A metric in both arms with the estimate to go by."""
    (y_a, y_b), beside = sample.values(metric), sample.beside(metric)
    values = _value(metric, y_a, beside, 0), _value(metric, y_b, beside, 1)
    if sample.cluster:
        effect = _over_clusters(sample, metric, confidence)
    elif metric.kind == "binary":
        table = _counts(y_a, y_b)
        low, high = miettinen_nurminen_interval(*table, confidence=confidence)
        test = difference_test(*table)
        effect = Effect("Miettinen-Nurminen", values[0] - values[1], low, high, test.pvalue)
    elif metric.kind == "ratio":
        effect = _welch_like(
            "delta method", ratio_difference(*_moments(y_a, y_b, beside), confidence)
        )
    elif beside is not None:
        effect = _welch_like("CUPED", cuped_difference(*_moments(y_a, y_b, beside), confidence))
    else:
        effect = _welch_like("Welch", mean_difference(*_moments(y_a, y_b, None), confidence))
    return MetricResult(
        metric,
        sample.n_a,
        sample.n_b,
        *values,
        effect,
        worse_by_margin=_margin_pvalue(sample, metric, effect, (y_a, y_b), confidence),
    )


def measure(
    sample: Sample, metric: Metric, rng: np.random.Generator, replicates: int = 200
) -> MetricResult:
    """A metric in both arms by every method that applies, at 95 %."""
    found = estimate(sample, metric)
    (y_a, y_b), beside = sample.values(metric), sample.beside(metric)
    methods, table = [], None
    if metric.kind == "binary":
        table = _counts(y_a, y_b)
        methods += _of_proportions(*table)
    if metric.kind != "ratio":
        methods.append(_welch_like("Welch", mean_difference(*_moments(y_a, y_b, None))))
    if metric.covariate:
        methods.append(_welch_like("CUPED", cuped_difference(*_moments(y_a, y_b, beside))))
    if metric.kind == "ratio":
        methods.append(_welch_like("delta method", ratio_difference(*_moments(y_a, y_b, beside))))
    if sample.cluster:
        methods.append(_over_clusters(sample, metric, 0.95))
        methods.append(_bootstrap(sample, metric, rng, replicates))
    return MetricResult(
        metric,
        found.n_a,
        found.n_b,
        found.value_a,
        found.value_b,
        found.effect,
        tuple(methods),
        found.worse_by_margin,
        table,
    )


def exact_ratio(
    count_a: int, n_a: int, count_b: int, n_b: int, confidence: float = 0.95
) -> tuple[float, float, float]:
    """An exact interval for the ratio of two rates of rare events, and the p-value of ratio 1.

    Given their total, the events of arm a are binomial with the share r n_a / (r n_a + n_b); so
    Clopper and Pearson's interval of that share gives one for r (Przyborowski and Wilenski 1940).
    Exact for Poisson counts, cautious for shares.

    >>> low, high, pvalue = exact_ratio(1, 10_000, 9, 10_000)
    >>> round(low, 4), round(high, 4), round(pvalue, 4)
    (0.0025, 0.8019, 0.0215)
    """
    total = count_a + count_b
    if total == 0:
        return 0.0, float("inf"), 1.0
    test = stats.binomtest(count_a, total, n_a / (n_a + n_b))
    low, high = test.proportion_ci(confidence, method="exact")
    scale = n_b / n_a
    upper = float("inf") if high >= 1.0 else float(high / (1.0 - high) * scale)
    return float(low / (1.0 - low) * scale), upper, float(test.pvalue)


def _value(metric: Metric, y: Array, beside: tuple[Array, Array] | None, arm: int) -> float:
    if metric.kind != "ratio" or beside is None:
        return float(y.mean())
    bottom = float(beside[arm].sum())
    if bottom <= 0:
        raise InputError(f"metric {metric.name!r}: the sum of {metric.per!r} is 0 in an arm")
    return float(y.sum()) / bottom


def _counts(y_a: Array, y_b: Array) -> tuple[int, int, int, int]:
    return int(y_a.sum()), len(y_a), int(y_b.sum()), len(y_b)


def _moments(y_a: Array, y_b: Array, beside: tuple[Array, Array] | None) -> tuple[Moments, Moments]:
    if beside is None:
        return Moments.of(y_a), Moments.of(y_b)
    return Moments.of(y_a, beside[0]), Moments.of(y_b, beside[1])


def _welch_like(method: str, found: Difference) -> Effect:
    return Effect(method, found.value, found.low, found.high, found.pvalue)


def _of_proportions(x: int, n: int, y: int, m: int) -> list[Effect]:
    difference, p = x / n - y / m, difference_test(x, n, y, m).pvalue
    low, high = newcombe_interval(x, n, y, m)
    found = [
        Effect("Newcombe", difference, low, high),
        Effect("Miettinen-Nurminen", difference, *miettinen_nurminen_interval(x, n, y, m), p),
    ]
    if n * m <= _EXACT_TABLES:
        found.append(Effect("exact (Chan-Zhang)", difference, *exact_interval(x, n, y, m)))
    ratio = (x / n) / (y / m) if y else _NAN
    low, high = ratio_interval(x, n, y, m)
    found.append(Effect("ratio, Miettinen-Nurminen", ratio, low, high, p, of_ratio=True))
    if min(x, y) < _FEW:
        found.append(Effect("ratio, exact", ratio, *exact_ratio(x, n, y, m), of_ratio=True))
    return found


def _sums(sample: Sample, metric: Metric) -> list[tuple[Array, Array]]:
    """The sums of y and of x (visitors, unless a ratio) of each cluster, for both arms."""
    values, found = sample.values(metric), []
    beside = sample.beside(metric) if metric.kind == "ratio" else None
    for arm, cluster in enumerate(sample.clusters()):
        weights = beside[arm] if beside is not None else None
        found.append(
            (np.bincount(cluster, values[arm]), np.bincount(cluster, weights).astype(np.float64))
        )
    return found


def _over_clusters(sample: Sample, metric: Metric, confidence: float) -> Effect:
    a, b = (Moments.of(y, x) for y, x in _sums(sample, metric))
    return _welch_like("clusters, delta method", ratio_difference(a, b, confidence))


def _bootstrap(sample: Sample, metric: Metric, rng: np.random.Generator, replicates: int) -> Effect:
    a, b = _sums(sample, metric)
    found = cluster_bootstrap(a, b, rng, replicates)
    return Effect("clusters, bootstrap", found.value, found.low, found.high)


def _margin_pvalue(
    sample: Sample, metric: Metric, effect: Effect, y: tuple[Array, Array], confidence: float
) -> float:
    """One-sided p-value of "worse by the margin or more"."""
    if not metric.margin:
        return _NAN
    if metric.kind == "binary" and not sample.cluster:
        x, n, z, m = _counts(*y)
        # where less is better the arms change places: control less treatment above -margin
        order = (x, n, z, m) if metric.better == "higher" else (z, m, x, n)
        return float(noninferiority_test(*order, metric.margin).pvalue)
    half = 0.5 * (effect.high - effect.low)
    error = half / float(stats.norm.isf((1.0 - confidence) / 2.0))
    gap = metric.sign * effect.value + metric.margin
    return float(stats.norm.sf(gap / error)) if error > 0 else float(gap <= 0)
