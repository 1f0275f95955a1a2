"""Figures of a tuning: open beside closed loop, cost by threshold, who bears the challenges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from twofa_lab.analysis.picture import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from twofa_lab.analysis.burden import Burden, Group
    from twofa_lab.analysis.thresholds import Tuning

__all__ = ["plot_burden", "plot_costs", "plot_curves"]

_GREY, _BLUE, _ORANGE, _GREEN = "#7F7F7F", "#0072B2", "#D55E00", "#009E73"
_PARTS = {
    "messages": "#56B4E9", "support": "#E69F00", "lost_logins": "#CC79A7", "takeovers": "#D55E00",
}  # fmt: skip
_LEAST = 0.05  # per cent: where the logarithmic axis of challenge rates begins
_DRAWN = 2_000  # points of an exact curve that a picture can show


def _plain(text: str) -> str:
    return text.replace("$", r"\$")


def _source(figure: Figure, text: str) -> None:
    figure.supxlabel(_plain(text), fontsize=8, color="#555555", x=0.99, ha="right")


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(_plain(title), loc="left", fontsize=12)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)


def plot_curves(tuning: Tuning) -> Figure:
    """Legitimate logins challenged against attackers challenged and stopped, both loops."""
    figure = Figure(figsize=(8.2, 4.8), dpi=110, layout="constrained")
    axes = figure.subplots()
    rate, share = 100 * tuning.curve.challenge_rate, 100 * tuning.curve.caught_share
    some = np.unique(np.linspace(0, len(rate) - 1, _DRAWN).astype(int))
    dot = "o" if len(rate) <= 60 else ""
    axes.plot(
        np.maximum(rate[some], _LEAST), share[some], color=_GREY, linestyle="--", marker=dot,
        markersize=4, fillstyle="none", label="attackers challenged, open loop (scores as logged)",
    )  # fmt: skip
    asked = [p for p in tuning.points if p.threshold is not None]
    x = np.maximum([100 * p.result.challenge_rate.value for p in asked], _LEAST)
    axes.plot(
        x, [100 * p.caught for p in asked], color=_BLUE, marker="o", markersize=4,
        label="attackers challenged, closed loop (replayed)",
    )  # fmt: skip
    stopped = 100 * np.array([[p.stopped.low, p.stopped.value, p.stopped.high] for p in asked])
    axes.plot(
        x, stopped[:, 1], color=_ORANGE, marker="s", markersize=4,
        label="takeovers stopped, closed loop (band: 95 %)",
    )  # fmt: skip
    order = np.argsort(x, kind="stable")
    axes.fill_between(
        x[order], stopped[order, 0], stopped[order, 2], color=_ORANGE, alpha=0.15, linewidth=0
    )
    if tuning.budget is not None:
        axes.axvline(100 * tuning.budget, color="black", linestyle=":", linewidth=1.2)
        axes.annotate(
            f"budget {100 * tuning.budget:g} %", (100 * tuning.budget, 0.985), va="top",
            xycoords=("data", "axes fraction"), xytext=(4, 0), textcoords="offset points",
            fontsize=9,
        )  # fmt: skip
    if tuning.chosen is not None and tuning.point.threshold is not None:
        p = tuning.point
        at = (max(100 * p.result.challenge_rate.value, _LEAST), 100 * p.stopped.value)
        axes.plot(*at, marker="*", markersize=17, color=_GREEN, markeredgecolor="black")
        axes.annotate(
            f"challenge at {p.threshold:.3g}", at, xytext=(-6, -24), ha="left",
            textcoords="offset points", fontsize=10, color=_GREEN, fontweight="bold",
            bbox={"facecolor": "white", "alpha": 0.85, "linewidth": 0, "pad": 1.5},
        )  # fmt: skip
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(range(0, 101, 20))
    axes.set_ylim(-3, 113)  # room for the budget's name
    axes.set_xlabel("legitimate logins challenged (% of those with the right password, log scale)")
    axes.set_ylabel("attackers with the right password (%)")
    axes.legend(loc="lower right", fontsize=8.5, frameon=True)
    _finish(axes, "What each threshold asks of people and of attackers")
    facts = tuning.facts
    _source(
        figure,
        f"{facts.name}, {facts.users:,} accounts, {facts.days} days; "
        f"logged under: {tuning.logged_under.name}",
    )
    return figure


def plot_costs(tuning: Tuning) -> Figure:
    """US$ per 1,000 legitimate logins at each threshold, in its parts."""
    figure = Figure(figsize=(8.2, 4.4), dpi=110, layout="constrained")
    axes = figure.subplots()
    at = np.arange(len(tuning.points))
    bottom = np.zeros(len(at))
    for name, colour in _PARTS.items():
        values = np.array([getattr(p.result.cost, name).value for p in tuning.points])
        axes.bar(at, values, 0.78, bottom=bottom, color=colour, label=name.replace("_", " "))
        bottom += values
    totals = [p.result.cost.total for p in tuning.points]
    ends = [[t.value - t.low for t in totals], [t.high - t.value for t in totals]]
    axes.errorbar(at, bottom, yerr=np.maximum(ends, 0), fmt="none", ecolor="#333333", capsize=2)
    highest = max(t.high for t in totals)
    if tuning.chosen is not None:
        axes.annotate(
            "chosen", (tuning.chosen, totals[tuning.chosen].high), ha="center", color=_GREEN,
            xytext=(tuning.chosen, 1.06 * highest), fontweight="bold",
            arrowprops={"arrowstyle": "->", "color": _GREEN},
        )  # fmt: skip
    step = max(1, len(at) // 14)
    words = ["never" if p.threshold is None else f"{p.threshold:.2g}" for p in tuning.points]
    turned = {"rotation": 40, "ha": "right"} if step > 1 else {}
    axes.set_xticks(at[::step], words[::step])
    axes.tick_params("x", labelsize=9)
    for label in axes.get_xticklabels():
        label.set(**turned)
    axes.set_ylim(0, 1.28 * highest)
    axes.set_xlabel("challenge at this score or above (fewest challenges on the left)")
    axes.set_ylabel(_plain("US$ per 1,000 legitimate logins\n(line: 95 % interval of the total)"))
    _finish(axes, "Cost by threshold")
    axes.legend(ncols=4, loc="upper right", frameon=False, fontsize=8.5)
    facts = tuning.facts
    _source(figure, f"{facts.name}, {facts.users:,} accounts, {facts.days} days")
    return figure


def plot_burden(found: Burden) -> Figure:
    """Challenge rate over the weeks, and of each segment beside the whole."""
    weeks = found.of("week")
    others = [group for group in found.groups if group.kind != "week"]
    height = max(3.6, 1.2 + 0.27 * len(others))
    figure = Figure(figsize=(9.6, height), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
    at = np.array([int(group.name) for group in weeks])
    _band(left, at, weeks)
    whole = 100 * found.overall.challenge_rate.value
    left.axhline(whole, color=_GREY, linestyle="--", linewidth=1)
    left.set_xlabel("week of the window")
    left.set_ylabel("legitimate logins challenged (%)")
    left.set_ylim(bottom=0)
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    _finish(left, "By week (band: 95 %)")
    rows = np.arange(len(others))
    values, ends = _rates(others)
    right.errorbar(values, rows, xerr=ends, fmt="o", color=_BLUE, capsize=3, markersize=5)
    right.axvline(whole, color=_GREY, linestyle="--", linewidth=1)
    right.set_yticks(
        rows, [f"{group.kind}: {_plain(group.name)}" for group in others], fontsize=8.5
    )
    right.invert_yaxis()
    right.set_xlim(left=0)
    right.set_xlabel(f"legitimate logins challenged (%; dashed: all, {whole:.2f} %)")
    _finish(right, "By segment")
    _source(figure, f"{found.policy}; {found.note}")
    return figure


def _rates(groups: list[Group] | tuple[Group, ...]) -> tuple[np.ndarray, np.ndarray]:
    table = 100 * np.array(
        [[g.challenge_rate.value, g.challenge_rate.low, g.challenge_rate.high] for g in groups]
    ).reshape(-1, 3)
    value = np.nan_to_num(table[:, 0])
    ends = [np.nan_to_num(value - table[:, 1]), np.nan_to_num(table[:, 2] - value)]
    return value, np.maximum(ends, 0.0)


def _band(axes: Axes, at: np.ndarray, groups: tuple[Group, ...]) -> None:
    value, ends = _rates(groups)
    axes.plot(at, value, color=_BLUE, marker="o", markersize=4)
    axes.fill_between(at, value - ends[0], value + ends[1], color=_BLUE, alpha=0.2, linewidth=0)
