"""The headline figures of every shipped scenario, as the baseline freezes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import twofa_lab as lab

FROZEN = Path(__file__).with_name("headline.json")
USERS, DAYS, SEED = 4000, 60, 7


def headline(scenario: str) -> dict[str, Any]:
    """Counts and figures of the three built-in policies on one scenario."""
    study = lab.compare(lab.simulate(scenario, users=USERS, days=DAYS, seed=SEED))
    found: dict[str, Any] = {"logins": study.facts.logins, "attacks": study.facts.attacks}
    for result in study.results:
        found[result.name] = {
            "legitimate": result.legitimate,
            "challenge_rate": result.challenge_rate.value,
            "conversion": result.conversion.value,
            "conversion_ci": [result.conversion.low, result.conversion.high],
            "friction_seconds": list(result.friction),
            "cost_per_1000_usd": result.cost.total.value,
            "lost": result.lost,
            "takeovers": result.takeovers,
            "right_password_attacks": result.attacks,
        }
    return found


def frozen() -> dict[str, Any]:
    """The figures as they were last refreshed on purpose."""
    content: dict[str, Any] = json.loads(FROZEN.read_text(encoding="utf-8"))
    return content
