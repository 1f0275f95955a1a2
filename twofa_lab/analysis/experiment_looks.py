"""Looking at an experiment while it runs: bounds of the looks, and an interval for all days."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twofa_lab.analysis.arguments import quotient
from twofa_lab.analysis.estimators import Moments, mean_difference, ratio_difference
from twofa_lab.analysis.experiment_data import Metric, Sample
from twofa_lab.analysis.score import difference_statistic
from twofa_lab.analysis.sequential import boundaries, confidence_sequence
from twofa_lab.errors import InputError
from twofa_lab.sheet import Sheet, number, percent
from twofa_lab.tables import Array

__all__ = ["Look", "Looks", "look_at"]

_FEW = 20  # visitors with an event, of both arms, below which no sequence is given


@dataclass(frozen=True)
class Look:
    """One look: after `day`, at a share `information` of the planned visitors.

    `z` is the test's statistic, `bound` what |z| must reach, `low` and `high` the interval at the
    bound (a repeated confidence interval: all of them hold together).
    """

    day: int
    visitors: int
    information: float
    effect: float
    z: float
    bound: float
    low: float
    high: float

    @property
    def crossed(self) -> bool:
        return abs(self.z) >= self.bound


@dataclass(frozen=True, repr=False)
class Looks:
    """A metric watched over the days; renders itself.

    `days`, `effect`, `z` are daily; `low` and `high` an asymptotic confidence sequence: it holds on
    all days at once, from where enough has happened for its normal approximation (NaN before).
    `looks` are the planned ones.
    """

    metric: Metric
    kind: str
    alpha: float
    planned: int
    looks: tuple[Look, ...]
    days: Array
    information: Array
    effect: Array
    z: Array
    low: Array
    high: Array

    @property
    def stopped(self) -> Look | None:
        """The first look at which the bound was reached."""
        return next((look for look in self.looks if look.crossed), None)

    @property
    def last(self) -> Look:
        return self.looks[-1]

    @property
    def first_naive_day(self) -> int | None:
        """The first day on which a test at 5 % would have cried out, had one looked daily."""
        over = np.flatnonzero(np.abs(self.z) > 1.959964)
        return int(self.days[over[0]]) if len(over) else None

    def sheet(self) -> Sheet:
        rows = tuple(
            (
                f"day {look.day}",
                number(look.visitors),
                percent(look.information, 0),
                self.metric.change(look.effect),
                number(look.z, 2),
                number(look.bound, 2) if np.isfinite(look.bound) else "none",
                self.metric.span(look.low, look.high) if np.isfinite(look.bound) else "n/a",
                "stop" if look.crossed else "go on",
            )
            for look in self.looks
        )
        columns = (
            "look", "visitors", "of planned", "effect", "z", "bound", "repeated interval", "verdict"
        )  # fmt: skip
        note = (
            f"Bounds: {self.kind}, {percent(self.alpha, 1)} two-sided over all looks. Visitors "
            "count with all that followed: what takes months to show cannot be seen so early."
        )
        return Sheet(f"Looks at {self.metric.title}", columns, rows, note)

    def __repr__(self) -> str:
        return str(self.sheet())

    def _repr_html_(self) -> str:
        return self.sheet().to_html()


def look_at(
    sample: Sample,
    metric: Metric,
    *,
    day: str,
    looks: int,
    planned: int,
    kind: str,
    alpha: float = 0.05,
) -> Looks:
    """Watch a metric by day of arrival and test it at `looks` planned looks.

    A look comes at the end of the first day by which its share of the `planned` visitors has
    arrived; the bounds spend the error by the information that is really there.
    """
    if not kind.startswith("lan-demets-"):
        raise InputError(f"looks come when they come: use a lan-demets- kind, not {kind!r}")
    n_a, n_b, sums_a, sums_b, days = _daily(sample, metric, day)
    n = n_a + n_b
    value, error, z = _statistics(metric, n_a, sums_a, n_b, sums_b)
    information = np.minimum(n / planned, 1.0)
    at = _look_days(n, planned, looks)
    bounds = boundaries(information[at], alpha, kind)
    z_errors = quotient(value, z, error)  # of the test itself, so that bound and interval agree
    half = np.where(np.isfinite(bounds), bounds, np.nan) * np.abs(z_errors[at])
    found = tuple(
        Look(
            int(days[i]), int(n[i]), float(information[i]), float(value[i]), float(z[i]),
            float(bound), float(value[i] - h), float(value[i] + h),
        )
        for i, bound, h in zip(at, bounds, half, strict=True)
    )  # fmt: skip
    low, high = confidence_sequence(value, n * error**2, n, tuning=float(planned), alpha=alpha)
    early = sums_a[5] + sums_b[5] < _FEW
    low, high = (np.where(early, np.nan, end) for end in (low, high))
    return Looks(
        metric, kind, alpha, planned, found, days, information, value, z,
        np.asarray(low), np.asarray(high),
    )  # fmt: skip


def _look_days(n: Array, planned: int, looks: int) -> Array:
    """Positions of the days at whose end a look falls due; the last day is always one."""
    if looks < 1:
        raise InputError(f"looks must be 1 or more, not {looks}")
    due = [np.searchsorted(n, planned * k / looks) for k in range(1, looks + 1)]
    at = sorted({int(i) for i in due if i < len(n)} | {len(n) - 1})
    # days on which nobody new came, or beyond the plan, add no information
    gained = np.minimum(n, planned)
    return np.array([i for k, i in enumerate(at) if k == 0 or gained[i] > gained[at[k - 1]]])


def _daily(sample: Sample, metric: Metric, day: str) -> tuple[Array, Array, Array, Array, Array]:
    """Running counts of visitors and sums of y, x, y^2, x^2, xy, [y not 0], by end of day."""
    values, beside = sample.values(metric), sample.beside(metric) if metric.per else None
    days = [part.astype(np.int64) for part in sample.column(day)]
    first, last = min(d.min() for d in days), max(d.max() for d in days)
    counts, sums = [], []
    for arm in (0, 1):
        y, at = values[arm], days[arm] - first
        x = beside[arm] if beside is not None else np.ones_like(y)
        size = int(last - first) + 1
        counts.append(np.bincount(at, minlength=size).cumsum())
        sums.append(
            np.array(
                [np.bincount(at, w, size).cumsum() for w in (y, x, y * y, x * x, x * y, y != 0)]
            )
        )
    enough = (counts[0] > 1) & (counts[1] > 1)
    if metric.kind != "binary":
        enough &= (sums[0][1] > 0) & (sums[1][1] > 0)
    keep = np.flatnonzero(enough)
    if not len(keep):
        raise InputError(f"metric {metric.name!r}: no day with visitors in both arms")
    return (*(c[keep] for c in counts), *(s[:, keep] for s in sums), (first + keep))


def _statistics(
    metric: Metric, n_a: Array, sums_a: Array, n_b: Array, sums_b: Array
) -> tuple[Array, Array, Array]:
    """Effect, standard error and z, one a day."""
    a, b = (_moments(n, s) for n, s in ((n_a, sums_a), (n_b, sums_b)))
    found = ratio_difference(a, b) if metric.kind == "ratio" else mean_difference(a, b)
    value, error = np.asarray(found.value), np.asarray(found.standard_error)
    if metric.kind == "binary":
        z = difference_statistic(sums_a[0], n_a, sums_b[0], n_b, np.zeros(1))
    else:
        z = quotient(value, error, 0.0)
    return value, error, np.asarray(z)


def _moments(n: Array, sums: Array) -> Moments:
    y, x, yy, xx, xy = sums[:5] / n
    up = n / (n - 1)
    return Moments(
        n, y, np.maximum(yy - y * y, 0) * up, x, np.maximum(xx - x * x, 0) * up, (xy - x * y) * up
    )
