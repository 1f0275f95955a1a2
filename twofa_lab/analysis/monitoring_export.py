"""What was watched, for Prometheus (text format, without time stamps as node-exporter's textfile
collector demands) and as a Grafana dashboard over the same names.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from twofa_lab.analysis.monitoring_tallies import COUNTS, HOUR_MS, MEASURES, Measure
from twofa_lab.errors import WorkError

if TYPE_CHECKING:
    from twofa_lab.analysis.monitoring import Monitoring

__all__ = ["COUNTERS", "dashboard_json", "prometheus_text", "write_whole"]

COUNTERS = {
    "attempts": ("twofa_logins", "Logins begun.", 1.0),
    "judged": ("twofa_logins_judged", "Logins with the right password.", 1.0),
    "challenged": ("twofa_challenges", "Logins challenged.", 1.0),
    "verified": ("twofa_challenges_passed", "Challenges passed.", 1.0),
    "lost": ("twofa_challenges_lost", "Challenges that ended without a second factor.", 1.0),
    "abandoned": ("twofa_challenges_abandoned", "Challenges left by the person.", 1.0),
    "undelivered": ("twofa_challenges_undelivered", "Challenges no message arrived for.", 1.0),
    "wrong": ("twofa_wrong_passwords", "Logins with a wrong password.", 1.0),
    "held": ("twofa_accounts_held", "Accounts locked or made to wait, once an hour each.", 1.0),
    "coded": ("twofa_code_challenges", "Challenges a message was sent for.", 1.0),
    "again": ("twofa_code_challenges_again", "Of them those with a second message.", 1.0),
    "messages": ("twofa_messages", "Messages sent.", 1.0),
    "cents": ("twofa_message_cost_usd", "Price of the messages, US dollars.", 0.01),
    "delivered": ("twofa_codes_arrived", "Codes whose arrival is known.", 1.0),
    "wait": ("twofa_code_wait_seconds", "Seconds until those codes arrived.", 1.0),
}
"""For each of `COUNTS`: the metric's name, its help, and what one is in the metric's unit."""

_WATCHED = {
    "twofa_watched": "Watched figure over the latest window.",
    "twofa_watched_expected": "What the figure is expected to be.",
    "twofa_watched_low": "Lower control limit.",
    "twofa_watched_high": "Upper control limit.",
}
_DIMENSIONS = ("country", "channel", "factor", "provider")
_WINDOW = "6h"


def prometheus_text(watched: Monitoring) -> str:
    """Totals as counters, by part too; the latest window's figures, limits and alarms as gauges."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(watched))
    return generate_latest(registry).decode()


class _Collector:
    def __init__(self, watched: Monitoring) -> None:
        self._watched = watched

    def collect(self) -> Iterator[Metric]:
        tallies = self._watched.tallies
        sums = tallies.overall.sum(axis=0)
        for index, name in enumerate(COUNTS):
            metric, text, unit = COUNTERS[name]
            yield CounterMetricFamily(metric, text, value=float(sums[index]) * unit)
            for dimension, parts in tallies.by.items():
                family = CounterMetricFamily(
                    f"{metric}_by_{dimension}", f"{text[:-1]}, by {dimension}.", labels=[dimension]
                )
                for value, counts in parts.items():
                    family.add_metric([value], float(counts[:, index].sum()) * unit)
                yield family
        yield from self._gauges()
        end = (tallies.start + tallies.hours * HOUR_MS) / 1000
        yield GaugeMetricFamily("twofa_counted_until_seconds", "End of the latest hour.", value=end)

    def _gauges(self) -> Iterator[Metric]:
        charts = self._watched.charts
        for name, text in _WATCHED.items():
            family = GaugeMetricFamily(name, text, labels=["measure"])
            for chart in charts:
                lines = (chart.value, chart.centre, chart.low, chart.high)
                value = dict(zip(_WATCHED, lines, strict=True))[name][-1]
                if not math.isnan(value):
                    family.add_metric([chart.measure.name], float(value))
            yield family
        alarm = GaugeMetricFamily("twofa_alarm", "1: beyond its limits now.", labels=["measure"])
        last = self._watched.tallies.hours - 1
        for chart in charts:
            on = any(found.end == last for found in chart.alarms)
            alarm.add_metric([chart.measure.name], float(on))
        yield alarm


def dashboard_json() -> str:
    """A Grafana dashboard: alarms on top, every figure with its limits, then each by its parts."""
    panels: list[dict[str, Any]] = [
        _panel("Beyond limits now", [("twofa_alarm", "{{measure}}")], "none", kind="stat", width=24)
    ]
    for measure in MEASURES:
        names = [(f'{n}{{measure="{measure.name}"}}', n.removeprefix("twofa_")) for n in _WATCHED]
        panels.append(_panel(measure.title, names, _unit(measure)))
    for dimension in _DIMENSIONS:
        for measure in MEASURES:
            if measure.bottom in ("challenged", "coded", "delivered"):
                over = [(_ratio(measure, dimension), f"{{{{{dimension}}}}}")]
                panels.append(_panel(f"{measure.title}, by {dimension}", over, _unit(measure)))
    _place(panels)
    return json.dumps(
        {
            "uid": "twofa-lab",
            "title": "Second factors at work",
            "tags": ["twofa-lab"],
            "schemaVersion": 39,
            "version": 1,
            "timezone": "browser",
            "refresh": "5m",
            "time": {"from": "now-7d", "to": "now"},
            "templating": {
                "list": [{"name": "source", "type": "datasource", "query": "prometheus"}]
            },
            "panels": panels,
        },
        indent=1,
    )


def _ratio(measure: Measure, dimension: str) -> str:
    """PromQL for a measure of a part over the latest hours."""

    def grown(count: str) -> str:
        metric = f"{COUNTERS[count][0]}_by_{dimension}_total"
        return f"sum by ({dimension}) (increase({metric}[{_WINDOW}]))"

    return f"{grown(measure.top)} / {grown(str(measure.bottom))}"


def _unit(measure: Measure) -> str:
    return {"%": "percentunit", "s": "s"}.get(measure.unit, "none")


def _panel(
    title: str,
    queries: list[tuple[str, str]],
    unit: str,
    *,
    kind: str = "timeseries",
    width: int = 8,
) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${source}"}
    return {
        "type": kind,
        "title": title,
        "datasource": source,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "options": {},
        "targets": [
            {"refId": chr(65 + i), "datasource": source, "expr": text, "legendFormat": legend}
            for i, (text, legend) in enumerate(queries)
        ],
        "gridPos": {"w": width, "h": 4 if kind == "stat" else 7},
    }


def _place(panels: list[dict[str, Any]]) -> None:
    """Number the panels and lay them out from left to right on Grafana's 24 columns."""
    x = y = tallest = 0
    for number, panel in enumerate(panels, start=1):
        place = panel["gridPos"]
        if x + place["w"] > 24:
            x, y, tallest = 0, y + tallest, 0
        panel["id"] = number
        place |= {"x": x, "y": y}
        x, tallest = x + place["w"], max(tallest, place["h"])


def write_whole(path: Path, text: str) -> str:
    """Write a file beside its target and rename it, so that a collector never reads half of it;
    returns the text.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise WorkError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        partial.unlink(missing_ok=True)
    return text
