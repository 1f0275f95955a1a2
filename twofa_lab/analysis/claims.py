"""The guide's answers on conversion, as claims this workbench tests.

Source: the integration guide this project started from, its FAQ on the conversion impact of 2FA.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from twofa_lab.analysis.estimates import Estimate, PolicyResult
from twofa_lab.sheet import Sheet, interval, number, percent

__all__ = ["Claim", "claims_of", "claims_sheet"]


@dataclass(frozen=True)
class Claim:
    """What the guide says, what was found here, and whether they agree.

    `low` and `high` bound what is claimed; `rests_on` names what the answer depends on most.
    """

    question: str
    claimed: str
    low: float
    high: float
    found: Estimate
    unit: str
    rests_on: str

    @property
    def holds(self) -> bool:
        """Whether the figure found lies in the claimed range."""
        return self.low <= self.found.value <= self.high

    @property
    def clear(self) -> bool:
        """Whether the whole interval lies on one side of the claim's ends."""
        ends = (self.low, self.high)
        return not any(self.found.low < end < self.found.high for end in ends)

    @property
    def verdict(self) -> str:
        """In words, honest about the interval."""
        if math.isnan(self.found.value):
            return "not seen here"
        if not self.clear:
            return "too close to call"
        if self.holds:
            return "holds here"
        return (
            "does not hold here: lower"
            if self.found.value < self.low
            else ("does not hold here: higher")
        )


def claims_of(results: Sequence[PolicyResult]) -> tuple[Claim, ...]:
    """Test the guide's claims on the built-in policies among the results."""
    by_name = {result.name: result for result in results}
    found: list[Claim] = []
    risk, universal = by_name.get("risk-based"), by_name.get("universal")
    if risk:
        found += [
            Claim(
                "Legitimate logins challenged under risk-based step-up",
                "under 5 %", 0.0, 0.05, risk.challenge_rate, "%",
                "how often people log in (a device unseen for 30 days is new), cookies lost",
            ),
            Claim(
                "Conversion lost under risk-based step-up",
                "near zero (taken as under 1 %)", 0.0, 0.01, _lost(risk), "%",
                "the challenge rate, phones out of reach, patience",
            ),
        ]  # fmt: skip
    if universal:
        rests_on = "phones out of reach, patience, delivery"
        what = "Conversion lost under universal 2FA"
        found.append(Claim(what, "5 to 15 %", 0.05, 0.15, _lost(universal), "%", rests_on))
    asked = risk or universal
    if asked:
        low, median, high = asked.friction
        what = f"Seconds at a completed challenge ({asked.name}; median, 10th to 90th percentile)"
        rests_on = "time to read and type a code, delivery"
        found.append(
            Claim(what, "10 to 30 s", 10.0, 30.0, Estimate(median, low, high), "s", rests_on)
        )
    return tuple(found)


def _lost(result: PolicyResult) -> Estimate:
    kept = result.conversion
    return Estimate(1.0 - kept.value, 1.0 - kept.high, 1.0 - kept.low)


def claims_sheet(claims: Sequence[Claim], note: str) -> Sheet:
    """The claims as a table: claimed, found, verdict, and the assumptions each rests on."""
    rows = []
    for claim in claims:
        if claim.unit == "%":
            ends = interval(percent(claim.found.low), percent(claim.found.high))
            value = percent(claim.found.value)
        else:
            ends = interval(number(claim.found.low, 1), number(claim.found.high, 1)) + " s"
            value = number(claim.found.value, 1) + " s"
        verdict = claim.verdict
        if claim.unit == "s" and not math.isnan(
            claim.found.value
        ):  # the range given is of people, not of uncertainty
            verdict = "holds here" if claim.holds else "does not hold here"
        rows.append((claim.question, claim.claimed, value, ends, verdict, claim.rests_on))
    columns = ("claim of the guide", "claimed", "found", "range", "verdict", "rests on")
    return Sheet("Does the guide hold?", columns, tuple(rows), note, prose=True)
