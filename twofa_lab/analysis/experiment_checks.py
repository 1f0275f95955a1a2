"""Is the experiment sound? Shares of the arms, balance before it began, scripts, A/A.

A check that fails says that something is wrong with the experiment, not with the treatment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import stats

from twofa_lab.analysis.estimators import holm
from twofa_lab.analysis.experiment_data import Metric, Sample, pvalue_text
from twofa_lab.analysis.experiment_estimates import Effect, estimate
from twofa_lab.analysis.proportions import sample_ratio_mismatch
from twofa_lab.sheet import Sheet, number, percent
from twofa_lab.tables import Array

__all__ = ["Check", "Checks", "check"]

_ALARM = 0.001  # the usual alarm for sample-ratio mismatch (Fabijan and others 2019)
_LEVEL = 0.05


@dataclass(frozen=True)
class Check:
    """One check: what it found, its p-value (adjusted by Holm among its kind) and the verdict."""

    name: str
    finding: str
    pvalue: float
    passed: bool


@dataclass(frozen=True, repr=False)
class Checks:
    """All checks of an experiment; renders itself."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        return all(found.passed for found in self.checks)

    @property
    def failed(self) -> tuple[Check, ...]:
        return tuple(found for found in self.checks if not found.passed)

    @property
    def mismatch(self) -> Check:
        """The sample-ratio check, without which no estimate is to be believed."""
        return self.checks[0]

    def sheet(self) -> Sheet:
        rows = tuple(
            (c.name, c.finding, pvalue_text(c.pvalue), "passed" if c.passed else "FAILED")
            for c in self.checks
        )
        note = (
            "The sample ratio fails below p = 0.001; balance and scripts below 0.05 after Holm's "
            "adjustment; A/A where the share of splits of the control arm with p < 0.05 is more "
            "than three Monte-Carlo errors above 5 %."
        )
        return Sheet("Checks", ("check", "finding", "p", "verdict"), rows, note)

    def __repr__(self) -> str:
        return str(self.sheet())

    def _repr_html_(self) -> str:
        return self.sheet().to_html()


def check(
    sample: Sample,
    metrics: Sequence[Metric],
    *,
    counts: Mapping[str, int],
    shares: Mapping[str, float],
    covariates: Sequence[str],
    groups: Sequence[str],
    flag: str,
    rng: np.random.Generator,
    splits: int = 200,
) -> Checks:
    """Run every check. `counts` and `shares` are the visitors found in, and planned for, all arms;
    `covariates` (numbers) and `groups` (text) stem from before the experiment; `flag` is the column
    of visitors a detector took for scripts ("": none).
    """
    found = [_mismatch(counts, shares)]
    balance = [_balance_of(sample, name) for name in covariates]
    balance += [_balance_of_groups(sample, name) for name in groups]
    if flag:
        balance.append(_scripts(sample, flag))
    if balance:
        adjusted = holm([one.pvalue for one in balance])
        found += [
            Check(one.name, one.finding, float(p), bool(p >= _LEVEL))
            for one, p in zip(balance, adjusted, strict=True)
        ]
    found += [_split_control(sample, metric, rng, splits) for metric in metrics]
    return Checks(tuple(found))


def _mismatch(counts: Mapping[str, int], shares: Mapping[str, float]) -> Check:
    p = float(sample_ratio_mismatch([counts[name] for name in shares], [*shares.values()]).pvalue)
    total = sum(counts[name] for name in shares)
    parts = [
        f"{name} {percent(counts[name] / total)} of {percent(s)}" for name, s in shares.items()
    ]
    return Check("sample ratio", ", ".join(parts), p, p >= _ALARM)


def _balance_of(sample: Sample, name: str) -> Check:
    a, b = sample.numbers(name)
    found = estimate(sample, Metric.mean(name)).effect
    spread = float(np.sqrt(0.5 * (a.var() + b.var())))
    distance = found.value / spread if spread else 0.0
    p = 1.0 if np.isnan(found.pvalue) else float(found.pvalue)
    return Check(f"balance: {name}", f"{distance:+.4f} standard deviations", p, p >= _LEVEL)


def _balance_of_groups(sample: Sample, name: str) -> Check:
    """Each group's share in both arms; the smallest p-value, adjusted for the number of groups."""
    a, b = sample.column(name)
    found = {
        str(label): _share_of(sample, name, label)
        for label in np.unique(np.concatenate([np.unique(a), np.unique(b)]))
    }
    worst = max(found, key=lambda label: abs(found[label].value))
    p = float(min(holm([1.0 if np.isnan(e.pvalue) else e.pvalue for e in found.values()])))
    text = f"most in {worst}: {100 * found[worst].value:+.2f} points"
    return Check(f"balance: {name}", text, p, p >= _LEVEL)


def _share_of(sample: Sample, name: str, label: Any) -> Effect:
    """The share of visitors of one group, treatment less control."""
    table: dict[str, Array] = {"inside": np.asarray(sample.table[name]) == label}
    if sample.cluster:
        table[sample.cluster] = np.asarray(sample.table[sample.cluster])
    return estimate(replace(sample, table=table), Metric.binary("inside")).effect


def _scripts(sample: Sample, flag: str) -> Check:
    found = estimate(sample, Metric.binary(flag))
    text = f"{percent(found.value_a)} in the treatment, {percent(found.value_b)} in the control"
    p = 1.0 if np.isnan(found.effect.pvalue) else float(found.effect.pvalue)
    return Check(f"scripts: {flag}", text, p, p >= _LEVEL)


def _split_control(sample: Sample, metric: Metric, rng: np.random.Generator, splits: int) -> Check:
    """A/A: split the control arm at random, again and again, and test as the experiment does.

    Whole clusters are split where clusters were assigned. About 5 % of the tests must come out
    below 0.05; more would say that the variance they go by is not the true one.
    """
    y = sample.values(metric)[1]
    beside = sample.beside(metric)
    x = beside[1] if metric.kind == "ratio" and beside is not None else np.ones_like(y)
    if sample.cluster:
        cluster = sample.clusters()[1]
        y, x = np.bincount(cluster, y), np.bincount(cluster, x)
    sums = np.column_stack([np.ones_like(y), y, x, y * y, x * x, y * x])
    inside = rng.integers(0, 2, (splits, len(sums)), dtype=np.int8).astype(np.float32)
    a = inside @ sums.astype(np.float32)
    b = sums.sum(axis=0) - a
    z = (_ratio(a) - _ratio(b)) / np.sqrt(_variance(a) + _variance(b))
    share = float(np.mean(np.abs(z) > stats.norm.isf(_LEVEL / 2)))
    error = float(np.sqrt(_LEVEL * (1 - _LEVEL) / splits))
    text = f"{percent(share, 1)} of {number(splits)} splits below p = 0.05"
    p = float(stats.binomtest(round(share * splits), splits, _LEVEL, "greater").pvalue)
    return Check(f"A/A: {metric.name}", text, p, share <= _LEVEL + 3 * error)


def _ratio(sums: Array) -> Array:
    return np.asarray(sums[:, 1] / sums[:, 2])


def _variance(sums: Array) -> Array:
    """Squared standard error of a ratio of sums, by the delta method."""
    n, rate, mean_x = sums[:, 0], _ratio(sums), sums[:, 2] / sums[:, 0]
    second = (sums[:, 3] - 2 * rate * sums[:, 5] + rate**2 * sums[:, 4]) / n
    return np.asarray(np.maximum(second, 1e-30) / mean_x**2 / n)
