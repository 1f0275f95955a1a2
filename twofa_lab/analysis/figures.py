"""Figures of a comparison: labelled, with units, in colours that colour-blind readers can tell
apart (Okabe and Ito's palette), and with the policy's name beside its colour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator

from twofa_lab.analysis.picture import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from twofa_lab.analysis.comparison import Comparison
    from twofa_lab.analysis.estimates import PolicyResult
    from twofa_lab.analysis.own_logs import LogReplay

__all__ = ["colour_of", "plot_attacks", "plot_cost", "plot_funnel", "plot_trade_off", "plot_weekly"]

_BUILT_IN = {"password-only": "#7F7F7F", "universal": "#D55E00", "risk-based": "#0072B2"}
_OTHERS = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_PARTS = ("#56B4E9", "#E69F00", "#CC79A7", "#D55E00")
_ENDINGS = {
    "not asked": "#D9D9D9",
    "asked and completed": "#0072B2",
    "abandoned": "#D55E00",
    "undelivered": "#E69F00",
    "other": "#000000",
}


def colour_of(results: tuple[PolicyResult, ...]) -> dict[str, str]:
    """A colour for each policy: built-in ones always the same."""
    others = iter(_OTHERS * len(results))
    return {r.name: _BUILT_IN.get(r.name) or next(others) for r in results}


def _plain(text: str) -> str:
    """Text of a user's in a figure: its dollar signs do not begin a formula."""
    return text.replace("$", r"\$")


def _axes(title: str, width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    axes = figure.subplots()
    axes.set_title(_plain(title), loc="left", fontsize=12)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _source(figure: Figure, study: Comparison) -> None:
    kind = (
        "simulated traffic"
        if study.facts.human_side == "simulated"
        else ("real logins, simulated people")
    )
    text = f"{kind}: {study.facts.name}, {study.facts.users:,} accounts, {study.facts.days} days"
    figure.supxlabel(_plain(text), fontsize=8, color="#555555", x=0.99, ha="right")


def plot_trade_off(study: Comparison) -> Figure:
    """Legitimate logins lost against takeovers, one point a policy, with 95 % intervals."""
    figure, axes = _axes("What step-up costs and what it stops", 7.2, 4.6)
    colours = colour_of(study.results)
    for result in study.results:
        lost, rate = result.conversion, result.takeover_rate
        x, y = 100 * (1 - lost.value), 100 * rate.value
        spread_x = 100 * np.array([[lost.high - lost.value], [lost.value - lost.low]])
        spread_y = 100 * np.array([[rate.value - rate.low], [rate.high - rate.value]])
        axes.errorbar(
            x, y, xerr=np.maximum(spread_x, 0), yerr=np.maximum(spread_y, 0), fmt="o",
            markersize=9, capsize=4, color=colours[result.name], label=_plain(result.name),
        )  # fmt: skip
        asks = f"{_plain(result.name)}\nasks {100 * result.challenge_rate.value:.0f} %"
        axes.annotate(
            asks, (x, y), xytext=(12, 8 if y < 80 else -28), textcoords="offset points",
            color=colours[result.name], fontsize=10,
        )  # fmt: skip
    axes.set_xlabel("legitimate logins lost (% of those with the right password)")
    axes.set_ylabel("takeovers (% of attacker logins\nwith the right password)")
    axes.set_ylim(-3, max(103.0, axes.get_ylim()[1]))
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, -0.3), high + 0.18 * (high - low))
    axes.grid(alpha=0.25)
    axes.annotate(
        "better", (0.42, 0.52), (0.50, 0.62), xycoords="axes fraction", fontsize=10,
        color="#555555", arrowprops={"arrowstyle": "->", "color": "#555555"},
    )  # fmt: skip
    _source(figure, study)
    return figure


def _shares(result: PolicyResult) -> dict[str, float]:
    known = ("abandoned", "undelivered")
    other = sum(n for name, n in result.lost.items() if name not in known)
    counts = {
        "not asked": result.not_asked,
        "asked and completed": result.asked_and_completed,
        "abandoned": result.lost.get("abandoned", 0),
        "undelivered": result.lost.get("undelivered", 0),
        "other": other,
    }
    return {name: 100.0 * n / max(result.legitimate, 1) for name, n in counts.items()}


def plot_funnel(study: Comparison) -> Figure:
    """What became of every 100 legitimate logins with the right password."""
    height = 1.6 + 0.62 * len(study.results)
    figure, axes = _axes("What became of 100 legitimate logins", 8.2, height)
    for row, result in enumerate(study.results):
        left = 0.0
        for name, share in _shares(result).items():
            axes.barh(row, share, left=left, color=_ENDINGS[name], height=0.62)
            if share >= 4.0:
                dark = name in ("asked and completed", "abandoned", "other")
                axes.text(
                    left + share / 2, row, f"{share:.1f}", ha="center", va="center", fontsize=9,
                    color="white" if dark else "black",
                )  # fmt: skip
            left += share
        lost = 100.0 * (1.0 - result.conversion.value)
        axes.text(101, row, f"{lost:.2f} lost", va="center", fontsize=9)
    axes.set_yticks(range(len(study.results)), [_plain(r.name) for r in study.results])
    axes.invert_yaxis()
    axes.set_xlim(0, 114)
    axes.set_xticks(range(0, 101, 20))
    axes.set_xlabel("legitimate logins (%)")
    handles = [axes.barh(0, 0, color=c, label=name) for name, c in _ENDINGS.items()]
    axes.legend(
        handles=handles, ncols=5, loc="lower center", bbox_to_anchor=(0.46, 1.1), frameon=False,
        fontsize=8.5, columnspacing=1.2, handlelength=1.2,
    )  # fmt: skip
    axes.title.set_position((0, 1.0))
    _source(figure, study)
    return figure


