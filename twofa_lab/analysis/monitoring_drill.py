"""Drills: how often the alarms cry wolf, and how soon they notice an incident.

Calm worlds (a scenario without carrier incidents, whose attackers come evenly instead of in
campaigns) give the false alarms. Each world is then played again with one incident at an hour drawn
by chance; it differs from its calm twin by the incident alone, and only an alarm that the twin does
not have counts as noticing it.
"""

from __future__ import annotations

import html
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from twofa_lab.analysis.monitoring_limits import Chart, LimitRules, charts_of
from twofa_lab.analysis.monitoring_tallies import COUNTS, MEASURES, Measure, Tallies, tally_world
from twofa_lab.errors import InputError
from twofa_lab.risk.policy import Policy
from twofa_lab.sheet import Sheet, interval, number, percent
from twofa_lab.tables import Array
from twofa_lab.traffic.scenario import Scenario
from twofa_lab.traffic.simulate import simulate
from twofa_lab.traffic.streams import Streams

if TYPE_CHECKING:
    from twofa_lab.analysis.picture import Figure

__all__ = ["Drill", "Sizes", "calm", "drill", "pumped"]

_FOUR_WEEKS = 28


@dataclass(frozen=True)
class Sizes:
    """How bad the incidents are; all assumptions.

    An outage loses `outage_loss` of all text messages for `outage_hours`. A wave tries a scenario's
    stuffed passwords of the whole time in one campaign. A bad roll-out asks only from
    `rollout_challenge_at` on, for `rollout_hours`: 0.55 for 0.45 lets a new device
    pass. Pumpers have `pump_share` times as many messages sent an hour as people do, for
    `pump_hours`, and never answer (of a year's traffic 4.8 % by Enea, 18 % by Juniper, 2023; in a
    wave far more).
    """

    outage_loss: float = 0.9
    outage_hours: int = 6
    rollout_challenge_at: float = 0.55
    rollout_hours: int = 24
    pump_share: float = 1.0
    pump_hours: int = 24


@dataclass(frozen=True, repr=False)
class Drill:
    """What was measured. `false[world, measure]`: alarms in calm worlds, each judged for `days`.

    `delays[incident]`: hours until the first alarm, one a world; NaN where nothing noticed.
    `first[incident]`: how often which figure was first.
    """

    scenario: str
    policy: str
    users: int
    days: int
    rules: LimitRules
    false: Array
    delays: dict[str, Array]
    first: dict[str, Counter[str]]
    measures: tuple[Measure, ...] = field(default=MEASURES)

    @property
    def worlds(self) -> int:
        return len(self.false)

    @property
    def note(self) -> str:
        """Where the figures come from."""
        return (
            f"Simulated: {self.scenario}, {self.users:,} accounts under {self.policy}, "
            f"{self.worlds} worlds; sizes of the incidents: assumptions."
        )

    def false_alarms(self) -> tuple[Array, Array, Array]:
        """False alarms in four weeks: for each figure and last for all together, with a 95 %
        interval, exact for a Poisson's count (Garwood 1936), so that none seen is not taken for
        none possible.
        """
        seen = self.false.sum(axis=0)
        seen = np.append(seen, seen.sum())
        low = np.where(seen > 0, stats.chi2.ppf(0.025, np.maximum(2 * seen, 1)) / 2, 0.0)
        high = stats.chi2.ppf(0.975, 2 * seen + 2) / 2
        per = _FOUR_WEEKS / (self.worlds * self.days)
        return seen * per, low * per, high * per

    def false_table(self) -> Sheet:
        """How often each figure leaves its limits although nothing is wrong."""
        seen = self.false.sum(axis=0)
        rows = tuple(
            (name, number(count), number(rate, 2), interval(number(low, 2), number(high, 2)))
            for name, count, rate, low, high in zip(
                [*(m.title for m in self.measures), "all"],
                [*seen, seen.sum()],
                *self.false_alarms(),
                strict=True,
            )
        )
        columns = ("figure", f"in {self.worlds * self.days} days", "in four weeks", "95 % interval")
        return Sheet("False alarms in calm worlds", columns, rows, self.note)

    def table(self) -> Sheet:
        """How many incidents were noticed, and after how many hours."""
        from statsmodels.stats.proportion import proportion_confint

        rows = []
        for name, found in self.delays.items():
            seen = found[np.isfinite(found)]
            low, high = proportion_confint(len(seen), len(found), method="wilson")
            mean, spread = _mean(seen) if len(seen) else (math.nan, math.nan)
            titles = {m.name: m.title for m in self.measures}
            first = ", ".join(f"{titles[m]} {n}" for m, n in self.first[name].most_common(2))
            rows.append(
                (
                    name,
                    f"{len(seen)} of {len(found)}",
                    interval(percent(low, 0), percent(high, 0)),
                    number(float(np.median(seen)), 0) if len(seen) else "n/a",
                    f"{number(float(mean), 1)} ± {number(float(spread), 1)}",
                    first or "none",
                )
            )
        columns = (
            "incident", "noticed", "95 % interval", "median hours", "mean hours ± standard error",
            "first noticed by",
        )  # fmt: skip
        return Sheet("Incidents noticed", columns, tuple(rows), self.note)

    def sentence(self) -> str:
        """False alarms and delays in one sentence."""
        total, low, high = (float(end[-1]) for end in self.false_alarms())
        said = []
        for name, found in self.delays.items():
            seen = found[np.isfinite(found)]
            after = f", half of them within {np.median(seen):.0f} h" if len(seen) else ""
            said.append(f"{name} {len(seen)} of {len(found)}{after}")
        return (
            f"All figures together give {total:.1f} false alarms in four weeks (95 % interval "
            f"{low:.1f} to {high:.1f}); noticed were: " + "; ".join(said) + "."
        )  # fmt: skip

    def plot(self) -> Figure:
        """False alarms by figure, and the hours until each incident was noticed."""
        from twofa_lab.analysis.monitoring_figures import plot_drill

        return plot_drill(self)

    def to_dict(self) -> dict[str, Any]:
        """For JSON; NaN becomes None."""
        names = [*(m.name for m in self.measures), "all"]
        return {
            "scenario": self.scenario, "policy": self.policy, "users": self.users,
            "worlds": self.worlds, "days_judged": self.days,
            "false_alarms_in_four_weeks": {
                name: {"rate": float(rate), "low": float(low), "high": float(high)}
                for name, rate, low, high in zip(names, *self.false_alarms(), strict=True)
            },
            "incidents": {
                name: {
                    "hours": [_known(x) for x in found.tolist()], "first": dict(self.first[name]),
                }
                for name, found in self.delays.items()
            },
            "note": self.note,
        }  # fmt: skip

    def __repr__(self) -> str:
        return f"{self.false_table()}\n{self.table()}\n{self.sentence()}"

    def _repr_html_(self) -> str:
        tables = self.false_table().to_html() + self.table().to_html()
        return f"<p><b>{html.escape(self.sentence())}</b></p>{tables}"


