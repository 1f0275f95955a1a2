"""Do the procedures keep what they promise? Simulations, with their Monte-Carlo error.

Sign-up worlds hold every visitor's outcomes under every arm, so the truth is known. False
positives are counted where both arms are one. Coverage has its own module, `experiment_coverage`.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from twofa_lab.analysis.estimators import Moments, mean_difference
from twofa_lab.analysis.experiment_data import Sample
from twofa_lab.analysis.experiment_estimates import estimate
from twofa_lab.analysis.experiment_looks import look_at
from twofa_lab.analysis.experiments import signup_experiment
from twofa_lab.analysis.power import (
    noninferiority_power,
    noninferiority_sizes,
    superiority_power,
    superiority_sizes,
)
from twofa_lab.analysis.proportions import (
    difference_test,
    noninferiority_test,
    sample_ratio_mismatch,
)
from twofa_lab.analysis.score import difference_statistic
from twofa_lab.analysis.sequential import KINDS, boundaries, confidence_sequence, peeking_error
from twofa_lab.sheet import Sheet, number, percent
from twofa_lab.tables import Array
from twofa_lab.traffic.shards import run_shards
from twofa_lab.traffic.signup import Arm, SignupWorld, signup_world

__all__ = [
    "Proof",
    "Rate",
    "false_positives",
    "optional_stopping",
    "peeking_rates",
    "realised_power",
]

_LOOKS = (1, 2, 5, 10, 28)
_SPENDING = KINDS[2:]


@dataclass(frozen=True)
class Rate:
    """What a procedure claims and what a simulation found; `repeats` 0: computed, not simulated."""

    procedure: str
    claimed: float
    found: float
    repeats: int
    side: Literal["equal", "at most", "at least"] = "equal"

    @property
    def error(self) -> float:
        """The Monte-Carlo standard error if the claim is true."""
        return (
            float(np.sqrt(self.claimed * (1 - self.claimed) / self.repeats)) if self.repeats else 0
        )

    @property
    def holds(self) -> bool:
        """Within three Monte-Carlo errors of the claim, or on its safe side."""
        gap, room = self.found - self.claimed, 3 * self.error + 1e-12
        return bool({"equal": abs(gap), "at most": gap, "at least": -gap}[self.side] <= room)


@dataclass(frozen=True, repr=False)
class Proof:
    """Claims beside what was found; renders itself."""

    title: str
    rates: tuple[Rate, ...]
    note: str = ""

    @property
    def failed(self) -> tuple[Rate, ...]:
        return tuple(rate for rate in self.rates if not rate.holds)

    def sheet(self) -> Sheet:
        rows = tuple(
            (
                r.procedure,
                ("" if r.side == "equal" else f"{r.side} ") + percent(r.claimed, 1),
                percent(r.found),
                percent(r.error) if r.repeats else "none",
                number(r.repeats) if r.repeats else "computed",
                "holds" if r.holds else "DOES NOT HOLD",
            )
            for r in self.rates
        )
        columns = ("procedure", "claims", "found", "Monte-Carlo error", "repeats", "verdict")
        return Sheet(self.title, columns, rows, self.note)

    def __repr__(self) -> str:
        return str(self.sheet())

    def _repr_html_(self) -> str:
        return self.sheet().to_html()


def false_positives(
    tests: int = 2_000,
    visitors: int = 20_000,
    *,
    seed: int = 1,
    executor: Executor | None = None,
    workers: int | None = None,
) -> Proof:
    """A/A: each test is a new world whose two arms are the same. How often is p below 0.05?"""
    world = signup_world(visitors=1)
    tasks = [(_same_arms, (world, visitors, seed * 1_000_003 + i)) for i in range(tests)]
    found = run_shards(tasks, "A/A tests", executor, workers)
    rates = [
        Rate(name, 0.05, float(np.mean([one[name] for one in found])), tests)
        for name in found[0]
        if not name.startswith("peeking") and "sequence" not in name
    ]
    for name in found[0]:
        if name.startswith("peeking"):
            rate = float(np.mean([one[name] for one in found]))
            rates.append(Rate(name, peeking_error(28), rate, tests))
        elif "sequence" in name:
            rate = float(np.mean([one[name] for one in found]))
            rates.append(Rate(name, 0.05, rate, tests, "at most"))
    return Proof(f"False positives, {tests:,} A/A tests of {visitors:,} visitors", tuple(rates))


def realised_power(
    world: SignupWorld,
    control: Arm,
    treatment: Arm,
    *,
    power: float = 0.8,
    repeats: int = 4_000,
    seed: int = 1,
) -> Proof:
    """Plan for the world's true effects, run at the planned size, count the experiments that show
    it: superiority and non-inferiority of shares, superiority of a mean.
    """
    a, b = world.outcomes(treatment), world.outcomes(control)
    rng, rates = np.random.default_rng(seed), []
    p_a, p_b = float(a["taken_over"].mean()), float(b["taken_over"].mean())
    n, m = superiority_sizes(p_a, p_b, power=power)
    x, y = rng.binomial(n, p_a, repeats), rng.binomial(m, p_b, repeats)
    test = difference_test(x, n, y, m)
    shown = (test.pvalue < 0.05) & (test.statistic * (p_a - p_b) > 0)
    planned = float(superiority_power(p_a, p_b, n, m))
    name = f"superiority, takeovers ({n:,} an arm)"
    rates.append(Rate(name, planned, float(shown.mean()), repeats, "at least"))
    p_a, p_b = float(a["signed_up"].mean()), float(b["signed_up"].mean())
    margin = max(p_b - p_a, 0.0) + 0.01
    n, m = noninferiority_sizes(p_a, p_b, margin, alpha=0.025, power=power)
    x, y = rng.binomial(n, p_a, repeats), rng.binomial(m, p_b, repeats)
    below = noninferiority_test(x, n, y, m, margin).pvalue < 0.025
    planned = float(noninferiority_power(p_a, p_b, n, m, margin, alpha=0.025))
    name = f"non-inferiority, sign-ups, margin {100 * margin:.1f} points ({n:,} an arm)"
    rates.append(Rate(name, planned, float(below.mean()), repeats))
    rates.append(_power_of_mean(a["tickets"], b["tickets"], power, min(repeats, 1_000), rng))
    note = (
        "Planned with the module `power` for the true effects of the world. Takeovers are few, "
        "where a normal approximation is rough: it must not promise too much."
    )
    return Proof("Realised against planned power", tuple(rates), note)


def optional_stopping(
    p: float = 0.4, visitors: int = 20_000, *, repeats: int = 20_000, seed: int = 1
) -> Proof:
    """False positives of stopping at the first look that allows it, in experiments without effect.

    Peeking claims what theory says it does.
    """
    rates = []
    for kind in _SPENDING:
        for looks in (4, 28):
            z = _paths(p, visitors, looks, repeats, seed)[0]
            crossed = (np.abs(z) >= boundaries(looks, kind=kind)).any(axis=1)
            rates.append(Rate(f"{kind}, {looks} looks", 0.05, float(crossed.mean()), repeats))
    z, value, error, n = _paths(p, visitors, 28, repeats, seed)
    low, high = confidence_sequence(value, n * error**2, n, tuning=visitors)
    outside = ((low > 0) | (high < 0)).any(axis=1)
    rates.append(
        Rate("confidence sequence, 28 looks", 0.05, float(outside.mean()), repeats, "at most")
    )
    many, found, _ = peeking_rates(p, visitors, repeats=repeats, seed=seed)
    for k, rate in zip(many.tolist(), found.tolist(), strict=True):
        rates.append(Rate(f"1.96 at each of {k} looks", peeking_error(k), rate, repeats))
    return Proof("False positives under optional stopping", tuple(rates))


def peeking_rates(
    p: float = 0.4,
    visitors: int = 20_000,
    looks: Sequence[int] = _LOOKS,
    *,
    repeats: int = 20_000,
    seed: int = 1,
) -> tuple[Array, Array, Array]:
    """What stopping at 1.96 really does: numbers of looks, simulated rates, Monte-Carlo errors."""
    found = [
        float((np.abs(_paths(p, visitors, k, repeats, seed)[0]) > 1.959964).any(axis=1).mean())
        for k in looks
    ]
    rates = np.array(found)
    return np.array(looks), rates, np.sqrt(rates * (1 - rates) / repeats)


def _paths(
    p: float, visitors: int, looks: int, repeats: int, seed: int
) -> tuple[Array, Array, Array, Array]:
    """z, effect, its standard error and visitors at each look, for experiments without effect."""
    rng = np.random.default_rng([seed, looks])
    each = max(visitors // 2 // looks, 2)
    n = each * np.arange(1.0, looks + 1)
    a, b = (rng.binomial(each, p, (repeats, looks)).cumsum(axis=1).astype(float) for _ in range(2))
    z = difference_statistic(a, n, b, n, np.zeros(1))
    shares = a / n, b / n
    error = np.sqrt(sum(s * (1 - s) / n for s in shares))
    return z, shares[0] - shares[1], error, np.broadcast_to(2 * n, z.shape)


def _same_arms(like: SignupWorld, visitors: int, seed: int) -> dict[str, bool]:
    """One A/A test: which procedures cry out."""
    world = like.redrawn(seed, visitors, workers=1)
    arm = Arm.forced("sms")
    run = world.experiment({"control": arm, "treatment": arm}, workers=1)
    experiment = signup_experiment()
    sample = Sample.of(run, "arm", "treatment", "control")
    found = {
        "sample ratio": float(sample_ratio_mismatch([sample.n_a, sample.n_b], [0.5, 0.5]).pvalue)
        < 0.05
    }
    for metric in experiment.metrics:
        if metric.name == "enrolment":  # the same as signing up where it is forced
            continue
        if metric.kind == "binary":  # the test of `estimate`, without its interval
            y_a, y_b = sample.values(metric)
            p = difference_test(y_a.sum(), len(y_a), y_b.sum(), len(y_b)).pvalue
            found[f"{metric.title}: score test"] = p < 0.05
        else:
            result = estimate(sample, metric)
            found[f"{metric.title}: {result.effect.method}"] = result.effect.pvalue < 0.05
    sign_ups = experiment.metric("sign_ups")
    for kind in _SPENDING:
        looks = look_at(sample, sign_ups, day="day", looks=4, planned=visitors, kind=kind)
        found[f"{kind}, 4 looks"] = looks.stopped is not None
    found["confidence sequence, daily"] = bool(((looks.low > 0) | (looks.high < 0)).any())
    found["peeking daily at 1.96"] = looks.first_naive_day is not None
    together = world.experiment({"control": arm, "treatment": arm}, by="cluster", workers=1)
    clusters = Sample.of(together, "arm", "treatment", "control", "cluster")
    result = estimate(clusters, sign_ups)
    found[f"by household, sign ups: {result.effect.method}"] = result.effect.pvalue < 0.05
    return found


def _power_of_mean(
    a: Array, b: Array, power: float, repeats: int, rng: np.random.Generator
) -> Rate:
    """Superiority of a mean, planned by the normal formula."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    gap, variance = a.mean() - b.mean(), a.var() + b.var()
    n = int(np.ceil((stats.norm.isf(0.025) + stats.norm.ppf(power)) ** 2 * variance / gap**2))
    shown = 0
    for _ in range(repeats):
        found = mean_difference(Moments.of(rng.choice(a, n)), Moments.of(rng.choice(b, n)))
        shown += bool(found.pvalue < 0.05 and found.value * gap > 0)
    planned = float(stats.norm.cdf(abs(gap) / np.sqrt(variance / n) - stats.norm.isf(0.025)))
    return Rate(f"superiority, tickets, Welch ({n:,} an arm)", planned, shown / repeats, repeats)
