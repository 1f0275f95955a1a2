"""A planner: which schedule of prompts brings enough accounts to a passkey by a day, and at what
cost in people who leave.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from twofa_lab.analysis.enrolment import EnrolmentStudy, enrolment
from twofa_lab.analysis.enrolment_lives import daily_of
from twofa_lab.errors import InputError
from twofa_lab.flow.prompts import PromptRules
from twofa_lab.sheet import Sheet, money, number, percent
from twofa_lab.traffic.enrolment import TRIGGER, EnrolmentPeople, Schedule

if TYPE_CHECKING:
    from twofa_lab.analysis.picture import Figure

__all__ = ["Option", "Plan", "candidates", "plan"]


@dataclass(frozen=True)
class Option:
    """One schedule: the share with a passkey on the day asked about, the day the target was met
    (None: not by the end), accounts that left at a prompt by then and their share, US$ paid as
    incentives, and US$ of messages saved against no prompts, both by that day.
    """

    schedule: Schedule
    share: float
    day: int | None
    left: int
    left_share: float
    incentives_usd: float
    saved_usd: float


@dataclass(frozen=True, repr=False)
class Plan:
    """The options for a target; `best` meets it in time with the fewest people lost."""

    target: float
    by_day: int
    options: tuple[Option, ...]
    study: EnrolmentStudy

    @property
    def best(self) -> Option | None:
        """Of the options that meet the target in time, the one with the fewest who leave."""
        fit = [o for o in self.options if o.day is not None and o.day <= self.by_day]
        return min(fit, key=lambda o: (o.left, o.incentives_usd), default=None)

    def table(self) -> Sheet:
        """Every option, the one with the most passkeys first."""
        rows = tuple(
            (
                o.schedule.name + (" *" if o == self.best else ""),
                percent(o.share, 1),
                "not reached" if o.day is None else number(o.day),
                f"{o.left:,} ({percent(o.left_share)})",
                money(o.incentives_usd, 0),
                money(o.saved_usd, 0),
            )
            for o in sorted(self.options, key=lambda o: -o.share)
        )
        columns = (
            "schedule", f"passkeys on day {self.by_day}", f"{percent(self.target, 0)} on day",
            "left at a prompt", "incentives", "messages saved",
        )  # fmt: skip
        title = f"Which schedule brings {percent(self.target, 0)} to passkeys by day {self.by_day}?"
        return Sheet(title, columns, rows, f"* fewest lost of those in time. {self.study.note}")

    def sentence(self) -> str:
        """The choice and its price, or by how much the target is missed."""
        best = self.best
        if best is None:
            most = max(self.options, key=lambda o: o.share)
            return (
                f"No schedule here brings {percent(self.target, 0)} to passkeys by day "
                f"{self.by_day}; {most.schedule.name} comes nearest with {percent(most.share, 1)}."
            )
        others = sum(1 for o in self.options if o.day is not None and o.day <= self.by_day) - 1
        return (
            f"{best.schedule.name} reaches {percent(self.target, 0)} on day {best.day} of "
            f"{self.by_day} and loses {best.left:,} accounts at prompts "
            f"({percent(best.left_share)}), the fewest of {others + 1} schedules in time; "
            f"incentives {money(best.incentives_usd, 0)}."
        )

    def plot(self) -> Figure:
        """People lost against passkeys, one point a schedule."""
        from twofa_lab.analysis.enrolment_figures import plot_plan

        return plot_plan(self)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "target": self.target,
            "by_day": self.by_day,
            "best": None if self.best is None else self.best.schedule.name,
            "options": [
                {
                    "schedule": o.schedule.name, "share": o.share, "day": o.day, "left": o.left,
                    "left_share": o.left_share, "incentives_usd": o.incentives_usd,
                    "saved_usd": o.saved_usd,
                }
                for o in self.options
            ],
        }  # fmt: skip

    def __repr__(self) -> str:
        return f"{self.table()}\n{self.sentence()}"

    def _repr_html_(self) -> str:
        return f"<p><b>{html.escape(self.sentence())}</b></p>{self.table().to_html()}"


def candidates() -> tuple[Schedule, ...]:
    """Schedules to choose from: the guide's ladder, or passkeys alone; any login, or moments of
    high engagement; gentle or insistent; with an incentive and without. All have the guide's
    trigger.
    """
    straight = PromptRules(ladder=("passkey",))
    gentle = PromptRules(ladder=("passkey",), every_days=30, enough_declined=2)
    stubborn = PromptRules(ladder=("passkey",), longest_days=30, enough_declined=10)
    return (
        Schedule("guide's ladder", PromptRules(), trigger=TRIGGER),
        Schedule("passkey, any login", straight, trigger=TRIGGER),
        Schedule("passkey, any login, insistent", straight, wording=1.0, trigger=TRIGGER),
        Schedule("passkey, any login, $5", straight, incentive_usd=5.0, trigger=TRIGGER),
        Schedule("passkey, any login, stubborn", stubborn, wording=1.0, trigger=TRIGGER),
        Schedule("passkey, good moments, twice", gentle, moments=True, trigger=TRIGGER),
        Schedule("passkey, good moments", straight, moments=True, trigger=TRIGGER),
        Schedule(
            "passkey, good moments, insistent", straight, moments=True, wording=1.0, trigger=TRIGGER
        ),
    )  # fmt: skip


def plan(
    people: EnrolmentPeople,
    target: float = TRIGGER,
    by_day: int = 365,
    schedules: Sequence[Schedule] | None = None,
) -> Plan:
    """Try schedules (default: `candidates`) for a share of accounts with a passkey by a day."""
    if not 0.0 < target < 1.0:
        raise InputError(f"the target is a share between 0 and 1, not {target}")
    if not 1 <= by_day <= people.days:
        raise InputError(f"the day is from 1 to {people.days}, as far as these people are followed")
    never = Schedule("never")
    study = enrolment(people, [never, *(candidates() if schedules is None else schedules)])
    spent = daily_of(people, study["never"]).messages_usd[:by_day].sum()
    options = []
    for history in study.histories[1:]:
        active, log = history.active[by_day - 1], history.prompts
        log = log[log[:, 1] < by_day]
        left = int(log[:, 5].sum())
        there = int(np.sum(people.created < by_day))
        options.append(
            Option(
                history.schedule,
                float(active[-1] / max(active.sum(), 1)),
                study.reached(history.schedule.name, target),
                left,
                left / max(there, 1),
                history.schedule.incentive_usd * int(log[:, 4].sum()),
                float(spent - daily_of(people, history).messages_usd[:by_day].sum()),
            )
        )
    return Plan(target, by_day, tuple(options), study)