def calm(scenario: Scenario) -> Scenario:
    """The same scenario without carrier incidents and campaigns: attackers come evenly."""
    attacks = {
        name: attack.model_dump(mode="json") | {"campaigns_per_year": 0.0, "wave_days": []}
        for name, attack in scenario.attacks.items()
    }
    return scenario.changed(incidents=[], attacks=attacks)


def pumped(
    tallies: Tallies,
    start: int,
    hours: int,
    per_hour: float,
    cents: float,
    rng: np.random.Generator,
) -> Tallies:
    """Tallies with pumpers in them: from an hour on, challenged logins (Poisson, so many an hour)
    that have one SMS sent for so many cents, and leave.
    """
    end = min(start + hours, tallies.hours)
    logins = np.zeros(tallies.hours)
    logins[start:end] = rng.poisson(per_hour, max(end - start, 0))
    added = np.zeros((tallies.hours, len(COUNTS)))
    for name in ("attempts", "judged", "challenged", "lost", "abandoned", "coded", "messages"):
        added[:, COUNTS.index(name)] = logins
    added[:, COUNTS.index("cents")] = logins * cents
    parts = {"channel": {"sms": added}, "factor": {"otp": added}}
    return tallies + replace(tallies, overall=added, by=parts)


def drill(
    scenario: str | Scenario = "us-consumer",
    policy: Policy | None = None,
    *,
    users: int = 8_000,
    days: int = 28,
    worlds: int = 6,
    seed: int = 7,
    rules: LimitRules | None = None,
    sizes: Sizes | None = None,
    workers: int | None = None,
) -> Drill:
    """Measure false alarms, and the delay at which injected incidents are noticed.

    Every world has `days` to judge after the days that limits are learnt from. A roll-out is two
    replays spliced at its hour: the second policy has ruled the accounts' past too.
    """
    if worlds < 2 or days < 7:
        raise InputError("a drill needs two worlds or more, and a week or more to judge")
    chosen = rules or LimitRules()
    given = Scenario.load(scenario) if isinstance(scenario, str) else scenario
    plan = _Plan(
        calm(given), policy or Policy.risk_based(), users, days, chosen, sizes or Sizes(), workers
    )
    false = np.zeros((worlds, len(MEASURES)))
    delays: dict[str, list[float]] = {name: [] for name in _INCIDENTS}
    first: dict[str, Counter[str]] = {name: Counter() for name in _INCIDENTS}
    for world in range(worlds):
        twin = _Twin(plan, seed + world)
        false[world] = [len(chart.alarms) for chart in twin.charts]
        for name, (play, hours) in _INCIDENTS.items():
            start, tallies = play(plan, twin)
            hour, who = _noticed(charts_of(tallies, chosen), twin.charts, start, hours(plan.sizes))
            delays[name].append(hour)
            if who:
                first[name][who] += 1
    return Drill(
        given.name, plan.policy.name, users, days, chosen, false,
        {name: np.array(found) for name, found in delays.items()}, first,
    )  # fmt: skip


