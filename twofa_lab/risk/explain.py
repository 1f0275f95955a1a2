"""A decision in words: which signals fired, what each added, and what the policy made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twofa_lab.risk.policy import Policy
from twofa_lab.risk.rules import signal_names
from twofa_lab.risk.told import as_html, as_text

__all__ = ["Explanation", "explain_decision"]

_WORDS = {
    "new_device": "no completed login on this device in the last 30 days",
    "new_country": "never logged in from this country before",
    "new_region": "never logged in from this region before",
    "odd_hour": "an hour at which this account hardly ever logs in",
    "failed_burst": "several failed passwords in the last 30 minutes",
    "failed_attempt": "{failures} failed password(s) in the last 30 minutes",
}


@dataclass(frozen=True)
class Explanation:
    """Why one login was allowed, challenged or denied; renders itself.

    `points` maps each reason to what it added; `reasons` are the same in words, largest first;
    `outcome` is what came of it. `decision` is "none" where the login did not get that far.
    """

    login_id: int
    policy: str
    signals: tuple[str, ...]
    points: dict[str, float]
    score: float
    decision: str
    reasons: tuple[str, ...]
    outcome: str
    summary: str

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "login_id": self.login_id,
            "policy": self.policy,
            "signals": list(self.signals),
            "points": self.points,
            "score": self.score,
            "decision": self.decision,
            "reasons": list(self.reasons),
            "outcome": self.outcome,
            "summary": self.summary,
        }

    def __str__(self) -> str:
        return as_text(self.summary, self.reasons)

    def _repr_html_(self) -> str:
        return as_html(self.summary, self.reasons)


def explain_decision(
    login_id: int,
    policy: Policy,
    bits: int,
    failures: int,
    decision: str,
    trusted: bool,
    outcome: str,
    score: float | None = None,
    told: tuple[dict[str, float], tuple[str, ...]] | None = None,
) -> Explanation:
    """Put a decision into words. `bits` is the signal mask, `trusted` whether trust lifted a
    challenge. A fitted scorer hands over its `score`, and `told`: what each part added, and its
    reasons in words.

    >>> print(explain_decision(7, Policy.risk_based(), 0b01001, 0, "challenge", False, "verified"))
    risk-based challenged login 7: score 0.70 reaches 0.45; then verified
      - +0.50 new_device: no completed login on this device in the last 30 days
      - +0.20 odd_hour: an hour at which this account hardly ever logs in
    """
    if told is None:
        points = policy.points.contributions(bits, failures)
        ordered = sorted(points.items(), key=lambda item: -item[1])
        reasons = [f"+{p:.2f} {n}: {_WORDS[n].format(failures=failures)}" for n, p in ordered]
    else:
        points, reasons = told[0], list(told[1])
    score = policy.points.score(bits, failures) if score is None else score
    if trusted:
        reasons.append(f"-- trusted device: lifts challenges below {policy.trust_below}")
    return Explanation(
        login_id=login_id,
        policy=policy.name,
        signals=tuple(signal_names(bits)),
        points=points,
        score=score,
        decision=decision,
        reasons=tuple(reasons),
        outcome=outcome,
        summary=_summary(login_id, policy, score, decision, trusted, outcome),
    )


def _short(score: float) -> str:
    """Two decimals, more where a probability is small."""
    return f"{score:.2f}" if score >= 0.1 or score == 0.0 else f"{score:.2g}"


def _summary(
    login_id: int, policy: Policy, score: float, decision: str, trusted: bool, outcome: str
) -> str:
    if decision == "none":
        return f"{policy.name} did not score login {login_id}: it ended as {outcome}"
    if decision == "deny":
        return (
            f"{policy.name} denied login {login_id}: score {_short(score)} reaches {policy.deny_at}"
        )
    if decision == "challenge":
        return (
            f"{policy.name} challenged login {login_id}: score {_short(score)} reaches "
            f"{policy.challenge_at}; then {outcome}"
        )
    if trusted:
        return f"{policy.name} allowed login {login_id}: score {_short(score)}, on a trusted device"
    limit = "it never asks" if policy.challenge_at is None else f"below {policy.challenge_at}"
    return f"{policy.name} allowed login {login_id}: score {_short(score)}, {limit}"
