"""How often intervals hold the truth: samples of a sign-up world, whose true effects are known.

Visitors are drawn with replacement, which makes the world's effect the true one of the draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor

import numpy as np
from scipy import stats

from twofa_lab.analysis.experiment_data import Metric, Sample
from twofa_lab.analysis.experiment_estimates import exact_ratio, measure
from twofa_lab.analysis.experiment_looks import look_at
from twofa_lab.analysis.experiment_proof import Proof, Rate
from twofa_lab.analysis.experiments import signup_experiment
from twofa_lab.analysis.proportions import exact_interval
from twofa_lab.tables import Array
from twofa_lab.traffic.shards import run_shards
from twofa_lab.traffic.signup import Arm, SignupTable, SignupWorld

__all__ = ["coverage", "exact_coverage"]


def coverage(
    world: SignupWorld,
    control: Arm,
    treatment: Arm,
    *,
    repeats: int = 1_000,
    visitors: int = 20_000,
    seed: int = 1,
    replicates: int = 200,
    executor: Executor | None = None,
    workers: int | None = None,
) -> Proof:
    """How often each method's 95 % interval holds the true effect, in samples of a world.

    Households are drawn whole, `visitors` of them in all, half for each arm, for the cluster
    methods; single visitors for the others.
    """
    tables = world.outcomes(treatment), world.outcomes(control)
    metrics = [m for m in signup_experiment().metrics if m.name != "enrolment"]
    truths = {m.name: _truth(m, *tables) for m in metrics}
    tasks = [
        (_covers, (tables, metrics, truths, visitors, [seed, i], replicates))
        for i in range(repeats)
    ]
    found = run_shards(tasks, "coverage", executor, workers)
    rates = tuple(
        Rate(name, 0.95, float(np.mean([one[name] for one in found])), repeats,
             "at least" if "sequence" in name or "exact" in name else "equal")
        for name in found[0]
    )  # fmt: skip
    title = f"Coverage of 95 % intervals, {repeats:,} samples of {visitors:,} visitors"
    return Proof(title, rates)


def exact_coverage(p_a: float = 0.3, p_b: float = 0.1, n_a: int = 12, n_b: int = 10) -> Proof:
    """Coverage of the interval for small arms, over all tables that can occur."""
    chances = np.outer(
        stats.binom.pmf(np.arange(n_a + 1), n_a, p_a), stats.binom.pmf(np.arange(n_b + 1), n_b, p_b)
    )
    held = 0.0
    for (a, b), chance in np.ndenumerate(chances):
        low, high = exact_interval(a, n_a, b, n_b)
        held += float(chance) * (low - 1e-9 <= p_a - p_b <= high + 1e-9)
    title = f"Coverage of the exact interval, arms of {n_a} and {n_b}"
    return Proof(title, (Rate(f"exact, {p_a:g} against {p_b:g}", 0.95, held, 0, "at least"),))


def _truth(metric: Metric, a: SignupTable, b: SignupTable) -> tuple[float, float]:
    """The true difference and ratio."""
    values = []
    for table in (a, b):
        bottom = table[metric.per].sum() if metric.per else table.visitors
        values.append(float(table[metric.column].sum(dtype=np.float64) / bottom))
    return values[0] - values[1], values[0] / values[1]


def _covers(
    tables: tuple[SignupTable, SignupTable],
    metrics: Sequence[Metric],
    truths: dict[str, tuple[float, float]],
    visitors: int,
    seed: list[int],
    replicates: int,
) -> dict[str, bool]:
    """One sample: which intervals hold the truth."""
    rng, found = np.random.default_rng(seed), {}
    half = visitors // 2
    rows = [rng.integers(0, t.visitors, half) for t in tables]
    sample = _joined(tables, metrics, rows)
    for metric in metrics:
        difference, ratio = truths[metric.name]
        for effect in measure(sample, metric, rng).methods:
            truth = ratio if effect.of_ratio else difference
            found[f"{metric.title}: {effect.method}"] = effect.low <= truth <= effect.high
    for metric in metrics[:2]:
        looks = look_at(
            sample, metric, day="day", looks=4, planned=visitors, kind="lan-demets-obrien-fleming"
        )
        truth = truths[metric.name][0]
        covered = not bool(((looks.low > truth) | (looks.high < truth)).any())
        found[f"{metric.title}: confidence sequence, all days"] = covered
    found["rare events, 4 against 9 of 10,000: ratio, exact"] = _rare(rng)
    whole = [_draw_clusters(table, half, rng) for table in tables]
    clusters = _joined(tables, metrics, [w[0] for w in whole], [w[1] for w in whole])
    for metric in [m for m in metrics if m.role == "guardrail" or m.kind == "ratio"]:
        for effect in measure(clusters, metric, rng, replicates).methods:
            if effect.method.startswith("clusters"):
                truth = truths[metric.name][0]
                found[f"{metric.title}: {effect.method}"] = effect.low <= truth <= effect.high
    return found


def _rare(rng: np.random.Generator) -> bool:
    a, b = rng.binomial(10_000, (0.0004, 0.0009))
    low, high, _ = exact_ratio(int(a), 10_000, int(b), 10_000)
    return bool(low <= 4 / 9 <= high)


def _joined(
    tables: tuple[SignupTable, SignupTable],
    metrics: Sequence[Metric],
    rows: Sequence[Array],
    clusters: Sequence[Array] | None = None,
) -> Sample:
    """Rows of the treatment's and the control's world, as one sample."""
    names = {"day", *(name for m in metrics for name in (m.column, m.per, m.covariate) if name)}
    table = {
        name: np.concatenate([t[name][r] for t, r in zip(tables, rows, strict=True)])
        for name in names
    }
    n = len(rows[0])
    if clusters is not None:
        table["cluster"] = np.concatenate(clusters)
    return Sample(
        table, np.arange(n), np.arange(n, n + len(rows[1])), "cluster" if clusters else ""
    )


def _draw_clusters(
    table: SignupTable, visitors: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Rows of clusters drawn with replacement, about so many visitors, and their new numbers."""
    _, starts, sizes = np.unique(table["cluster"], return_index=True, return_counts=True)
    picked = rng.integers(0, len(starts), round(visitors / sizes.mean()))
    many = sizes[picked]
    number_of = np.repeat(np.arange(len(picked)), many)
    within = np.arange(many.sum()) - np.repeat(many.cumsum() - many, many)
    return starts[picked][number_of] + within, number_of
