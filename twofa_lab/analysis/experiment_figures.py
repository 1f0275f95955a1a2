"""Figures of experiments: effects, looks, peeking, groups, novelty, the plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from twofa_lab.analysis.experiment_data import Metric
from twofa_lab.analysis.experiment_estimates import MetricResult
from twofa_lab.analysis.picture import Figure
from twofa_lab.analysis.sequential import KINDS, boundaries, crossing, peeking_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from twofa_lab.analysis.experiment_design import Design
    from twofa_lab.analysis.experiment_looks import Looks
    from twofa_lab.analysis.experiment_result import Analysis
    from twofa_lab.analysis.experiment_segments import Novelty, Segments
    from twofa_lab.tables import Array

__all__ = [
    "plot_design", "plot_effects", "plot_looks", "plot_novelty", "plot_peeking", "plot_segments"
]  # fmt: skip

_BLUE, _RED, _GREY, _GREEN, _ORANGE = "#0072B2", "#D55E00", "#7F7F7F", "#009E73", "#E69F00"
_SERIES = (_BLUE, _RED, _GREEN, "#CC79A7", _ORANGE, "#56B4E9", "#000000")
_DASHES = ("-", "--", "-.", ":")


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), dpi=110, layout="constrained")


def _bare(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def _scale(metric: Metric) -> float:
    return 100.0 if metric.unit == "share" else 1.0


def _unit(metric: Metric) -> str:
    return {"share": "points", "usd": "US$ a visitor", "number": "a visitor"}[metric.unit]


def plot_effects(analysis: Analysis, truths: Sequence[float] | None = None) -> Figure:
    """A row a metric, each on its own scale: effect, 95 % interval, margin, perhaps the truth."""
    results = analysis.results
    figure = _figure(8.2, 0.72 * len(results) + 0.9)
    rows = np.atleast_1d(figure.subplots(len(results), 1))
    for index, (axes, r) in enumerate(zip(rows, results, strict=True)):
        truth = None if truths is None else truths[index]
        _effect_row(axes, r, truth)
    arms = f"{analysis.experiment.treatment} less {analysis.experiment.control}"
    figure.suptitle(f"Effects, {arms}, with 95 % intervals", x=0.01, ha="left", fontsize=12)
    note = "shaded: beyond a guardrail's margin" + (
        "" if truths is None else "; diamond: the truth"
    )
    figure.supxlabel(note, fontsize=8.5, color="#555555", x=0.99, ha="right")
    return figure


def _effect_row(axes: Axes, r: MetricResult, truth: float | None) -> None:
    k, e, m = _scale(r.metric), r.effect, r.metric
    ends = [e.low, e.high, 0.0] + ([] if truth is None else [truth])
    if m.margin:
        ends.append(-m.sign * m.margin)
    low, high = k * min(ends), k * max(ends)
    room = 0.12 * (high - low) or 1.0
    axes.set_xlim(low - room, high + room)
    if m.margin:
        edge, beyond = -m.sign * k * m.margin, axes.get_xlim()[0 if m.sign > 0 else 1]
        axes.axvspan(min(edge, beyond), max(edge, beyond), color=_RED, alpha=0.18, linewidth=0)
    axes.axvline(0, color="#333333", linewidth=0.8)
    good, bad = (r.good[0] > 0), (r.good[1] < 0)
    colour = _BLUE if good else _RED if bad else _GREY
    axes.plot([k * e.low, k * e.high], [0, 0], color=colour, linewidth=3, solid_capstyle="butt")
    axes.plot(k * e.value, 0, "o", color=colour, markersize=7)
    if truth is not None:
        axes.plot(
            k * truth, 0, "D", markersize=7, markerfacecolor="white", markeredgecolor="black",
            markeredgewidth=1.3,
        )  # fmt: skip
    axes.set_ylim(-1, 1)
    axes.set_yticks([0], [f"{m.title}\n({m.role}, {_unit(m)})"], fontsize=8.5)
    axes.tick_params(axis="x", labelsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(7))
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)


def plot_looks(looks: Looks) -> Figure:
    """Left: z by visitors against the bounds. Right: the effect with its intervals."""
    figure = _figure(9.6, 4.4)
    left, right = figure.subplots(1, 2)
    share = 100 * looks.information
    at = np.array([100 * look.information for look in looks.looks])
    bounds = np.array([look.bound for look in looks.looks])
    known = np.isfinite(bounds)
    left.plot(share, looks.z, color=_BLUE, label="z, daily")
    for sign in (1, -1):
        left.plot(
            at[known], sign * bounds[known], "s--", color=_RED, markersize=5, linewidth=1,
            label="bound of the planned looks" if sign == 1 else None,
        )  # fmt: skip
        left.axhline(
            sign * 1.96,
            color=_GREY,
            linewidth=1,
            linestyle=":",
            label="1.96" if sign == 1 else None,
        )
    left.axhline(0, color="#333333", linewidth=0.8)
    if looks.stopped:
        stop = looks.stopped
        left.plot(
            100 * stop.information, stop.z, "o", color="black", markersize=9, fillstyle="none",
            label="bound reached",
        )  # fmt: skip
    left.set_ylabel("z")
    left.set_title(f"{looks.metric.title}: may one stop?", loc="left", fontsize=11)
    k = _scale(looks.metric)
    right.fill_between(
        share, k * looks.low, k * looks.high, color=_BLUE, alpha=0.18, linewidth=0,
        label="confidence sequence, all days",
    )  # fmt: skip
    right.plot(share, k * looks.effect, color=_BLUE, label="effect")
    for i, look in enumerate(looks.looks):
        if np.isfinite(look.low):
            right.plot(
                [100 * look.information] * 2, [k * look.low, k * look.high], color=_RED,
                linewidth=2, label="repeated interval" if i == len(looks.looks) - 1 else None,
            )  # fmt: skip
    right.axhline(0, color="#333333", linewidth=0.8)
    centre, half = k * looks.effect[-1], k * (looks.high[-1] - looks.low[-1])
    right.set_ylim(min(centre - 3 * half, -0.5 * half), max(centre + 3 * half, 0.5 * half))
    right.set_ylabel(f"effect ({_unit(looks.metric)})")
    right.set_title("intervals that hold together", loc="left", fontsize=11)
    for axes in (left, right):
        axes.set_xlabel("visitors (% of planned)")
        axes.set_xlim(0, 104)
        axes.legend(
            fontsize=8.5, frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.15)
        )
        axes.grid(alpha=0.25)
        _bare(axes)
    return figure


def plot_peeking(most: int = 28, seen: tuple[Array, Array, Array] | None = None) -> Figure:
    """How often an experiment without effect is called one, by the number of looks.

    `seen` may add what a simulation found: looks, rates, Monte-Carlo errors.
    """
    figure = _figure(7.2, 4.2)
    axes = figure.subplots()
    looks = np.arange(1, most + 1)
    axes.plot(
        looks, [100 * peeking_error(int(k)) for k in looks], color=_RED, linewidth=2,
        label="stop as soon as |z| > 1.96",
    )  # fmt: skip
    for kind, colour, dash in zip(KINDS[2:], (_BLUE, _GREEN), ("-", "--"), strict=True):
        rates = [100 * crossing(int(k), boundaries(int(k), kind=kind)).sum() for k in looks]
        label = {"lan-demets-obrien-fleming": "Lan-DeMets, O'Brien-Fleming spending",
                 "lan-demets-pocock": "Lan-DeMets, Pocock spending"}[kind]  # fmt: skip
        axes.plot(looks, rates, color=colour, linestyle=dash, linewidth=2, label=label)
    if seen is not None:
        axes.errorbar(
            seen[0], 100 * seen[1], yerr=196 * seen[2], fmt="o", color="black", capsize=3,
            label="simulated",
        )  # fmt: skip
    axes.set_xlabel("looks at the data, equally spaced")
    axes.set_ylabel("false positives (% of experiments without effect)")
    axes.set_ylim(0, None)
    axes.set_title("What peeking does", loc="left", fontsize=12)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=9)
    axes.grid(alpha=0.25)
    _bare(axes)
    return figure


def plot_segments(found: Segments) -> Figure:
    """The effect in each group beside that of all."""
    k, rows = _scale(found.metric), found.segments
    figure = _figure(7.6, 0.42 * len(rows) + 1.5)
    axes = figure.subplots()
    whole = found.whole.effect
    axes.axvspan(k * whole.low, k * whole.high, color=_GREY, alpha=0.25, linewidth=0, label="all")
    axes.axvline(0, color="#333333", linewidth=0.8)
    for y, s in enumerate(rows):
        e = s.result.effect
        differs = s.holm < 0.05
        axes.plot([k * e.low, k * e.high], [y, y], color=_RED if differs else _BLUE, linewidth=3)
        axes.plot(k * e.value, y, "s" if differs else "o", color=_RED if differs else _BLUE)
    axes.set_yticks(range(len(rows)), [f"{s.column}: {s.value}" for s in rows])
    axes.invert_yaxis()
    axes.set_xlabel(f"effect on {found.metric.title} ({_unit(found.metric)}), 95 % intervals")
    axes.set_title("Effect by group", loc="left", fontsize=12)
    note = "grey: all visitors; red squares differ from the others at 5 % after Holm's adjustment"
    figure.supxlabel(note, fontsize=8, color="#555555", x=0.99, ha="right")
    axes.grid(axis="x", alpha=0.25)
    _bare(axes)
    return figure


def plot_novelty(found: Novelty) -> Figure:
    """The effect by day of arrival, with the fitted trend."""
    k = _scale(found.metric)
    figure = _figure(7.6, 3.8)
    axes = figure.subplots()
    y = k * np.array([r.effect.value for r in found.results])
    low, high = (
        k * np.array([getattr(r.effect, end) for r in found.results]) for end in ("low", "high")
    )
    axes.axhline(0, color="#333333", linewidth=0.8)
    axes.errorbar(
        found.days,
        y,
        yerr=[y - low, high - y],
        fmt="o",
        color=_BLUE,
        capsize=2,
        label="effect, 95 %",
    )
    if np.isfinite(found.slope):
        weights = 1.0 / (high - low) ** 2
        middle, level = np.average(found.days, weights=weights), np.average(y, weights=weights)
        line = level + k * found.slope * (found.days - middle)
        axes.plot(found.days, line, color=_RED, linestyle="--", label="trend")
    axes.set_xlabel("day of arrival since the start")
    axes.set_ylabel(f"effect ({_unit(found.metric)})")
    axes.set_title(f"Does the effect on {found.metric.title} last?", loc="left", fontsize=12)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=9)
    axes.grid(alpha=0.25)
    _bare(axes)
    return figure


def plot_design(design: Design) -> Figure:
    """The smallest effect each metric would show, by days of running."""
    figure = _figure(7.6, 4.2)
    axes = figure.subplots()
    for index, need in enumerate(design.needs):
        name = need.metric.name
        curve = 100 * design.curves[name]
        colour = _SERIES[index % len(_SERIES)]
        style = _DASHES[index % len(_DASHES)]
        axes.plot(
            design.days, curve, color=colour, linestyle=style, linewidth=2, label=need.metric.title
        )
        if need.days <= design.days[-1]:
            axes.axvline(need.days, color=colour, linestyle=style, linewidth=0.8, alpha=0.8)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(PercentFormatter(decimals=0))
    axes.yaxis.set_minor_formatter(
        FuncFormatter(lambda v, _: f"{v:g}%" if f"{v:g}"[0] in "25" else "")
    )
    axes.set_xlabel(f"days of running, {design.visitors_per_day:,.0f} visitors a day")
    axes.set_ylabel("smallest visible effect (% of the control's value)")
    axes.set_title(
        f"What can be seen, with power {100 * design.power:.0f} %", loc="left", fontsize=12
    )
    note = "thin verticals: when a metric has the visitors it needs"
    figure.supxlabel(note, fontsize=8, color="#555555", x=0.99, ha="right")
    axes.legend(frameon=False, fontsize=9)
    axes.grid(alpha=0.25, which="both")
    _bare(axes)
    return figure
