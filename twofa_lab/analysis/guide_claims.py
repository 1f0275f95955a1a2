"""Every number of the guide beside the simulation's answer, with assumptions moved, and a verdict.

Source of the claims: the integration guide this project started from. Some of its numbers are also
parameters here, for want of a better source; then the answer says so, since what was put in comes
out again. Numbers that no simulation answers are listed apart, with what the package does.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from twofa_lab.analysis.claims import Claim
from twofa_lab.analysis.estimates import Estimate
from twofa_lab.errors import InputError
from twofa_lab.sheet import Sheet, interval, money, number, percent

if TYPE_CHECKING:
    from twofa_lab.analysis.picture import Figure

__all__ = ["UNANSWERED", "Answer", "GuideClaims", "guide_claims"]

UNANSWERED: tuple[tuple[str, str, str], ...] = (
    ("integration takes", "hours, a single sprint", "no behaviour of people to simulate"),
    ("recovery codes", "8 to 10", "a default here: 10 (factors.recovery_codes)"),
    ("audit kept", "4 years", "a default here: 4 years (audit prune)"),
    ("checklist", "12 items", "see the README's table of them"),
    ("failed passwords counted", "for 30 minutes", "a default here (risk.signals)"),
)
"""Numbers of the guide that no simulation answers: what, how many, and why not."""


@dataclass(frozen=True)
class Answer:
    """A claim, what was found, and what is found where an assumption is moved.

    `moved`: the figure by the change made. `source`: where the answer comes from, or that the
    guide's own number went in.
    """

    claim: Claim
    moved: Mapping[str, float]
    source: str

    def _holds(self, value: float) -> bool:
        return bool(self.claim.low <= value <= self.claim.high)

    @property
    def kept(self) -> int:
        """In how many of the moved cases the claim holds."""
        return sum(map(self._holds, self.moved.values()))

    @property
    def range(self) -> tuple[float, float]:
        """The least and the most that was found, as it is or moved."""
        values = [v for v in (self.claim.found.value, *self.moved.values()) if not np.isnan(v)]
        return (min(values), max(values)) if values else (np.nan, np.nan)

    @property
    def verdict(self) -> str:
        """What the figure says, and whether it still does where assumptions move."""
        base = self.claim.verdict
        if not self.moved:
            return base
        agreeing = self.kept if self.claim.holds else len(self.moved) - self.kept
        if agreeing == len(self.moved) and not base.startswith("too close"):
            return f"{base}, whatever was moved"
        return f"{base}; holds in {self.kept} of {len(self.moved)} moved cases"


@dataclass(frozen=True, repr=False)
class GuideClaims:
    """Claims and answers; renders itself."""

    answers: tuple[Answer, ...]
    note: str

    def __getitem__(self, question: str) -> Answer:
        for answer in self.answers:
            if answer.claim.question == question:
                return answer
        known = "; ".join(answer.claim.question for answer in self.answers)
        raise InputError(f"no claim {question!r}: use one of {known}")

    def table(self) -> Sheet:
        """One row a claim."""
        rows = []
        for answer in self.answers:
            claim = answer.claim
            low, high = (_text(v, claim.unit) for v in (claim.found.low, claim.found.high))
            least, most = (_text(v, claim.unit) for v in answer.range)
            rows.append((
                claim.question, claim.claimed, _text(claim.found.value, claim.unit),
                interval(low, high), interval(least, most) if answer.moved else "not moved",
                answer.verdict, claim.rests_on,
            ))  # fmt: skip
        columns = (
            "the guide says of", "claimed", "found", "95 % interval", "with assumptions moved",
            "verdict", "rests on",
        )  # fmt: skip
        return Sheet("Does the guide hold?", columns, tuple(rows), self.note, prose=True)

    def moved_table(self, question: str) -> Sheet:
        """What is found for one claim as each assumption moves."""
        answer = self[question]
        claim = answer.claim
        cases = {"as it is": claim.found.value, **answer.moved}
        rows = [
            (
                name,
                _text(value, claim.unit),
                "yes" if claim.low <= value <= claim.high else "no",
            )
            for name, value in cases.items()
        ]
        title = f"{question}: {claim.claimed}"
        return Sheet(title, ("assumption moved", "found", "holds"), tuple(rows), answer.source)

    def sources(self) -> Sheet:
        """Where each answer comes from."""
        rows = tuple((a.claim.question, a.source) for a in self.answers)
        return Sheet("Where the answers come from", ("claim", "answered by"), rows, prose=True)

    def unanswered(self) -> Sheet:
        """The guide's numbers that no simulation answers."""
        columns = ("the guide says of", "claimed", "here")
        return Sheet("Not for a simulation", columns, UNANSWERED, prose=True)

    def sentence(self) -> str:
        """How many claims hold, and how many of those whatever is moved."""
        held = [a for a in self.answers if a.claim.verdict == "holds here"]
        firm = [a for a in held if a.kept == len(a.moved)]
        failed = [a for a in self.answers if a.claim.verdict.startswith("does not hold")]
        told = "; ".join(f"{a.claim.question.lower()} ({a.claim.claimed})" for a in failed)
        return (
            f"{len(held)} of the guide's {len(self.answers)} numbers hold here, {len(firm)} of "
            f"them whatever was moved; {len(failed)} do not" + (f": {told}." if failed else ".")
        )

    def plot(self) -> Figure:
        """Claimed ranges of shares, what was found and how far it moves."""
        from twofa_lab.analysis.guide_claims_figure import plot_claims

        return plot_claims(self)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            a.claim.question: {
                "claimed": a.claim.claimed,
                "found": a.claim.found.value if np.isfinite(a.claim.found.value) else None,
                "verdict": a.verdict,
                "moved": {n: v for n, v in a.moved.items() if np.isfinite(v)},
            }
            for a in self.answers
        }

    def __repr__(self) -> str:
        return f"{self.table()}\n{self.sentence()}"

    def _repr_html_(self) -> str:
        return f"<p><b>{html.escape(self.sentence())}</b></p>{self.table().to_html()}"


