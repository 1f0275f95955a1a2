"""Control limits with seasonality, and the alarms of a watched figure.

The expected count of an hour is its denominator times a rate times a factor for the hour of the day
and one for the day of the week (on a local clock: people's rhythm moves with summer time), fitted
on the first days by quasi-Poisson regression, with hours that do not fit weighed down, so that an
incident in the past does not widen the limits
(Farrington, Andrews, Beale and Catchpole 1996; weights and negative binomial limits as Noufaily et
al. 2013). Counts vary more than a Poisson's between hours; the excess is measured on the same
windows that are judged (Laney 2002). What is judged every hour is the sum of a trailing window:
its limits are exact quantiles of a negative binomial (of a gamma for amounts), not a normal's, so
that they hold for small counts too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
from scipy import stats

from twofa_lab.analysis.arguments import quotient
from twofa_lab.analysis.monitoring_tallies import COUNTS, MEASURES, Measure, Tallies
from twofa_lab.errors import InputError
from twofa_lab.tables import Array

__all__ = ["Alarm", "Chart", "LimitRules", "charts_of"]

_FAR = 2.58  # standardised residual from which an hour is weighed down: Noufaily et al. 2013
_ROUNDS = 10
_PRIOR_EVENTS = (
    10.0  # of a weekday or hour, at the common rate: keeps factors of rare events near 1
)


@dataclass(frozen=True)
class LimitRules:
    """How figures are judged; all assumptions, chosen before false alarms were measured.

    `learn_days`: the first days, from which the limits come. `window_hours`: what is judged as one.
    `tail`: the chance, within the model, that a window lies beyond a limit. `least_events`: no
    alarm for fewer surplus events than this, however unlikely.
    """

    learn_days: int = 28
    window_hours: int = 6
    tail: float = 1e-5
    least_events: float = 5.0

    def __post_init__(self) -> None:
        if self.learn_days < 14 or self.window_hours < 1 or not 0.0 < self.tail < 0.5:
            raise InputError(
                "limits need 14 days or more, windows of an hour or more, a tail < 0.5"
            )


@dataclass(frozen=True)
class Alarm:
    """A run of windows beyond a limit: hours `start` to `end` (of the tallies, inclusive).

    `seen` and `expected` are the numerator over the worst window; `where` is the part in which the
    surplus is least like chance, such as "channel sms".
    """

    measure: str
    side: str
    start: int
    end: int
    at: str
    seen: float
    expected: float
    where: str


@dataclass(frozen=True)
class Chart:
    """A watched figure with its limits: an entry an hour, over the trailing window.

    `value`, `centre`, `low`, `high` are rates (NaN without a denominator); `judged` is where limits
    hold: after the days that were learnt from.
    """

    measure: Measure
    value: Array
    centre: Array
    low: Array
    high: Array
    dispersion: float
    judged: Array
    alarms: tuple[Alarm, ...]


def charts_of(tallies: Tallies, rules: LimitRules) -> tuple[Chart, ...]:
    """Every measure with its limits and alarms.

    `InputError` when there is not a day left to judge after the days to learn from.
    """
    if tallies.hours < 24 * (rules.learn_days + 1):
        raise InputError(
            f"{tallies.hours // 24} days are too few: limits are learnt from the first "
            f"{rules.learn_days}, and hold for the days after them"
        )
    return tuple(_chart(tallies, measure, rules) for measure in MEASURES)


def _chart(tallies: Tallies, measure: Measure, rules: LimitRules) -> Chart:
    top, bottom = measure.counts(tallies.overall)
    learnt = np.arange(tallies.hours) < 24 * rules.learn_days
    unit = _unit(measure, tallies, learnt)
    share = measure.unit == "%"
    # of a share above one half the rest is counted: these laws are made for what is rare
    turned = share and top[learnt].sum() > 0.5 * bottom[learnt].sum()
    counted = bottom - top if turned else top
    expected = bottom * _season(tallies, counted, bottom, learnt, unit)
    x, n, e = (_trailing(values, rules.window_hours) for values in (counted, bottom, expected))
    dispersion = _dispersion(x[learnt], e[learnt], measure)
    low, high = _limits(e, dispersion, measure, rules.tail)
    if share:
        high = np.minimum(high, n)
    if turned:
        x, e, low, high = n - x, n - e, n - high, n - low
    above = (x > high) & (x - e >= rules.least_events * unit)
    below = (x < low) & (e - x >= rules.least_events * unit) & (measure.side == "both")
    alarms = [
        alarm
        for side, beyond in (("high", above), ("low", below))
        for alarm in _alarms(tallies, measure, rules, side, beyond & ~learnt, x, e)
    ]
    alarms.sort(key=lambda alarm: alarm.start)
    seen, centre, lowest, highest = (quotient(v, n, np.nan) for v in (x, e, low, high))
    return Chart(measure, seen, centre, lowest, highest, dispersion, ~learnt, tuple(alarms))


def _unit(measure: Measure, tallies: Tallies, learnt: Array) -> float:
    """What one event is worth: 1 for counts, the mean cents of a message, the mean seconds of a
    code.
    """
    if not measure.amount:
        return 1.0
    events = "delivered" if measure.bottom else "messages"
    sums = tallies.overall[learnt].sum(axis=0)
    return float(sums[COUNTS.index(measure.top)] / max(sums[COUNTS.index(events)], 1.0)) or 1.0


def _season(tallies: Tallies, top: Array, bottom: Array, learnt: Array, unit: float) -> Array:
    """The expected rate of every hour, by hour of the day and day of the week."""
    hour, day = _clock(tallies)
    of_hour, of_day = np.ones(24), np.ones(7)
    x, n = top[learnt] / unit, bottom[learnt]
    h, d = hour[learnt], day[learnt]
    weight = np.ones(len(x))
    rate = 0.0
    for _ in range(_ROUNDS):
        factor = of_hour[h] * of_day[d]
        rate = ((weight * x).sum() + 0.5) / ((weight * n * factor).sum() + 0.5)
        of_hour *= _factor(h, 24, weight * x, weight * n * rate * factor)
        of_day *= _factor(d, 7, weight * x, weight * n * rate * of_hour[h] * of_day[d])
        expected = n * rate * of_hour[h] * of_day[d]
        residual = (x - expected) / np.sqrt(np.maximum(expected, 0.5))
        # at least a Poisson's, or single events of a rare kind would count as outliers
        spread = np.sqrt(max(float(np.average(residual**2, weights=weight)), 1.0))
        weight = np.minimum(1.0, (_FAR * spread / np.maximum(np.abs(residual), 1e-12)) ** 2)
    return np.asarray(unit * rate * of_hour[hour] * of_day[day])


def _factor(where: Array, size: int, seen: Array, expected: Array) -> Array:
    seen, expected = (np.bincount(where, values, size) for values in (seen, expected))
    return np.asarray((seen + _PRIOR_EVENTS) / (expected + _PRIOR_EVENTS))


def _clock(tallies: Tallies) -> tuple[Array, Array]:
    """Hour of the day and day of the week on the tallies' clock, summer time included."""
    zone = ZoneInfo(tallies.zone)
    local = [datetime.fromtimestamp(ms / 1000, zone) for ms in tallies.times.tolist()]
    return np.array([t.hour for t in local]), np.array([t.weekday() for t in local])


