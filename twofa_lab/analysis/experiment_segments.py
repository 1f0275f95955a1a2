"""For whom, and for how long: effects by group of visitors and by day since the start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from twofa_lab.analysis.estimators import benjamini_hochberg, holm
from twofa_lab.analysis.experiment_data import Metric, Sample, pvalue_text
from twofa_lab.analysis.experiment_estimates import MetricResult, estimate
from twofa_lab.sheet import Sheet, number
from twofa_lab.tables import Array

__all__ = ["Novelty", "Segment", "Segments", "novelty", "segments"]

_LEAST = 100  # visitors in each arm of a group that is shown
_Z = 1.959964


@dataclass(frozen=True)
class Segment:
    """The effect in one group. `differs` is the p-value of the null that it is the effect of all
    others, `holm` and `benjamini_hochberg` the same adjusted for the number of groups.
    """

    column: str
    value: str
    result: MetricResult
    differs: float
    holm: float = float("nan")
    benjamini_hochberg: float = float("nan")


@dataclass(frozen=True, repr=False)
class Segments:
    """The effect on one metric by group; renders itself."""

    metric: Metric
    whole: MetricResult
    segments: tuple[Segment, ...]

    def sheet(self) -> Sheet:
        rows = tuple(
            (
                f"{s.column}: {s.value}",
                number(s.result.n_a + s.result.n_b),
                self.metric.change(s.result.effect.value),
                self.metric.span(s.result.effect.low, s.result.effect.high),
                pvalue_text(s.differs),
                pvalue_text(s.holm),
                pvalue_text(s.benjamini_hochberg),
            )
            for s in self.segments
        )
        columns = ("group", "visitors", "effect", "95 % interval", "p: differs", "Holm", "BH")
        note = (
            "p: the effect in this group is that in all others. Holm's column errs even once with "
            "at most 5 %; below 0.05 of Benjamini and Hochberg's, 5 % are expected to be false."
        )
        return Sheet(f"Effect on {self.metric.title} by group", columns, rows, note)

    def __repr__(self) -> str:
        return str(self.sheet())

    def _repr_html_(self) -> str:
        return self.sheet().to_html()


@dataclass(frozen=True, repr=False)
class Novelty:
    """The effect on one metric by day of arrival, and its trend; renders itself.

    `slope` is the change of the effect per day by weighted least squares, `pvalue` that of a
    constant effect.
    """

    metric: Metric
    days: Array
    results: tuple[MetricResult, ...]
    slope: float
    slope_error: float
    pvalue: float

    def sheet(self) -> Sheet:
        rows = tuple(
            (
                f"day {int(day)}",
                number(r.n_a + r.n_b),
                self.metric.change(r.effect.value),
                self.metric.span(r.effect.low, r.effect.high),
            )
            for day, r in zip(self.days, self.results, strict=True)
        )
        note = (
            f"Trend: {self.metric.change(self.slope)} a day (p = {pvalue_text(self.pvalue)} for "
            "none). A trend means that the whole experiment's effect is not that of later days."
        )
        columns = ("arrival", "visitors", "effect", "95 % interval")
        return Sheet(f"Effect on {self.metric.title} by day of arrival", columns, rows, note)

    def __repr__(self) -> str:
        return str(self.sheet())

    def _repr_html_(self) -> str:
        return self.sheet().to_html()


def segments(sample: Sample, metric: Metric, columns: Sequence[str]) -> Segments:
    """Effects by each value of each column known before the arms parted; small groups are left
    out (fewer than 100 visitors in an arm).
    """
    found: list[Segment] = []
    for column in columns:
        a, b = sample.column(column)
        for value in np.unique(np.concatenate([a, b])):
            keep = a == value, b == value
            if any(not _LEAST <= m.sum() <= len(m) - _LEAST for m in keep):
                continue
            here = estimate(sample.part(*keep), metric)
            others = estimate(sample.part(~keep[0], ~keep[1]), metric)
            gap = here.effect.value - others.effect.value
            error = float(np.hypot(_error(here), _error(others)))
            p = float(2 * stats.norm.sf(abs(gap) / error)) if error > 0 else float("nan")
            found.append(Segment(column, str(value), here, p))
    known = [s for s in found if not np.isnan(s.differs)]
    if known:
        pvalues = [s.differs for s in known]
        known = [
            Segment(s.column, s.value, s.result, s.differs, float(h), float(q))
            for s, h, q in zip(known, holm(pvalues), benjamini_hochberg(pvalues), strict=True)
        ]
    return Segments(metric, estimate(sample, metric), tuple(known))


def novelty(sample: Sample, metric: Metric, day: str, width: int = 1) -> Novelty:
    """Effects by day of arrival, `width` days together."""
    a, b = (part.astype(np.int64) // width for part in sample.column(day))
    days, results = [], []
    for value in np.unique(np.concatenate([a, b])):
        keep = a == value, b == value
        if min(m.sum() for m in keep) < _LEAST:
            continue
        results.append(estimate(sample.part(*keep), metric))
        days.append(value * width)
    at = np.array(days, np.float64)
    slope, error = _trend(at, results)
    p = float(2 * stats.norm.sf(abs(slope) / error)) if error > 0 else float("nan")
    return Novelty(metric, at, tuple(results), slope, error, p)


def _error(result: MetricResult) -> float:
    """The standard error that an interval of 95 % stands for."""
    return (result.effect.high - result.effect.low) / (2 * _Z)


def _trend(days: Array, results: Sequence[MetricResult]) -> tuple[float, float]:
    """The slope over days, weighted by precision, and its standard error."""
    nothing = float("nan"), float("nan")
    if len(results) < 3:
        return nothing
    errors = np.array([_error(r) for r in results])
    if not (errors > 0).all():
        return nothing
    weights, y = errors**-2.0, np.array([r.effect.value for r in results])
    x = days - np.average(days, weights=weights)
    spread = float((weights * x**2).sum())
    return float((weights * x * y).sum() / spread), spread**-0.5