def guide_claims(users: int = 1_500, days: int = 45, seed: int = 7) -> GuideClaims:
    """Measure every claim anew, on small worlds: `users` accounts over `days` for what concerns
    logins, as many sign-ups and accounts for what concerns enrolment.
    """
    from twofa_lab.analysis import guide_measures as measure

    if users < 500 or days < 30:
        raise InputError("the claims need 500 users and 30 days or more to be measured on")
    answers = (
        *measure.conversion(users, days, seed),
        measure.four_signals(users, days, seed),
        *measure.rules_as_told(users, days, seed),
        measure.fallback(users, days, seed),
        measure.message_price(users, days, seed),
        measure.guessing(),
        *measure.signup(10 * users, seed),
        *measure.enrolling(users, seed),
    )
    note = (
        f"Simulated, seed {seed}: {users:,} accounts over {days} days (small, so that a notebook "
        "runs at once). Intervals: bootstrap over accounts; they speak of the draw, the moved "
        "assumptions of what nobody knows."
    )
    return GuideClaims(answers, note)


def _text(value: float, unit: str) -> str:
    if np.isnan(value):
        return "n/a"
    if unit == "%":
        return percent(value, 1) if value >= 0.001 else percent(value, 5)
    if unit == "US$":
        return money(value, 4)
    if np.isinf(value):
        return "never"
    if unit == "times":
        return number(value, 2)
    return f"{number(value, 0 if unit == 'days' else 1)} {unit}".strip()


def claim(
    question: str,
    claimed: str,
    ends: tuple[float, float],
    found: float | Estimate,
    unit: str,
    rests_on: str,
) -> Claim:
    """A claim whose figure may have no interval."""
    known = found if isinstance(found, Estimate) else Estimate(found, np.nan, np.nan)
    return Claim(question, claimed, *ends, known, unit, rests_on)
