"""Figures of enrolment: time to it, the way from codes to passkeys, the planner's options."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from twofa_lab.analysis.enrolment_lives import daily_of, lives_of
from twofa_lab.analysis.picture import Figure
from twofa_lab.traffic.enrolment import NEVER, RUNGS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from twofa_lab.analysis.enrolment import EnrolmentStudy
    from twofa_lab.analysis.enrolment_plan import Plan
    from twofa_lab.tables import Array

__all__ = ["plot_arc", "plot_plan", "plot_time"]

_COLOURS = ("#7F7F7F", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MIX = {"none": "#D9D9D9", "otp": "#E69F00", "totp": "#56B4E9", "passkey": "#009E73"}
_WORDS = {"none": "no factor", "otp": "codes only", "totp": "app", "passkey": "passkey"}


def _note(figure: Figure, text: str) -> None:
    plain = text.replace("$", r"\$")
    figure.supxlabel(plain, fontsize=8, color="#555555", x=0.99, ha="right")


def _clean(axes: Axes, title: str) -> None:
    axes.set_title(title.replace("$", r"\$"), loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)


def plot_time(study: EnrolmentStudy, rung: str, who: str) -> Figure:
    """Left: shares enrolled, with 95 % intervals; right: shares that left before they enrolled."""
    figure = Figure(figsize=(11.0, 4.2), dpi=100, layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True)
    for name, colour in zip(study.names, _COLOURS * len(study.names), strict=False):
        if not lives_of(study.people, study[name], rung, who).enrolled.any():
            left.plot([0, study.people.days], [0, 0], color=colour)
            right.plot([], [], color=colour, label=f"{name} (nobody enrols)")
            continue
        found = study.incidence(name, rung, who)
        left.step(found.times, 100 * found.incidence[0], where="post", color=colour)
        left.fill_between(
            found.times, 100 * found.low[0], 100 * found.high[0], step="post", color=colour,
            alpha=0.2, linewidth=0,
        )  # fmt: skip
        if len(found.incidence) > 1:
            right.step(found.times, 100 * found.incidence[1], where="post", color=colour)
        right.plot([], [], color=colour, label=name)
    start = "sign-up" if who == "new" else "the first day"
    for axes, title, label in (
        (left, f"Enrolled in {_WORDS[rung]} or stronger", "accounts enrolled (%)"),
        (right, "Left before they enrolled", "accounts that left (%)"),
    ):
        _clean(axes, title)
        axes.set_ylim(bottom=0)
        axes.set_xlim(0, study.people.days)
        axes.set_xlabel(f"days since {start}")
        axes.set_ylabel(label)
    right.legend(frameon=False, fontsize=9, loc="lower right")
    _note(figure, study.note)
    return figure


def plot_arc(study: EnrolmentStudy, name: str) -> Figure:
    """The mix of rungs over time, and what follows from it, by month."""
    history = study[name]
    figure = Figure(figsize=(12.0, 6.4), dpi=100, layout="constrained")
    panels = figure.subplots(2, 2).ravel()
    days = np.arange(study.people.days)
    shares = 100 * history.active / np.maximum(history.active.sum(axis=1, keepdims=True), 1)
    panels[0].stackplot(
        days,
        shares.T[::-1],
        colors=[_MIX[rung] for rung in RUNGS[::-1]],
        labels=[_WORDS[rung] for rung in RUNGS[::-1]],
    )
    panels[0].axhline(30, color="black", linewidth=0.8, linestyle="--")
    if history.default_from != NEVER:
        panels[0].axvline(history.default_from, color="black", linewidth=0.8, linestyle=":")
        panels[0].annotate(
            f"30 %: default from day {history.default_from}", (history.default_from, 8),
            xytext=(6, 0), textcoords="offset points", fontsize=9,
        )  # fmt: skip
    panels[0].set_ylim(0, 100)
    panels[0].legend(loc="center right", fontsize=8.5, framealpha=0.9)
    _clean(panels[0], f"{name}: strongest factor of accounts")
    panels[0].set_ylabel("accounts (%)")
    daily, month = daily_of(study.people, history), 30
    logins, active = history.logins.sum(axis=1), history.active.sum(axis=1)
    asked = history.logins[:, 1:].sum(axis=1)
    series = (
        ("Messages", "US$ per 1,000 logins", 1000 * _ratio(daily.messages_usd, logins, month)),
        ("Challenges passed", "%", 100 * _ratio(np.nan_to_num(daily.passed) * asked, asked, month)),
        ("Takeovers expected", "per 1,000 accounts a year",
         365_000 * _ratio(daily.takeovers, active, month)),
    )  # fmt: skip
    for panel, (title, unit, values) in zip(panels[1:], series, strict=True):
        panel.plot(month * (np.arange(len(values)) + 0.5), values, color="#0072B2", marker=".")
        _clean(panel, title)
        panel.set_ylabel(unit.replace("$", r"\$"))
        if title != "Challenges passed":
            panel.set_ylim(bottom=0)
    for panel in panels:
        panel.set_xlim(0, study.people.days)
        panel.set_xlabel("day")
    _note(figure, study.note)
    return figure


def _ratio(top: Array, bottom: Array, month: int) -> Array:
    """Sums of whole months over each other."""
    whole = len(top) // month * month
    over, under = (v[:whole].reshape(-1, month).sum(axis=1) for v in (top, bottom))
    return np.asarray(over / np.maximum(under, 1))


def plot_plan(plan: Plan) -> Figure:
    """Accounts lost at prompts against the share with a passkey on the day asked about."""
    figure = Figure(figsize=(9.5, 4.8), dpi=100, layout="constrained")
    axes = figure.subplots()
    ordered = sorted(plan.options, key=lambda o: o.share)
    for index, option in enumerate(ordered):
        in_time = option.day is not None and option.day <= plan.by_day
        x, y = 100 * option.share, 100 * option.left_share
        axes.scatter(
            x, y, s=70, color="#009E73" if in_time else "#D55E00", marker="o" if in_time else "X",
            edgecolor="black" if option == plan.best else "none", linewidth=1.6, zorder=3,
        )  # fmt: skip
        last = index >= len(ordered) - 2
        above = 6 if last or index % 2 else -14
        axes.annotate(
            option.schedule.name.replace("$", r"\$"), (x, y), xytext=(-9 if last else 9, above),
            textcoords="offset points", fontsize=8.5, ha="right" if last else "left",
        )  # fmt: skip
    axes.axvline(100 * plan.target, color="black", linestyle="--", linewidth=0.9)
    axes.scatter([], [], color="#009E73", marker="o", label="in time")
    axes.scatter([], [], color="#D55E00", marker="X", label="too late")
    axes.scatter([], [], color="white", edgecolor="black", label="fewest lost of those in time")
    axes.legend(loc="upper left", frameon=False, fontsize=9)
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    axes.set_xlabel(f"accounts with a passkey on day {plan.by_day} (%); dashed: the target")
    axes.set_ylabel("accounts that left at a prompt (%)")
    _clean(axes, f"{100 * plan.target:.0f} % passkeys by day {plan.by_day}")
    _note(figure, plan.study.note)
    return figure