def plot_cost(study: Comparison) -> Figure:
    """US$ per 1,000 legitimate logins: messages, support, lost logins, takeovers."""
    height = 1.6 + 0.62 * len(study.results)
    figure, axes = _axes("Cost per 1,000 legitimate logins", 8.2, height)
    names = ("messages", "support", "lost logins", "takeovers")
    most = max(r.cost.total.value for r in study.results) or 1.0
    for row, result in enumerate(study.results):
        cost = result.cost
        values = (cost.messages, cost.support, cost.lost_logins, cost.takeovers)
        left = 0.0
        for name, part, colour in zip(names, values, _PARTS, strict=True):
            axes.barh(
                row, part.value, left=left, color=colour, height=0.62,
                label=name if row == 0 else None,
            )  # fmt: skip
            if part.value > 0.06 * most:
                axes.text(
                    left + part.value / 2, row, f"{part.value:.0f}", ha="center", va="center",
                    fontsize=9,
                )  # fmt: skip
            left += part.value
        total = cost.total
        spread = [[max(total.value - total.low, 0)], [max(total.high - total.value, 0)]]
        axes.errorbar(left, row + 0.4, xerr=spread, fmt="none", ecolor="#333333", capsize=3)
        axes.text(left + 0.015 * most, row, f"${left:.2f}", va="center")
    axes.set_yticks(range(len(study.results)), [_plain(r.name) for r in study.results])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.28 * most)
    axes.set_xlabel("US$ per 1,000 legitimate logins (line below: 95 % interval of the total)")
    axes.legend(
        ncols=4, loc="lower center", bbox_to_anchor=(0.46, 1.1), frameon=False, fontsize=8.5
    )
    _source(figure, study)
    return figure


def plot_attacks(study: Comparison) -> Figure:
    """Share of attackers with the right password who got in, by kind of attack and policy."""
    kinds = [
        kind
        for kind in dict.fromkeys(k for r in study.results for k in r.by_kind)
        if any(r.by_kind.get(kind, (0, 0))[1] for r in study.results)
    ]
    figure, axes = _axes("Who still gets in", 8.2, 1.6 + 0.5 * max(len(kinds), 1))
    colours = colour_of(study.results)
    thick = 0.8 / max(len(study.results), 1)
    for index, result in enumerate(study.results):
        rows = [result.by_kind.get(kind, (0, 0, 0, 0)) for kind in kinds]
        shares = [100.0 * row[3] / row[1] if row[1] else 0.0 for row in rows]
        at = np.arange(len(kinds)) + (index - (len(study.results) - 1) / 2) * thick
        axes.barh(
            at, shares, height=thick * 0.92, color=colours[result.name], label=_plain(result.name)
        )
    counts = [study.results[0].by_kind.get(kind, (0, 0))[1] for kind in kinds]
    labels = [f"{k.replace('_', ' ')} (n={n:,})" for k, n in zip(kinds, counts, strict=True)]
    axes.set_yticks(range(len(kinds)), labels)
    axes.invert_yaxis()
    axes.set_xlim(0, 104)
    axes.set_xlabel("attacker logins with the right password that got in (%)")
    axes.legend(ncols=4, loc="lower center", bbox_to_anchor=(0.4, 1.05), frameon=False, fontsize=9)
    axes.grid(axis="x", alpha=0.25)
    _source(figure, study)
    return figure


def plot_weekly(replayed: LogReplay) -> Figure:
    """Challenge rate of a replayed log by week since its first login."""
    figure, axes = _axes(f"{replayed.policy}: share of legitimate logins challenged", 7.2, 3.6)
    weeks = np.arange(1, len(replayed.weekly) + 1)
    axes.plot(weeks, 100 * np.array(replayed.weekly), marker="o", color="#0072B2")
    axes.axhline(100 * replayed.challenge_rate, color="#7F7F7F", linestyle="--", linewidth=1)
    axes.annotate(
        f"whole log: {100 * replayed.challenge_rate:.1f} %",
        (weeks[-1], 100 * replayed.challenge_rate),
        xytext=(0, 5), textcoords="offset points", ha="right", color="#555555", fontsize=9,
    )  # fmt: skip
    axes.set_xlabel("week of the log (nobody is known in the first)")
    axes.set_ylabel("challenged (%)")
    axes.set_ylim(0, 105)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    figure.supxlabel(_plain(replayed.note), fontsize=8, color="#555555", x=0.99, ha="right")
    return figure
