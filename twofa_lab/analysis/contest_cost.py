"""What the scorers of a contest cost, each as the policy that challenges within a budget.

Closed loop: every policy is replayed over all accounts, and what comes after the contest's cut is
counted. The threshold is the contest's, read off the open loop; how many challenges it makes of
people in the closed loop is shown beside. No device is trusted, so that the score alone decides.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from twofa_lab.analysis.contest_entrants import ScoresTables
from twofa_lab.analysis.estimates import PolicyResult
from twofa_lab.analysis.thresholds_sweep import sweep
from twofa_lab.risk.freeman_model import Freeman
from twofa_lab.risk.learned import Learned
from twofa_lab.risk.model_file import save_scorer
from twofa_lab.risk.policy import Policy
from twofa_lab.risk.rule_scorer import RuleScorer
from twofa_lab.traffic.world import World

__all__ = ["costs_of"]

_SALT = 20_260_105  # of the bootstrap weights: that of a comparison, so that intervals agree


def costs_of(
    world: World,
    cut: int,
    scorers: Mapping[str, ScoresTables],
    thresholds: Mapping[str, float],
    *,
    replicates: int,
    progress: bool | None = None,
) -> tuple[PolicyResult, ...]:
    """The scorers that a policy can go by, password-only and universal beside them. Counted from
    `cut` (ms) on. Empty for a world without people, in which nothing has a cost.
    """
    if not world.has_people:
        return ()
    late = replace(world, facts=replace(world.facts, window=(cut, world.facts.window[1])))
    with tempfile.TemporaryDirectory() as folder:
        policies = [Policy.password_only(), Policy.universal()]
        for at, (name, scorer) in enumerate(scorers.items()):
            policy = _policy(name, scorer, thresholds[name], Path(folder, f"{at}.skops"))
            policies += [policy] if policy else []
        found = sweep(late, policies, None, 1.0, replicates, _SALT, progress=progress)
    return found.results


def _policy(name: str, scorer: ScoresTables, threshold: float, path: Path) -> Policy | None:
    """The policy that challenges at a score; None where no policy goes by such a scorer."""
    plain = Policy(name=name, trust_device_days=None)
    if isinstance(scorer, RuleScorer):
        return plain.model_copy(update={"points": scorer.points, "challenge_at": _asks(threshold)})
    if not isinstance(scorer, Freeman | Learned):
        return None
    save_scorer(scorer, path)
    kind = "freeman" if isinstance(scorer, Freeman) else "learned"
    risk = threshold
    if kind == "freeman" and math.isfinite(threshold):
        risk = threshold / (1.0 + threshold)  # what the loop sees (`freeman_loop`)
    return plain.model_copy(
        update={"scorer": kind, "model": str(path), "challenge_at": _asks(risk)}
    )


def _asks(threshold: float) -> float | None:
    return threshold if math.isfinite(threshold) else None
