"""A tuned policy as a file for a review: what it does, and above it where its figures come from."""

from __future__ import annotations

import hashlib
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from twofa_lab.analysis.thresholds_sweep import budget_word, fitted_words
from twofa_lab.errors import WorkError
from twofa_lab.sheet import interval, money, percent

if TYPE_CHECKING:
    from twofa_lab.analysis.thresholds import Tuning
    from twofa_lab.risk.policy import Policy
    from twofa_lab.traffic.scenario import Costs

__all__ = ["provenance_of", "write_policy"]

_VERSIONS = ("twofa-lab", "numpy", "numba", "scikit-learn")


def provenance_of(tuning: Tuning, day: date) -> dict[str, str]:
    """Where the chosen threshold comes from, for people: key to one line of text."""
    p, facts = tuning.point, tuning.facts
    r = p.result
    ends = interval(percent(r.challenge_rate.low), percent(r.challenge_rate.high))
    stopped = interval(percent(p.stopped.low, 1), percent(p.stopped.high, 1))
    budget = "none" if tuning.budget is None else (
        f"at most {budget_word(tuning.budget)} of legitimate logins challenged, with "
        f"{percent(tuning.confidence, 0)} confidence (p {p.pvalue:.2g})"
    )  # fmt: skip
    return {
        "tuned on": day.isoformat(),
        "data": f"{facts.name}, seed {facts.seed}, {facts.users:,} accounts, {facts.days} days",
        "data fingerprint": facts.fingerprint,
        "people": facts.human_side,
        "scorer": _scorer(tuning.policy),
        **({"fitted on": words} if (words := fitted_words(tuning.policy, facts)) else {}),
        "versions": ", ".join(f"{name} {version(name)}" for name in _VERSIONS),
        "budget": budget,
        "chosen for": "least cost" if tuning.cheapest else "fewest takeovers within the budget",
        "prices": f"{_messages(tuning.costs)}, support {money(tuning.costs.support_ticket)} by "
        f"{tuning.costs.tickets_per_lost_login:g} tickets a lost login, "
        f"lost login {money(tuning.costs.lost_login)}, takeover {money(tuning.costs.takeover)}",
        "challenged": f"{percent(r.challenge_rate.value)} ({ends})",
        "scores as logged promised": f"{percent(p.open_rate)} under {tuning.logged_under.name}",
        "takeovers stopped": f"{percent(p.stopped.value, 1)} ({stopped}) of {r.attacks:,} attacks "
        "with the right password",
        "logins lost": percent(1.0 - r.conversion.value),
        "cost": f"{money(r.cost.total.value)} per 1,000 legitimate logins",
    }


def _scorer(policy: Policy) -> str:
    """The scorer, and which file's bytes it is."""
    if policy.model is None:
        return policy.scorer
    model = Path(policy.model)
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    return f"{policy.scorer} ({model.name}, SHA-256 {digest[:16]}...)"


def _messages(costs: Costs) -> str:
    """What a message costs, by channel."""
    told = ", ".join(f"{channel} {money(price, 4)}" for channel, price in costs.message.items())
    countries = ", ".join(sorted(costs.message_by_country))
    return told + (f" (other prices in {countries})" if countries else "")


def write_policy(tuning: Tuning, path: str | Path, day: date) -> Path:
    """Write the chosen policy with its provenance as comments on top; returns the path.

    `WorkError` where no threshold satisfies the budget, or where the file cannot be written.
    """
    lines = [
        f"# {key}: {' '.join(text.split())}" for key, text in provenance_of(tuning, day).items()
    ]
    target = tuning.best.save(path)
    try:
        content = target.read_text(encoding="utf-8")
        target.write_text("\n".join([*lines, content]), encoding="utf-8")
    except OSError as error:
        raise WorkError(f"{target}: {error.strerror or error}") from None
    return target
