"""Figures of watching: control charts with their alarms, and what a drill measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.lines import Line2D

from twofa_lab.analysis.picture import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from twofa_lab.analysis.monitoring import Monitoring
    from twofa_lab.analysis.monitoring_drill import Drill
    from twofa_lab.analysis.monitoring_limits import Chart
    from twofa_lab.tables import Array

__all__ = ["plot_charts", "plot_drill"]

_BLUE, _RED, _GREY = "#0072B2", "#D55E00", "#7F7F7F"


def plot_charts(watched: Monitoring) -> Figure:
    """A panel a figure: value over the trailing window, expectation, limits, alarms."""
    charts = watched.charts
    columns = 3
    rows = max(1, -(-len(charts) // columns))
    figure = Figure(figsize=(13.0, 0.9 + 2.5 * rows), dpi=100, layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, squeeze=False).ravel()
    times = watched.tallies.times.astype("datetime64[ms]")
    for panel, chart in zip(panels, charts, strict=False):
        _chart(panel, times, chart)
    for panel in panels[len(charts) :]:
        panel.set_visible(False)
    window = watched.rules.window_hours
    figure.suptitle(
        f"{watched.source}: windows of {window} hours, limits learnt from the first "
        f"{watched.rules.learn_days} days".replace("$", r"\$"),
        x=0.01, ha="left", fontsize=12,
    )  # fmt: skip
    if charts:
        alarm = Line2D([], [], color=_RED, linewidth=0, marker="o", markersize=3.5, label="alarm")
        figure.legend(
            handles=[*panels[0].get_legend_handles_labels()[0], alarm],
            loc="upper right", ncols=4, frameon=False, fontsize=9,
        )  # fmt: skip
    figure.supxlabel(watched.note, fontsize=8, color="#555555", x=0.99, ha="right")
    return figure


def _chart(panel: Axes, times: Array, chart: Chart) -> None:
    scale = 100.0 if chart.measure.unit == "%" else 1.0
    judged = chart.judged
    panel.fill_between(
        times[judged], scale * chart.low[judged], scale * chart.high[judged],
        color="#56B4E9", alpha=0.3, linewidth=0, label="limits",
    )  # fmt: skip
    panel.plot(times, scale * chart.value, color=_BLUE, linewidth=0.6, label="seen")
    panel.plot(times, scale * chart.centre, color="#000000", linewidth=0.5, label="expected")
    for alarm in chart.alarms:
        at = slice(alarm.start, alarm.end + 1)
        panel.plot(
            times[at], scale * chart.value[at], color=_RED, linewidth=0, marker="o", markersize=3.5
        )
    panel.axvline(times[int(np.argmax(judged))], color=_GREY, linestyle=":", linewidth=1)
    alarms = len(chart.alarms)
    text = f"{chart.measure.title}: {alarms or 'no'} alarm{'' if alarms == 1 else 's'}"
    panel.set_title(text, loc="left", fontsize=10)
    panel.set_ylabel(chart.measure.unit, fontsize=9)
    panel.set_ylim(0, _top(scale, chart))
    panel.spines[["top", "right"]].set_visible(False)
    locator = AutoDateLocator(maxticks=5)  # type: ignore[no-untyped-call]
    panel.xaxis.set_major_locator(locator)
    panel.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    panel.tick_params(labelsize=8)


def _top(scale: float, chart: Chart) -> float:
    """The upper end of the axis: what was seen and most of the limits, not their rare peaks."""
    seen = np.nanmax(chart.value, initial=0.0)
    high = chart.high[chart.judged & np.isfinite(chart.high)]
    usual = float(np.percentile(high, 75)) if len(high) else 0.0
    return scale * 1.08 * max(float(seen), usual, 1e-6)


def plot_drill(drill: Drill) -> Figure:
    """False alarms of each figure, and hours until each kind of incident was noticed."""
    figure = Figure(figsize=(11.0, 4.0), dpi=100, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.15))
    names = [m.title for m in drill.measures]
    rates, low, high = (values[:-1] for values in drill.false_alarms())
    reach = (rates - low, high - rates)
    left.errorbar(
        rates, names, xerr=reach, fmt="o", color=_BLUE, ecolor=_GREY, capsize=3, clip_on=False
    )
    left.invert_yaxis()
    left.set_xlim(left=0)
    left.set_xlabel("false alarms in four weeks (95 % interval)")
    left.set_title(f"Without an incident: {drill.worlds} worlds", loc="left", fontsize=11)
    for row, found in enumerate(drill.delays.values()):
        seen = np.sort(found[np.isfinite(found)])
        spread = np.linspace(-0.22, 0.22, len(seen)) if len(seen) > 1 else np.zeros(len(seen))
        right.plot(seen, row + spread, "o", color=_RED, alpha=0.75, markersize=6)
        missed = int(np.isnan(found).sum())
        text = f"{len(seen)} of {len(found)} noticed" + (f", {missed} missed" if missed else "")
        right.annotate(
            text, (1.0, row), xycoords=("axes fraction", "data"), xytext=(-4, 14),
            textcoords="offset points", ha="right", fontsize=8, color="#555555",
        )  # fmt: skip
        right.axhline(row, color="#DDDDDD", linewidth=0.8, zorder=0)
    right.set_yticks(range(len(drill.delays)), list(drill.delays))
    right.set_ylim(len(drill.delays) - 0.4, -0.6)
    right.set_xlim(left=0)
    right.set_xlabel("hours from its beginning to the first alarm")
    right.set_title("With an incident", loc="left", fontsize=11)
    for panel in (left, right):
        panel.spines[["top", "right"]].set_visible(False)
    figure.supxlabel(drill.note, fontsize=8, color="#555555", x=0.99, ha="right")
    return figure
