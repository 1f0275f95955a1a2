"""A contest's figures beside those of others: each with its source named."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from twofa_lab.analysis.estimates import Estimate
from twofa_lab.catalog.rba_results import (
    BENCHMARK,
    BENCHMARK_SOURCE,
    LOGINS,
    MEDIANS,
    MEDIANS_SOURCE,
    Ranked,
)
from twofa_lab.sheet import Sheet, percent

if TYPE_CHECKING:
    from twofa_lab.analysis.contest import Contest

__all__ = ["OURS", "benchmark_sheet", "medians_sheet"]

OURS = {
    "Freeman": "freeman",
    "isolation forest": "anomaly",
    "LightGBM on simulated attackers": "unconstrained",
    "tuned rules": "rules, fitted",
}
"""Which of our entrants stands beside which scorer of the benchmark: the nearest in kind."""


def medians_sheet(contest: Contest) -> Sheet:
    """Median re-authentications after so many logins: the authors' and ours with Freeman's scorer.

    Ours are of other people at another service; what can be compared is the shape.
    """
    rows = []
    ours = contest.medians.get("freeman", {})
    for model, shares in MEDIANS.items():
        for share, theirs in shares.items():
            told = "/".join("-" if n is None else str(n) for n in theirs)
            own = "/".join(map(_count, ours[model][share])) if model in ours else "n/a"
            rows.append((f"{model}, {percent(share)} stopped", told, own))
    after = "/".join(map(str, LOGINS))
    return Sheet(
        f"Freeman: median re-authentications after {after} logins",
        ("attacker", "authors'", f"ours, {contest.facts.name}"),
        tuple(rows),
        f"authors': {MEDIANS_SOURCE}. Ours: held-out accounts of this contest",
    )


def _count(found: Estimate) -> str:
    return "-" if math.isnan(found.value) else f"{found.value:g}"


def benchmark_sheet(contest: Contest) -> Sheet:
    """Area, share caught at 1 % challenges, and challenges to catch 90 %: theirs and ours."""
    rows = []
    for scorer, attackers in BENCHMARK.items():
        mine = OURS[scorer]
        for attacker, theirs in attackers.items():
            known = "reported" if attacker == "real takeovers" else f"model: {attacker}"
            mark = contest.marks.get(mine, {}).get(known)
            own = "n/a"
            if mark is not None:
                values = (mark.area.value, mark.caught.value, mark.challenged.value)
                own = _ranked(Ranked(*values))
            rows.append((f"{scorer}, {attacker}", _ranked(theirs), own, mine))
    goals = contest.goals
    return Sheet(
        f"Area / caught at {percent(goals.budget, 0)} challenges / challenged to catch "
        f"{percent(goals.recall, 0)}",
        ("scorer, attacker", "theirs", f"ours, {contest.facts.name}", "our entrant"),
        tuple(rows),
        f"theirs: {BENCHMARK_SOURCE}. Ours: this contest, other people and other attackers",
    )


def _ranked(found: Ranked) -> str:
    def told(share: float | None) -> str:
        return "-" if share is None else percent(share, 1)

    return f"{found.area:.3f} / {told(found.caught)} / {told(found.challenged)}"
