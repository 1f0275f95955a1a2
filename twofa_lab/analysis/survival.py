"""Time until something happens, some of it not seen yet: curves, log-rank, Cox, competing risks.

`durations` are times from a person's own start, in any unit; `observed` says whether the time ended
with the event or is only as far as was seen (censored). An event and a censoring at one time count
the event first. The estimates are those of statsmodels.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from twofa_lab.analysis.arguments import finite, fraction, plain, quotient
from twofa_lab.errors import InputError, WorkError
from twofa_lab.tables import Array

__all__ = [
    "CoxFit",
    "CumulativeIncidence",
    "LogRankTest",
    "SurvivalCurve",
    "cox",
    "cumulative_incidence",
    "kaplan_meier",
    "logrank",
]


@dataclass(frozen=True)
class SurvivalCurve:
    """A Kaplan-Meier curve: one entry for each distinct time with an event.

    `survival` holds from its time on, `low` and `high` are its pointwise interval (log-log, so
    within 0 and 1; NaN once nobody is left). `at_risk` counts just before the time.
    """

    times: Array
    survival: Array
    low: Array
    high: Array
    at_risk: Array
    events: Array

    def at(self, time: ArrayLike) -> Any:
        """The share without the event at a time, or at an array of times."""
        return plain(_step(self.times, self.survival, 1.0, time))

    @property
    def median(self) -> float:
        """The first time by which at least half have had the event; NaN if that was not seen."""
        # 1e-12: a survival of one half is a product of fractions, and may round to above it
        reached = np.flatnonzero(self.survival <= 0.5 + 1e-12)
        return float(self.times[reached[0]]) if len(reached) else float("nan")


@dataclass(frozen=True)
class CumulativeIncidence:
    """Shares that have had each of several competing events (Aalen and Johansen 1978).

    Row k - 1 of `incidence`, `low` and `high` belongs to cause k; a column to each distinct time
    with any event. The intervals are pointwise, log-log of the share without that event; NaN
    before the cause's first event and where nobody is left.
    """

    times: Array
    incidence: Array
    low: Array
    high: Array

    def at(self, cause: int, time: ArrayLike) -> Any:
        """The share that has had the event of this cause by a time, or by an array of times."""
        if not 1 <= cause <= len(self.incidence):
            raise InputError(f"cause must be from 1 to {len(self.incidence)}, not {cause}")
        return plain(_step(self.times, self.incidence[cause - 1], 0.0, time))


class LogRankTest(NamedTuple):
    """Chi-square, its degrees of freedom (groups less one) and p-value."""

    statistic: float
    pvalue: float
    degrees: int


@dataclass(frozen=True)
class CoxFit:
    """Cox's proportional hazards: one entry a covariate, in the order of `names`.

    `hazard_ratio` is exp(`coefficient`): by how much one unit more multiplies the rate of the
    event. `low` and `high` are its interval (Wald), `pvalue` that of no effect.
    """

    names: tuple[str, ...]
    coefficient: Array
    standard_error: Array
    hazard_ratio: Array
    low: Array
    high: Array
    pvalue: Array


def kaplan_meier(
    durations: ArrayLike, observed: ArrayLike, confidence: float = 0.95
) -> SurvivalCurve:
    """The share still without the event over time (Kaplan and Meier 1958).

    >>> curve = kaplan_meier([2, 3, 3, 5, 8], [1, 1, 0, 1, 0])
    >>> curve.times.tolist(), curve.survival.round(2).tolist(), curve.at(4.0)
    ([2.0, 3.0, 5.0], [0.8, 0.6, 0.3], 0.6000000000000001)
    """
    from statsmodels.duration.survfunc import SurvfuncRight

    time, event = _lives(durations, observed)
    found = SurvfuncRight(time, event)
    survival = np.asarray(found.surv_prob)
    low, high = _log_log(survival, np.asarray(found.surv_prob_se), confidence)
    return SurvivalCurve(
        np.asarray(found.surv_times),
        survival,
        low,
        high,
        np.asarray(found.n_risk).astype(np.int64),
        np.asarray(found.n_events).astype(np.int64),
    )


def cumulative_incidence(
    durations: ArrayLike, cause: ArrayLike, confidence: float = 0.95
) -> CumulativeIncidence:
    """The share that has had each event by a time, when any of them ends the wait.

    `cause` is 0 where the time was cut short and 1, 2, ... for what ended it. One minus a
    Kaplan-Meier curve that calls the other causes censored would say too much: it asks what would
    be if those never happened.

    >>> found = cumulative_incidence([1, 2, 3, 4], [1, 2, 0, 1])
    >>> found.at(1, [1.0, 4.0]).round(2).tolist(), found.at(2, 4.0)
    ([0.25, 0.75], 0.25)
    """
    from statsmodels.duration.survfunc import CumIncidenceRight

    kinds = finite("cause", cause)
    if (kinds < 0).any() or (kinds != np.rint(kinds)).any():
        raise InputError("cause must be 0 (not seen to end) or a whole number from 1")
    time, _ = _lives(durations, kinds > 0)
    if not kinds.any():
        raise InputError("nothing happened to anyone: cause holds no number above 0")
    with np.errstate(divide="ignore", invalid="ignore"):  # its error once nobody is left
        found = CumIncidenceRight(time, kinds.astype(np.int64))
    happened = np.isin(found.times, time[kinds > 0])
    incidence = np.array(found.cinc)[:, happened]
    error = np.array(found.cinc_se)[:, happened]
    low, high = _log_log(1.0 - incidence, error, confidence)
    return CumulativeIncidence(np.asarray(found.times)[happened], incidence, 1.0 - high, 1.0 - low)


def logrank(
    durations: ArrayLike,
    observed: ArrayLike,
    group: ArrayLike,
    strata: ArrayLike | None = None,
) -> LogRankTest:
    """Whether two groups or more have the event at the same rate (Mantel 1966).

    `group` is a label a person; with `strata`, groups are compared within each stratum only.

    >>> found = logrank([1, 2, 3, 4, 5, 6], [1, 1, 1, 1, 1, 1], list("aabbbb"))
    >>> round(found.statistic, 3), round(found.pvalue, 4), found.degrees
    (5.628, 0.0177, 1)
    """
    from statsmodels.duration.survfunc import survdiff

    time, event = _lives(durations, observed)
    labels = _labels("group", group, len(time))
    layers = None if strata is None else _labels("strata", strata, len(time))
    groups = len(np.unique(labels))
    if groups < 2:
        raise InputError("group must hold two labels or more")
    try:
        statistic, _ = survdiff(time, event, labels, strata=layers)
    except np.linalg.LinAlgError as error:
        raise InputError(
            "the groups cannot be compared: at no event were people of each still at risk"
        ) from error
    # statsmodels takes 1 - cdf, which is 0 below 1e-16
    pvalue = stats.chi2.sf(statistic, groups - 1)
    return LogRankTest(float(statistic), float(pvalue), groups - 1)


def cox(
    durations: ArrayLike,
    observed: ArrayLike,
    covariates: Mapping[str, ArrayLike] | ArrayLike,
    strata: ArrayLike | None = None,
    confidence: float = 0.95,
) -> CoxFit:
    """How covariates multiply the rate of the event (Cox 1972; ties as Efron).

    `covariates` maps names to columns (a frame will do), or is an array with a column each, named
    x1, x2, ... With `strata`, each stratum has a baseline of its own. Takes a step for every
    distinct event time: round to days where there are many events.

    >>> fit = cox([1, 2, 3, 4, 5, 6], [1, 1, 1, 0, 1, 1], {"asked": [1, 1, 0, 1, 0, 0]})
    >>> fit.names, float(fit.hazard_ratio[0].round(3))
    (('asked',), 3.411)
    """
    from statsmodels.duration.hazard_regression import PHReg

    time, event = _lives(durations, observed)
    names, design = _design(covariates, len(time))
    layers = None if strata is None else _labels("strata", strata, len(time))
    if not event.any():
        raise InputError("no event was observed: there is nothing to explain")
    if np.linalg.matrix_rank(design - design.mean(axis=0)) < len(names):
        raise InputError(f"a covariate is constant or follows from others: {', '.join(names)}")
    z = stats.norm.isf((1.0 - float(fraction("confidence", confidence))) / 2.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            fit = PHReg(time, design, status=event, strata=layers, ties="efron").fit()
        except (Warning, np.linalg.LinAlgError) as error:
            raise WorkError(
                "Cox's model did not converge: a covariate may separate those with the event "
                f"from those without ({', '.join(names)})"
            ) from error
    slope, spread = np.asarray(fit.params), np.asarray(fit.bse)
    return CoxFit(
        names,
        slope,
        spread,
        np.exp(slope),
        np.exp(slope - z * spread),
        np.exp(slope + z * spread),
        2.0 * stats.norm.sf(np.abs(slope / spread)),
    )


def _lives(durations: ArrayLike, observed: ArrayLike) -> tuple[Array, Array]:
    time, seen = finite("durations", durations), finite("observed", observed)
    if time.ndim != 1 or time.shape != seen.shape or not len(time):
        raise InputError("durations and observed need one value a person, and at least one person")
    if (time < 0).any():
        raise InputError("durations must be 0 or more")
    if not np.isin(seen, (0.0, 1.0)).all():
        raise InputError("observed must be true or false (1 or 0) for each person")
    return time, seen.astype(np.int64)


def _labels(name: str, values: ArrayLike, people: int) -> Array:
    found = np.asarray(values)
    if found.shape != (people,):
        raise InputError(f"{name} needs one label a person: {people}")
    if found.dtype.kind == "f":
        finite(name, found)
    return np.unique(found, return_inverse=True)[1]


def _design(
    covariates: Mapping[str, ArrayLike] | ArrayLike, people: int
) -> tuple[tuple[str, ...], Array]:
    """Names and columns, shape (people, covariates)."""
    if isinstance(covariates, Mapping) or hasattr(covariates, "items"):
        columns = {str(name): finite(str(name), values) for name, values in covariates.items()}
    else:
        table = finite("covariates", covariates)
        table = table[:, None] if table.ndim == 1 else table
        columns = {f"x{i + 1}": column for i, column in enumerate(table.T)}
    if not columns:
        raise InputError("covariates must hold at least one column")
    for name, column in columns.items():
        if column.shape != (people,):
            raise InputError(f"covariate {name} needs one value a person: {people}")
    return tuple(columns), np.column_stack(list(columns.values()))


def _log_log(survival: Array, error: Array, confidence: float) -> tuple[Array, Array]:
    """Interval of a survival by the log of minus its log; NaN at 0 and at 1."""
    z = stats.norm.isf((1.0 - float(fraction("confidence", confidence))) / 2.0)
    inside = (survival > 0.0) & (survival < 1.0)
    known = np.where(inside, survival, np.nan)
    width = quotient(z * error, known * np.abs(np.log(known)), np.nan)
    return known ** np.exp(width), known ** np.exp(-width)


def _step(times: Array, values: Array, before: float, at: ArrayLike) -> Array:
    """A step function's values: `before` up to the first time, then that of the latest one."""
    index = np.searchsorted(times, finite("time", at), side="right")
    return np.asarray(np.concatenate([[before], values])[index])