def _trailing(values: Array, window: int) -> Array:
    """Sums over each hour and the ones before it."""
    total = np.concatenate([np.zeros(window), np.cumsum(values)])
    return np.asarray(total[window:] - total[:-window])


def _dispersion(x: Array, e: Array, measure: Measure) -> float:
    """Variance over expectation of windows, far ones weighed down; counts have at least 1."""
    squares = (x - e) ** 2 / np.maximum(e, 1e-9)
    found = float(np.mean(squares))
    for _ in range(_ROUNDS):
        far = squares / max(found, 1e-12)
        weight = np.minimum(1.0, _FAR**2 / np.maximum(far, 1e-12))
        found = float(np.average(squares, weights=weight))
    return max(found, 1e-9) if measure.amount else max(found, 1.0)


def _limits(e: Array, dispersion: float, measure: Measure, tail: float) -> tuple[Array, Array]:
    """The least and the most of a window that are no surprise, from its expectation."""
    mean = np.maximum(e, 1e-9)
    if measure.amount:
        law = stats.gamma(mean / dispersion, scale=dispersion)
    elif dispersion < 1.0 + 1e-6:
        law = stats.poisson(mean)
    else:
        law = stats.nbinom(mean / (dispersion - 1.0), 1.0 / dispersion)
    return np.asarray(law.ppf(tail), np.float64), np.asarray(law.isf(tail), np.float64)


def _alarms(
    tallies: Tallies,
    measure: Measure,
    rules: LimitRules,
    side: str,
    beyond: Array,
    x: Array,
    e: Array,
) -> list[Alarm]:
    """Runs of hours beyond a limit; a pause shorter than the window does not end one."""
    found: list[Alarm] = []
    hours = np.flatnonzero(beyond)
    runs = np.split(hours, np.flatnonzero(np.diff(hours) > rules.window_hours) + 1)
    for run in runs:
        if not len(run):
            continue
        worst = int(run[np.argmax(np.abs(x[run] - e[run]))])
        start, end = int(run[0]), int(run[-1])
        at = datetime.fromtimestamp(tallies.times[start] / 1000, UTC).strftime("%Y-%m-%d %H:%M")
        where = _where(tallies, measure, rules, worst, 1.0 if side == "high" else -1.0)
        found.append(
            Alarm(measure.name, side, start, end, at, float(x[worst]), float(e[worst]), where)
        )
    return found


def _where(tallies: Tallies, measure: Measure, rules: LimitRules, hour: int, sign: float) -> str:
    """The part with the largest surplus in standard deviations: a Poisson's around its own rate."""
    best, name = 0.0, "everywhere"
    until, learnt = slice(max(0, hour + 1 - rules.window_hours), hour + 1), 24 * rules.learn_days
    for dimension, parts in tallies.by.items():
        for value, counts in parts.items():
            if value in ("none", "other"):
                continue
            top, bottom = (v.sum() for v in measure.counts(counts[until]))
            past, base = (v.sum() for v in measure.counts(counts[:learnt]))
            expected = bottom * past / base if base else 0.0
            surplus = float(sign * (top - expected) / np.sqrt(max(expected, 1.0)))
            if surplus > best:
                best, name = surplus, f"{dimension} {value}"
    return name
