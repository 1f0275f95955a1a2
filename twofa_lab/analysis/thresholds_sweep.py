"""One world under many thresholds: scores as logged once, and a closed-loop replay at each."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from twofa_lab.analysis.curve import Curve, curve
from twofa_lab.analysis.estimates import PolicyResult, result_of
from twofa_lab.analysis.guarantee import Evidence, evidence, pvalues
from twofa_lab.analysis.totals import SUMS, Totals, total_of, totals_and_values
from twofa_lab.errors import InputError
from twofa_lab.replay.loop import NO_DECISION
from twofa_lab.replay.run import Prepared, needed, prepare, ready_for, replay_prepared
from twofa_lab.risk.model_file import scorer_of
from twofa_lab.risk.policy import Policy
from twofa_lab.risk.signals import SignalRules
from twofa_lab.tables import Array
from twofa_lab.traffic.shards import run_shards
from twofa_lab.traffic.world import ShardSource, World, WorldFacts

__all__ = [
    "Swept",
    "at_threshold",
    "budget_word",
    "counted",
    "fitted_words",
    "logged_curve",
    "operating_grid",
    "sweep",
    "threshold_word",
]

_AT_ONCE = 16  # policies whose account sums are held in memory together
_LEGITIMATE, _CHALLENGED = SUMS.index("legitimate"), SUMS.index("challenged")


@dataclass(frozen=True, repr=False)
class Swept:
    """A replay at each threshold, the highest first: figures, and the p-value of "its challenge
    rate exceeds the budget" (NaN without a budget). `cut`: challenges that the guarantee leaves
    out, since they fell on accounts challenged beyond the cap (`guarantee`).
    """

    results: tuple[PolicyResult, ...]
    pvalue: Array
    cut: Array


def at_threshold(policy: Policy, threshold: float | None) -> Policy:
    """The policy with another threshold; None: it never asks.

    >>> at_threshold(Policy.risk_based(), 0.6).name
    'risk-based at 0.6'
    """
    name = f"{policy.name[:60]} at {threshold_word(threshold)}"
    return policy.model_copy(update={"challenge_at": threshold, "name": name})


def threshold_word(threshold: float | None) -> str:
    """A threshold as people read it.

    >>> threshold_word(0.45), threshold_word(None)
    ('0.45', 'never')
    """
    return "never" if threshold is None else f"{threshold:.6g}"


def budget_word(budget: float) -> str:
    """A budget as it was given.

    >>> budget_word(0.0001), budget_word(0.05)
    ('0.01 %', '5 %')
    """
    return f"{100 * budget:.6g} %"


def fitted_words(policy: Policy, facts: WorldFacts) -> str:
    """What the policy's scorer was fitted on, and whether that flatters it in this world; empty for
    the rules.
    """
    scorer = scorer_of(policy)
    if scorer is None or scorer.card is None:
        return ""
    data = scorer.card.data
    theirs, ours = data["fingerprint"], facts.fingerprint
    text = f"Scorer fitted on {data['users']:,} accounts of {data['world']}"
    if ours == theirs or ours.startswith(f"{theirs}-"):
        return f"{text}, these very ones: that flatters it, and the guarantee does not hold for it."
    if theirs.startswith(f"{ours}-"):
        return (
            f"{text} ({theirs}), which are among these: that flatters it, and the guarantee does "
            "not hold for it."
        )
    return f"{text} ({theirs}), none of these."


def counted(prepared: Prepared, facts: WorldFacts) -> Array:
    """Rows that rates are of: inside the window, no sign-up, the right password."""
    rows = prepared.rows
    return (rows.time >= facts.window[0]) & ~rows.signup & rows.password_ok


def logged_curve(
    world: World,
    policy: Policy,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: bool | None = None,
) -> Curve:
    """The open-loop curve of the scores that one policy would log."""
    source = ready_for(world, [policy]).source
    tasks = [(_log, (source, i, world.facts, policy)) for i in range(len(source))]
    parts = run_shards(tasks, "scores as logged", executor, workers, progress)
    score, attack = (np.concatenate([part[i] for part in parts]) for i in range(2))
    if attack.all():
        raise InputError(
            "no legitimate login with the right password counts in this world, so there is nothing "
            "to tune: take more users or days"
        )
    return curve(score, attack)


def _log(source: ShardSource, index: int, facts: WorldFacts, policy: Policy) -> tuple[Array, Array]:
    prepared = prepare(source.load(index, needed([policy])), facts)
    written = replay_prepared(prepared, facts, policy, SignalRules())
    score = np.where(written["decision"] == NO_DECISION, np.nan, written["score"])
    rows = counted(prepared, facts)
    return score[rows], prepared.rows.attack[rows] != 0


def operating_grid(open_loop: Curve, points: int, highest: float) -> list[float]:
    """At most so many thresholds up to `highest`, falling: each distinct score where those are few,
    else scores at challenge rates from 0.1 % (or what `highest` challenges) to all, evenly in
    their logarithms.
    """
    within = open_loop.threshold <= highest
    scores, rate = open_loop.threshold[within], open_loop.challenge_rate[within]
    if len(scores) > points:
        rates = np.geomspace(max(1e-3, float(rate[0])), 1.0, points)
        at = np.searchsorted(rate, rates, side="right") - 1
        scores = np.unique(scores[np.maximum(at, 0)])[::-1]
    return [float(score) for score in scores]


def sweep(
    world: World,
    policies: list[Policy],
    budget: float | None,
    cap: float,
    replicates: int,
    salt: int,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: bool | None = None,
) -> Swept:
    """Play every policy over the world, each shard laid out once for all of them."""
    source = ready_for(world, policies).source
    tasks = [
        (_sweep, (source, i, world.facts, policies, budget, cap, replicates, salt))
        for i in range(len(source))
    ]
    parts = run_shards(tasks, f"replaying {len(policies)} policies", executor, workers, progress)
    results = tuple(
        result_of(policy, total_of([part[0][i] for part in parts]), world.facts.costs)
        for i, policy in enumerate(policies)
    )
    if budget is None:
        return Swept(results, np.full(len(policies), np.nan), np.zeros(len(policies)))
    wealth, cut = (np.sum([part[i] for part in parts], axis=0) for i in (1, 2))
    return Swept(results, pvalues(wealth), cut)


def _sweep(
    source: ShardSource,
    index: int,
    facts: WorldFacts,
    policies: list[Policy],
    budget: float | None,
    cap: float,
    replicates: int,
    salt: int,
) -> tuple[list[Totals], Array, Array]:
    shard = source.load(index, needed(policies))
    prepared, users = prepare(shard, facts), shard.people["user_id"]
    totals: list[Totals] = []
    told: list[Evidence] = []
    for first in range(0, len(policies), _AT_ONCE):
        some = policies[first : first + _AT_ONCE]
        found, values = totals_and_values(prepared, users, facts, some, replicates, salt)
        totals += found
        if budget is not None:
            asked, logins = values[:, :, _CHALLENGED], values[0, :, _LEGITIMATE]
            told.append(evidence(asked, logins, budget, cap))
    if not told:
        return totals, np.empty(0), np.empty(0)
    wealth, cut = map(np.concatenate, zip(*told, strict=True))
    return totals, wealth, cut
