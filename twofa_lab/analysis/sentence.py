"""The decision of a comparison, in one sentence made from its figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twofa_lab.sheet import money, percent

if TYPE_CHECKING:
    from twofa_lab.analysis.comparison import Comparison
    from twofa_lab.analysis.estimates import PolicyResult

__all__ = ["sentence_of"]


def sentence_of(study: Comparison) -> str:
    """Name the policy of the lowest total cost, and what it buys against the others.

    Where the paired interval of the cost against the runner-up covers zero, the sentence says that
    the two cannot be told apart.
    """
    ranked = sorted(study.results, key=lambda r: r.cost.total.value)
    best = ranked[0]
    text = (
        f"{_capital(best.name)} costs least here: {money(best.cost.total.value)} per 1,000 "
        f"legitimate logins; it asks {percent(best.challenge_rate.value, 1)} of them, loses "
        f"{percent(1.0 - best.conversion.value)} and lets {_takeovers(best)}"
    )
    others = [_beside(other) for other in ranked[1:]]
    if others:
        text += "; " + ", ".join(others)
    return text + _doubt(study, ranked) + "."


def _capital(name: str) -> str:
    return name[:1].upper() + name[1:]


def _takeovers(result: PolicyResult) -> str:
    if not result.attacks:
        return "nobody in (no attacker held a right password)"
    return f"{percent(result.takeover_rate.value, 0)} of attackers who hold the password in"


def _beside(other: PolicyResult) -> str:
    return (
        f"{other.name} costs {money(other.cost.total.value)}, loses "
        f"{percent(1.0 - other.conversion.value)} and lets "
        + (percent(other.takeover_rate.value, 0) if other.attacks else "nobody")
        + " in"
    )


def _doubt(study: Comparison, ranked: list[PolicyResult]) -> str:
    """Whether the best can be told from the runner-up."""
    if len(ranked) == 1:
        return ""
    names = {ranked[0].name, ranked[1].name}
    for pair in study.differences:
        if {pair.a, pair.b} == names and pair.cost.low <= 0.0 <= pair.cost.high:
            return f" (the costs of {ranked[0].name} and {ranked[1].name} cannot be told apart)"
    return ""
