"""Watch a policy at work: figures by day, hour, country, channel, factor; limits, alarms, exports.

From a replay of a world, or from the audit of the real flow; both are counted alike, by what a
server sees. How the limits are made stands in `monitoring_limits`, how often they cry wolf and how
soon they notice is measured in `monitoring_drill`.
"""

from __future__ import annotations

import html
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from twofa_lab.analysis.arguments import quotient
from twofa_lab.analysis.monitoring_audit import tally_audit
from twofa_lab.analysis.monitoring_limits import Alarm, Chart, LimitRules, charts_of
from twofa_lab.analysis.monitoring_tallies import COUNTS, MEASURES, Measure, Tallies, tally_world
from twofa_lab.errors import InputError
from twofa_lab.risk.policy import Policy
from twofa_lab.sheet import Sheet, money, number, percent
from twofa_lab.tables import Array
from twofa_lab.traffic.world import World

if TYPE_CHECKING:
    import pandas as pd

    from twofa_lab.analysis.picture import Figure

__all__ = ["Monitoring", "monitor", "monitor_audit"]

_LEAST_DAYS = 29  # to learn limits from and have a day left to judge


@dataclass(frozen=True, repr=False)
class Monitoring:
    """What was counted, and what stood out. `charts` is empty where there are too few days."""

    source: str
    note: str
    tallies: Tallies
    rules: LimitRules
    charts: tuple[Chart, ...]

    @property
    def alarms(self) -> tuple[Alarm, ...]:
        """Every alarm, in order of time."""
        found = [alarm for chart in self.charts for alarm in chart.alarms]
        return tuple(sorted(found, key=lambda alarm: (alarm.start, alarm.measure)))

    def table(self) -> Sheet:
        """Every figure over all the time and on the last day, and its alarms."""
        whole, last = self.tallies.overall, self.tallies.overall[-24:]
        alarms = {c.measure.name: len(c.alarms) for c in self.charts}
        rows = [
            (
                measure.title,
                shown(measure, whole),
                shown(measure, last),
                number(alarms[measure.name]) if alarms else "n/a",
            )
            for measure in MEASURES
        ]
        passed = [percent(1.0 - rate(_measure("loss_rate"), w), 1) for w in (whole, last)]
        rows.insert(1, ("challenges passed", passed[0], passed[1], ""))
        sums = whole.sum(axis=0)
        title = (
            f"{self.source}: {number(_of(sums, 'attempts'))} logins, "
            f"{number(_of(sums, 'challenged'))} challenges in {self.tallies.hours / 24:.0f} days"
        )
        return Sheet(title, ("figure", "whole time", "last day", "alarms"), tuple(rows), self.note)

    def by(self, dimension: str) -> Sheet:
        """The figures of each part: `country`, `channel`, `factor`, and in an audit `provider`."""
        parts = self.tallies.by.get(dimension)
        if parts is None:
            raise InputError(f"no parts by {dimension!r} here: name {', '.join(self.tallies.by)}")
        rows = []
        for value, counts in parts.items():
            sums = counts.sum(axis=0)
            cells = [shown(m, counts) for m in MEASURES if m.bottom]
            events = (number(_of(sums, name)) for name in ("attempts", "challenged"))
            rows.append((value, *events, *cells, money(_of(sums, "cents") / 100.0)))
        columns = (
            dimension, "logins", "challenges", *(m.title for m in MEASURES if m.bottom), "messages",
        )  # fmt: skip
        return Sheet(f"By {dimension}", columns, tuple(rows), self.note)

    def alarm_table(self) -> Sheet:
        """When which figure left its limits, and in which part the most."""
        titles = {m.name: m.title for m in MEASURES}
        rows = tuple(
            (
                a.at,
                titles[a.measure] + (" (few)" if a.side == "low" else ""),
                number(a.end - a.start + 1),
                number(a.seen),
                number(a.expected, 1),
                a.where,
            )
            for a in self.alarms
        )
        columns = ("first hour (UTC)", "figure", "hours", "seen", "expected", "most in")
        title = f"Alarms: windows of {self.rules.window_hours} hours beyond their limits"
        return Sheet(title, columns, rows, self.note)

    def sentence(self) -> str:
        """What stood out, in one sentence made from the figures."""
        if not self.charts:
            return f"No limits: {self.tallies.hours // 24} days are too few to learn them from."
        judged = int(self.charts[0].judged.sum()) / 24
        alarms = self.alarms
        if not alarms:
            return f"Nothing left its limits in the {judged:.0f} days that were judged."
        worst = max(alarms, key=lambda a: abs(a.seen - a.expected) / math.sqrt(a.expected + 1.0))
        title = _measure(worst.measure).title
        return (
            f"{len(alarms)} alarm{'s' if len(alarms) > 1 else ''} in {judged:.0f} days; the "
            f"clearest, {title}, from {worst.at} UTC for {worst.end - worst.start + 1} hours: "
            f"{worst.seen:,.0f} in a window where {worst.expected:,.1f} were expected, most "
            f"in {worst.where}."
        )

    def plot(self) -> Figure:
        """Every watched figure with its limits; alarms marked."""
        from twofa_lab.analysis.monitoring_figures import plot_charts

        return plot_charts(self)

    def daily(self) -> pd.DataFrame:
        """Counts and figures of every day (UTC), as numbers."""
        import pandas as pd

        sums = self.tallies.daily()
        days = pd.to_datetime(self.tallies.times[::24][: len(sums)], unit="ms", utc=True)
        frame = pd.DataFrame(sums, columns=list(COUNTS), index=days.rename("day"))
        for measure in MEASURES:
            if measure.bottom:
                frame[measure.name] = quotient(*measure.counts(sums), np.nan)
        return frame

    def to_dict(self) -> dict[str, Any]:
        """For JSON; NaN becomes None."""
        return {
            "source": self.source,
            "start": _stamp(self.tallies.start),
            "days": self.tallies.hours / 24,
            "totals": _plain(self.tallies.overall),
            "daily": [
                {"day": _stamp(self.tallies.start + day * 86_400_000)} | _plain(sums[None])
                for day, sums in enumerate(self.tallies.daily())
            ],
            "by": {
                name: {value: _plain(counts) for value, counts in parts.items()}
                for name, parts in self.tallies.by.items()
            },
            "limits": bool(self.charts),
            "alarms": [
                {
                    "measure": a.measure, "side": a.side, "at": a.at, "hours": a.end - a.start + 1,
                    "seen": a.seen, "expected": a.expected, "where": a.where,
                }
                for a in self.alarms
            ],
            "note": self.note,
        }  # fmt: skip

    def to_prometheus(self, path: str | Path | None = None) -> str:
        """The figures as a Prometheus text file, for node-exporter's textfile collector; written
        to `path` when one is given.
        """
        from twofa_lab.analysis.monitoring_export import prometheus_text, write_whole

        text = prometheus_text(self)
        return text if path is None else write_whole(Path(path), text)

    def to_dashboard(self, path: str | Path | None = None) -> str:
        """A Grafana dashboard (JSON) over the names of `to_prometheus`; written to `path`."""
        from twofa_lab.analysis.monitoring_export import dashboard_json, write_whole

        text = dashboard_json()
        return text if path is None else write_whole(Path(path), text)

    def __repr__(self) -> str:
        return f"{self.table()}\n{self.sentence()}"

    def _repr_html_(self) -> str:
        return f"<p><b>{html.escape(self.sentence())}</b></p>{self.table().to_html()}"