@dataclass(frozen=True)
class _Plan:
    scenario: Scenario
    policy: Policy
    users: int
    days: int
    rules: LimitRules
    sizes: Sizes
    workers: int | None

    def played(self, scenario: Scenario, seed: int, policy: Policy | None = None) -> Tallies:
        """A world's tallies; its last day, into which late evenings are crowded, is left out."""
        days = self.rules.learn_days + self.days
        world = simulate(scenario, self.users, days + 1, seed, workers=self.workers, progress=False)
        found = tally_world(world, policy or self.policy, workers=self.workers, progress=False)
        return found.until(24 * days)


class _Twin:
    """The calm world of one seed, and when its incident begins."""

    def __init__(self, plan: _Plan, seed: int) -> None:
        self.seed = seed
        self.tallies = plan.played(plan.scenario, seed)
        self.charts = charts_of(self.tallies, plan.rules)
        self.rng = Streams(seed, 0).named("drill").of("incident")
        # three days stay, so that even a slow alarm comes before the end
        self.day = plan.rules.learn_days + int(self.rng.integers(1, plan.days - 3))
        self.hour = int(self.rng.integers(0, 24))

    @property
    def start(self) -> int:
        return 24 * self.day + self.hour


def _outage(plan: _Plan, twin: _Twin) -> tuple[int, Tallies]:
    incident = {
        "kind": "carrier_outage", "channel": "sms", "day": twin.day, "hour": twin.hour,
        "hours": plan.sizes.outage_hours, "loss": plan.sizes.outage_loss,
    }  # fmt: skip
    return twin.start, plan.played(plan.scenario.changed(incidents=[incident]), twin.seed)


def _wave(plan: _Plan, twin: _Twin) -> tuple[int, Tallies]:
    changed = plan.scenario.changed(attacks__credential_stuffing__wave_days=[twin.day])
    return 24 * twin.day, plan.played(changed, twin.seed)


def _rollout(plan: _Plan, twin: _Twin) -> tuple[int, Tallies]:
    update = {"challenge_at": plan.sizes.rollout_challenge_at}
    other = plan.played(plan.scenario, twin.seed, plan.policy.model_copy(update=update))
    end = twin.start + plan.sizes.rollout_hours
    return twin.start, twin.tallies.switched(other, twin.start).switched(twin.tallies, end)


def _pumping(plan: _Plan, twin: _Twin) -> tuple[int, Tallies]:
    learnt = twin.tallies.overall[: 24 * plan.rules.learn_days]
    usual = float(learnt[:, COUNTS.index("messages")].mean())
    cents = 100.0 * plan.scenario.costs.message["sms"]
    size = plan.sizes
    found = pumped(
        twin.tallies, twin.start, size.pump_hours, size.pump_share * usual, cents, twin.rng
    )
    return twin.start, found


_Play = Callable[[_Plan, _Twin], tuple[int, Tallies]]
_INCIDENTS: dict[str, tuple[_Play, Callable[[Sizes], int]]] = {
    "carrier outage": (_outage, lambda s: s.outage_hours),
    "stuffing wave": (_wave, lambda _: 40),  # the campaign_hours of the shipped scenarios
    "bad roll-out": (_rollout, lambda s: s.rollout_hours),
    "SMS pumping": (_pumping, lambda s: s.pump_hours),
}


def _noticed(
    charts: tuple[Chart, ...], twins: tuple[Chart, ...], start: int, hours: int
) -> tuple[float, str]:
    """Hours from the incident's start to the end of the first hour with an alarm that the calm twin
    does not have, and whose it was; NaN if there is none while it lasts.
    """
    best, name = math.nan, ""
    for chart, twin in zip(charts, twins, strict=True):
        for alarm in chart.alarms:
            known = any(a.start <= alarm.end and alarm.start <= a.end for a in twin.alarms)
            if known or not start <= alarm.start < start + hours:
                continue
            delay = float(alarm.start + 1 - start)
            if not delay >= best:
                best, name = delay, chart.measure.name
    return best, name


def _mean(values: Array) -> tuple[Array, Array]:
    """Mean and its standard error over the first axis."""
    n = len(values)
    if n < 2:
        return values.mean(axis=0), np.full(values.shape[1:], np.nan)
    return values.mean(axis=0), values.std(axis=0, ddof=1) / math.sqrt(n)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
