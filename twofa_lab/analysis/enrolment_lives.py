"""What a schedule of prompts means: how long people took to enrol, and what the mix of factors
brings each day.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twofa_lab.analysis.arguments import quotient
from twofa_lab.catalog.efficacy import PASS_SHARE, WAYS
from twofa_lab.errors import InputError
from twofa_lab.tables import Array
from twofa_lab.traffic.enrolment import RUNGS, EnrolmentPeople, History
from twofa_lab.traffic.signup.visitors import attack_kinds

__all__ = ["Daily", "Lives", "daily_of", "lives_of"]


@dataclass(frozen=True)
class Lives:
    """How long people took, days: `cause` 1 enrolled, 2 left before, 0 neither was seen."""

    who: Array
    days: Array
    cause: Array

    @property
    def enrolled(self) -> Array:
        return self.cause == 1

    def among(self, chosen: Array) -> Lives:
        """The lives of those people only: `chosen` is a mask over everybody."""
        kept = chosen[self.who]
        return Lives(self.who[kept], self.days[kept], self.cause[kept])


@dataclass(frozen=True)
class Daily:
    """Expectations for every day, given the rungs reached: US$ for messages, the share of
    challenges passed, takeovers.
    """

    messages_usd: Array
    passed: Array
    takeovers: Array


def lives_of(people: EnrolmentPeople, history: History, rung: str, who: str = "new") -> Lives:
    """Time to `rung` or a stronger one: from sign-up for `new` people, from the first day for
    `existing` ones who are not there yet.
    """
    if rung not in RUNGS[1:] or who not in ("new", "existing"):
        raise InputError(f"time to one of {', '.join(RUNGS[1:])}, of new or existing people")
    code = RUNGS.index(rung)
    new = people.created >= 0
    chosen = np.flatnonzero(
        new if who == "new" else ~new & (people.rung < code) & (people.gone > 0)
    )
    if not len(chosen):
        raise InputError(f"there is nobody {who} to look at")
    start = np.maximum(people.created[chosen], 0)
    reached, gone = history.enrolled[code, chosen], history.gone[chosen]
    end = np.minimum(np.minimum(reached, gone), people.days)
    cause = np.where(
        (reached <= gone) & (reached < people.days), 1, np.where(gone < people.days, 2, 0)
    )
    return Lives(chosen, np.maximum(end - start, 0), cause)


def daily_of(people: EnrolmentPeople, history: History) -> Daily:
    """What the mix of rungs means for messages, challenges and takeovers.

    A code costs an SMS of the scenario's. An attacker who holds the password gets past the
    strongest factor as the catalogue says; without a factor nothing stops them.
    """
    after, scenario = people.settings.afterwards, people.scenario
    succeeds = np.array([0.0, *(after.succeeds[name] for name in ("sms", "totp", "passkey"))])
    asked = history.logins * after.challenged
    with_factor = asked[:, 1:]
    price = scenario.costs.message["sms"]
    rate = np.zeros(len(RUNGS))
    for kind in attack_kinds(scenario):
        attack = scenario.attacks[kind]
        passes = [PASS_SHARE[kind][WAYS.index(way)] for way in ("sms", "totp", "passkey")]
        rate += attack.reach_per_year * attack.password_right * np.array([1.0, *passes])
    return Daily(
        asked[:, RUNGS.index("otp")] * price,
        quotient(with_factor @ succeeds[1:], with_factor.sum(axis=1), np.nan),
        history.active @ rate / 365.0,
    )