def monitor(
    world: World,
    policy: Policy | None = None,
    *,
    rules: LimitRules | None = None,
    workers: int | None = None,
    progress: bool | None = None,
) -> Monitoring:
    """Watch a policy (default: risk-based) play a world.

    The last day of a simulated world is left out: evenings that would lie behind its end are
    crowded into it.

    >>> import twofa_lab as lab
    >>> watched = monitor(lab.simulate("us-consumer", users=200, days=15, seed=1))
    >>> watched.tallies.hours, watched.charts
    (336, ())
    """
    chosen = policy or Policy.risk_based()
    tallies = tally_world(world, chosen, workers=workers, progress=progress)
    facts = world.facts
    if facts.human_side == "simulated" and facts.days > 1:
        tallies = tallies.until(24 * (facts.days - 1))
    kind = {"simulated": "Simulated traffic", "lent": "Real logins, simulated people"}
    note = f"{kind[facts.human_side]} ({facts.name}, seed {facts.seed}): not measured."
    return _watch(f"{facts.name} under {chosen.name}", note, tallies, rules)


def monitor_audit(
    path: str | Path, *, rules: LimitRules | None = None, zone: str = "UTC"
) -> Monitoring:
    """Watch the real flow by its exported audit (Parquet); `zone` is the clock people live by."""
    return _watch(Path(path).name, "From the audit.", tally_audit(path, zone=zone), rules)


def _watch(source: str, note: str, tallies: Tallies, rules: LimitRules | None) -> Monitoring:
    chosen = rules or LimitRules()
    enough = rules is not None or tallies.hours >= 24 * _LEAST_DAYS
    charts = charts_of(tallies, chosen) if enough else ()
    return Monitoring(source, note, tallies, chosen, charts)


def rate(measure: Measure, counts: Array) -> float:
    """A measure over all hours of counts of shape (hours, COUNTS); NaN without a denominator."""
    top, bottom = measure.counts(counts)
    return float(quotient(top.sum(), bottom.sum(), np.nan))


def shown(measure: Measure, counts: Array) -> str:
    """The same as text."""
    value = rate(measure, counts)
    if math.isnan(value):
        return "n/a"
    return percent(value, 1) if measure.unit == "%" else f"{number(value, 1)} {measure.unit}"


def _measure(name: str) -> Measure:
    return next(m for m in MEASURES if m.name == name)


def _of(sums: Array, name: str) -> float:
    return float(sums[COUNTS.index(name)])


def _plain(counts: Array) -> dict[str, float | int | None]:
    """Sums and rates of counts, for JSON."""
    sums = counts.sum(axis=0)
    found: dict[str, float | int | None] = {
        name: round(value, 4) if name in ("cents", "wait") else round(value)
        for name, value in zip(COUNTS, sums.tolist(), strict=True)
    }
    for measure in MEASURES:
        value = rate(measure, counts)
        found[measure.name] = None if math.isnan(value) else value
    passed = found["loss_rate"]
    return found | {"success_rate": None if passed is None else 1.0 - passed}


def _stamp(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat()
