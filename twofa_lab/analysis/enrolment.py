"""How people come by their factors: time to enrolment, what prompts cost, the way to passkeys.

Several schedules of prompts on the same people. What would happen to everybody under each is known
and stands in the tables. An experiment would see each person under one schedule only: `split`
hands every person to one at random, and the log-rank test and Cox's model are made on that.
Leaving competes with enrolling: the share enrolled by a day is Aalen and Johansen's, since a
Kaplan-Meier curve that calls leavers censored says what would be if nobody left.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from twofa_lab.analysis.enrolment_lives import daily_of, lives_of
from twofa_lab.analysis.survival import (
    CoxFit,
    CumulativeIncidence,
    LogRankTest,
    SurvivalCurve,
    cox,
    cumulative_incidence,
    kaplan_meier,
    logrank,
)
from twofa_lab.errors import InputError
from twofa_lab.sheet import Sheet, interval, money, number, percent
from twofa_lab.tables import Array
from twofa_lab.traffic.enrolment import (
    NEVER,
    RUNGS,
    EnrolmentPeople,
    History,
    Schedule,
    play_schedule,
)
from twofa_lab.traffic.signup.settings import DEVICES
from twofa_lab.traffic.streams import Streams

if TYPE_CHECKING:
    from twofa_lab.analysis.picture import Figure

__all__ = ["EnrolmentStudy", "enrolment"]

_TITLES = {"none": "no factor", "otp": "codes only", "totp": "app", "passkey": "passkey"}
_DAYS = (30, 60, 90, 180, 365)
_QUARTER = 91


@dataclass(frozen=True, repr=False)
class EnrolmentStudy:
    """Schedules on the same people; renders and plots itself."""

    people: EnrolmentPeople
    histories: tuple[History, ...]
    split: Array = field(compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(h.schedule.name for h in self.histories)

    @property
    def note(self) -> str:
        """Where the figures come from."""
        p = self.people
        old = int((p.created < 0).sum())
        return (
            f"Simulated: settings {p.settings.name}, {old:,} accounts at first, "
            f"{p.size - old:,} sign-ups in {p.days} days, seed {p.seed}; how people take prompts "
            "is largely assumption."
        )

    def __getitem__(self, name: str) -> History:
        for history in self.histories:
            if history.schedule.name == name:
                return history
        raise InputError(f"no schedule {name!r} here: {', '.join(self.names)}")

    def table(self) -> Sheet:
        """Where each schedule has led to on the last day, and what it took."""
        rows = []
        for history in self.histories:
            active, daily = history.active[-1], daily_of(self.people, history)
            shares = active / max(active.sum(), 1)
            year = slice(-365, None)
            left = int(history.prompts[:, 5].sum())
            there = history.active[year].sum(axis=1).mean()
            taken = 1000.0 * daily.takeovers[year].sum() / there
            rows.append(
                (
                    history.schedule.name,
                    *(percent(share, 1) for share in shares),
                    number(history.shown.sum() / self.people.size, 2),
                    f"{left:,} ({percent(left / self.people.size)})",
                    money(1000.0 * daily.messages_usd[year].sum() / history.logins[year].sum()),
                    percent(_over(daily.passed[year], history.logins[year, 1:].sum(axis=1)), 1),
                    number(taken, 2),
                )
            )  # fmt: skip
        columns = (
            "schedule", *_TITLES.values(), "prompts an account", "left at a prompt",
            "messages, $ per 1,000 logins", "challenges passed", "takeovers per 1,000 accounts",
        )  # fmt: skip
        title = f"After {self.people.days} days; the three last over the last year, or all days"
        return Sheet(title, columns, tuple(rows), self.note)

    def incidence(self, name: str, rung: str = "otp", who: str = "new") -> CumulativeIncidence:
        """Shares that enrolled (cause 1) and that left before (cause 2) by each day."""
        lives = lives_of(self.people, self[name], rung, who)
        return cumulative_incidence(lives.days, lives.cause)

    def curve(self, name: str, rung: str = "otp", who: str = "new") -> SurvivalCurve:
        """Kaplan-Meier of the time to enrolment: as if nobody left."""
        lives = lives_of(self.people, self[name], rung, who)
        return kaplan_meier(lives.days, lives.enrolled)

    def time_table(self, rung: str = "otp", who: str = "new") -> Sheet:
        """Shares enrolled by days since sign-up; beside them what Kaplan-Meier would say."""
        days = [d for d in _DAYS if d <= self.people.days]
        rows = []
        for name in self.names:
            lives = lives_of(self.people, self[name], rung, who)
            if not lives.enrolled.any():
                rows.append((name, *("0.0 %" for _ in days), "0.0 %", "n/a"))
                continue
            found, curve = self.incidence(name, rung, who), self.curve(name, rung, who)
            last = days[-1]
            rows.append(
                (
                    name,
                    *(percent(float(found.at(1, day)), 1) for day in days),
                    percent(1.0 - float(curve.at(last)), 1),
                    percent(float(found.at(2, last)), 1) if len(found.incidence) > 1 else "0.0 %",
                )
            )
        columns = (
            "schedule", *(f"by day {day}" for day in days),
            f"day {days[-1]} if nobody left", "left before",
        )  # fmt: skip
        title = f"Enrolled in {_TITLES[rung]} or stronger, {who} accounts"
        return Sheet(title, columns, tuple(rows), self.note)

    def logrank(self, rung: str = "otp", who: str = "new") -> LogRankTest:
        """Whether schedules differ in the time to enrolment, each person seen under one."""
        days, event, _, arm = self._split_lives(rung, who)
        return logrank(days, event, arm)

    def cox(self, rung: str = "otp", who: str = "new") -> CoxFit:
        """How schedule (against the first that enrols anybody), activity and device multiply the
        rate of enrolment, each person seen under one schedule.
        """
        days, event, people, arm = self._split_lives(rung, who)
        with_events = [k for k in range(len(self.names)) if event[arm == k].any()]
        if not with_events:
            raise InputError("nobody enrolled: there is nothing to explain")
        kept = np.isin(arm, with_events)
        days, event, people, arm = days[kept], event[kept], people[kept], arm[kept]
        base, *others = with_events
        columns = {
            f"{self.names[k]} against {self.names[base]}": (arm == k).astype(float) for k in others
        }
        columns["logins a year, doubled"] = np.log2(self.people.logins_per_year[people])
        columns["on a phone"] = (self.people.device[people] == DEVICES.index("mobile")).astype(
            float
        )
        return cox(days, event, columns)

    def cox_table(self, rung: str = "otp", who: str = "new") -> Sheet:
        """The same as a table, with the log-rank test beneath."""
        fit, test = self.cox(rung, who), self.logrank(rung, who)
        rows = tuple(
            (name, number(ratio, 2), interval(number(low, 2), number(high, 2)), f"{p:.2g}")
            for name, ratio, low, high, p in zip(
                fit.names, fit.hazard_ratio, fit.low, fit.high, fit.pvalue, strict=True
            )
        )
        columns = ("covariate", "hazard ratio", "95 % interval", "p")
        note = (
            f"Log-rank over {test.degrees + 1} schedules: chi-square {test.statistic:.1f}, "
            f"p {test.pvalue:.2g}. Each person under one schedule, drawn at random."
        )
        return Sheet(f"Rate of enrolling in {_TITLES[rung]} or stronger", columns, rows, note)

    def _split_lives(self, rung: str, who: str) -> tuple[Array, Array, Array, Array]:
        """Days, whether enrolled, person and schedule, each person under the one drawn for them."""
        parts = [
            lives_of(self.people, history, rung, who).among(self.split == k)
            for k, history in enumerate(self.histories)
        ]
        return (
            np.concatenate([part.days for part in parts]),
            np.concatenate([part.enrolled for part in parts]),
            np.concatenate([part.who for part in parts]),
            np.concatenate([np.full(len(part.who), k) for k, part in enumerate(parts)]),
        )

    def fatigue(self, name: str) -> Sheet:
        """What became of the first, second, ... prompt that an account was shown."""
        log = self[name].prompts
        rows = []
        for k in range(int(log[:, 2].max(initial=-1)) + 1):
            shown = log[log[:, 2] == k]
            yes, left = int(shown[:, 4].sum()), int(shown[:, 5].sum())
            rows.append(
                (
                    number(k + 1),
                    number(len(shown)),
                    percent(yes / len(shown), 1),
                    percent(left / len(shown), 2),
                    number(left / yes, 2) if yes else "n/a",
                )
            )
        columns = ("prompt", "shown", "enrolled", "left for good", "left per enrolment")
        note = (
            f"Those who say yes are asked no more, so later prompts meet the unwilling. {self.note}"
        )
        return Sheet(f"Prompt fatigue: {name}", columns, tuple(rows), note)

    def arc(self, name: str) -> Sheet:
        """The way of all accounts, quarter by quarter."""
        history, rows = self[name], []
        daily = daily_of(self.people, history)
        for start in range(0, self.people.days - _QUARTER + 1, _QUARTER):
            span = slice(start, start + _QUARTER)
            active, logins = history.active[span], history.logins[span]
            end = active[-1]
            rows.append(
                (
                    number(start + _QUARTER),
                    number(end.sum()),
                    *(percent(share, 1) for share in end / max(end.sum(), 1)),
                    number(end[RUNGS.index("otp")]),
                    money(1000.0 * daily.messages_usd[span].sum() / max(logins.sum(), 1)),
                    percent(_over(daily.passed[span], logins[:, 1:].sum(axis=1)), 1),
                    number(4000.0 * daily.takeovers[span].sum() / active.sum(axis=1).mean(), 2),
                )
            )
        columns = (
            "by day", "accounts", *_TITLES.values(), "SMS-only left",
            "messages, $ per 1,000 logins", "challenges passed", "takeovers per 1,000 a year",
        )  # fmt: skip
        return Sheet(f"From codes to passkeys: {name}", columns, tuple(rows), self.note)

    def cohorts(self, name: str) -> Sheet:
        """Factor mix on the last day by half-year of sign-up."""
        p, history = self.people, self[name]
        rung = (history.enrolled <= p.days).sum(axis=0)
        there = (history.gone >= p.days) & (p.created < p.days)
        half = np.where(p.created < 0, -1, p.created // 182)
        rows = []
        for value in np.unique(half[there]).tolist():
            mine = rung[there & (half == value)]
            counts = np.bincount(mine, minlength=len(RUNGS))
            last = min(182 * value + 181, p.days - 1)
            label = "there before" if value < 0 else f"days {182 * value} to {last}"
            shares = (percent(n / len(mine), 1) for n in counts)
            rows.append((label, number(len(mine)), *shares))
        columns = ("signed up", "accounts", *_TITLES.values())
        return Sheet(f"Factor mix by cohort: {name}", columns, tuple(rows), self.note)

    def reached(self, name: str, share: float) -> int | None:
        """The first day on which this share of accounts has a passkey; None: not in these days."""
        active = self[name].active
        at = np.flatnonzero(active[:, -1] >= share * active.sum(axis=1))
        return int(at[0]) if len(at) else None

    def sentence(self) -> str:
        """Which schedule leads furthest, and at what price, from the figures."""
        best = max(self.histories, key=lambda h: h.active[-1, -1] / h.active[-1].sum())
        end = best.active[-1]
        left = int(best.prompts[:, 5].sum())
        day = self.reached(best.schedule.name, 0.3)
        when = "does not reach 30 %" if day is None else f"passes 30 % on day {day}"
        return (
            f"After {self.people.days} days {best.schedule.name} leads furthest: "
            f"{percent(end[-1] / end.sum(), 1)} of accounts hold a passkey ({when}), "
            f"{number(end[1])} still codes only; {left:,} of {self.people.size:,} accounts left "
            "at a prompt."
        )

    def plot_time(self, rung: str = "otp", who: str = "new") -> Figure:
        """Shares enrolled by days since sign-up, a line a schedule, and those who left before."""
        from twofa_lab.analysis.enrolment_figures import plot_time

        return plot_time(self, rung, who)

    def plot_arc(self, name: str) -> Figure:
        """Factor mix over time, and what it means for messages, challenges and takeovers."""
        from twofa_lab.analysis.enrolment_figures import plot_arc

        return plot_arc(self, name)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: by schedule, the mix on the last day and what it took."""
        return {
            "days": self.people.days,
            "schedules": {
                h.schedule.name: {
                    "active": dict(zip(RUNGS, h.active[-1].tolist(), strict=True)),
                    "prompts": int(h.shown.sum()),
                    "left_at_a_prompt": int(h.prompts[:, 5].sum()),
                    "passkey_default_from": None if h.default_from == NEVER else h.default_from,
                }
                for h in self.histories
            },
            "note": self.note,
        }

    def __repr__(self) -> str:
        return f"{self.table()}\n{self.sentence()}"

    def _repr_html_(self) -> str:
        return f"<p><b>{html.escape(self.sentence())}</b></p>{self.table().to_html()}"


def enrolment(people: EnrolmentPeople, schedules: Sequence[Schedule]) -> EnrolmentStudy:
    """Play every schedule on the same people.

    >>> from twofa_lab.flow.prompts import PromptRules
    >>> from twofa_lab.traffic.enrolment import enrolment_people
    >>> people = enrolment_people(existing=0, signups=300, days=120, seed=1)
    >>> study = enrolment(people, [Schedule("never"), Schedule("days 30 to 90", PromptRules())])
    >>> int(study["never"].shown.sum()), bool(study["days 30 to 90"].shown.any())
    (0, True)
    """
    names = [schedule.name for schedule in schedules]
    if not names or len(set(names)) != len(names):
        raise InputError("name one schedule or more, and each differently")
    uniform = Streams(people.seed, 0).named("enrolment").uniform("arm", people.size)
    split = np.minimum((uniform * len(names)).astype(np.int64), len(names) - 1)
    return EnrolmentStudy(people, tuple(play_schedule(people, s) for s in schedules), split)


def _over(values: Array, weights: Array) -> float:
    """Weighted mean of the values that are known; NaN without any."""
    known = np.isfinite(values) & (weights > 0)
    return float(np.average(values[known], weights=weights[known])) if known.any() else float("nan")
