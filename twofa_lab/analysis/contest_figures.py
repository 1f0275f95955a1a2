"""Figures of a contest: ROC, precision and recall, re-authentications, calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import FuncFormatter

from twofa_lab.analysis.picture import Figure
from twofa_lab.catalog.rba_results import LOGINS, MEDIANS, MEDIANS_SOURCE
from twofa_lab.tables import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from twofa_lab.analysis.contest import Contest
    from twofa_lab.analysis.contest_marks import Mark

__all__ = ["plot_calibration", "plot_medians", "plot_precision", "plot_roc"]

_COLOURS = ("#7F7F7F", "#000000", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_DASHES = ("--", ":", "-", "-", "-.", "-", "--", "-.")
_LEAST = 0.01  # per cent: where the logarithmic axis of challenge rates begins
_DRAWN = 1_500  # points of an exact curve that a picture can show


def _style(contest: Contest) -> dict[str, dict[str, Any]]:
    """Colour and dashes of each scorer, the same in every figure."""
    return {
        name: {"color": _COLOURS[at % len(_COLOURS)], "linestyle": _DASHES[at % len(_DASHES)]}
        for at, name in enumerate(contest.scorers)
    }


def _plain(text: str) -> str:
    return text.replace("$", r"\$")


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(_plain(title), loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)


def _source(figure: Figure, contest: Contest, more: str = "") -> None:
    facts = contest.facts
    text = f"{facts.name}, {facts.users:,} accounts, {facts.days} days{more}"
    figure.supxlabel(_plain(text), fontsize=8, color="#555555", x=0.99, ha="right")


def _panels(contest: Contest) -> tuple[Figure, list[tuple[str, Axes]]]:
    """A panel for each attacker model, two a row."""
    shown = [name for name in contest.attackers if name.startswith("model: ")]
    shown = shown or list(contest.attackers)[:4]
    rows = -(-len(shown) // 2)
    figure = Figure(figsize=(9.4, 0.8 + 3.4 * rows), dpi=110, layout="constrained")
    axes = figure.subplots(rows, 2, squeeze=False).ravel().tolist()
    for spare in axes[len(shown) :]:
        spare.set_visible(False)
    return figure, list(zip(shown, axes, strict=False))


def _thinned(values: Array) -> Array:
    return np.unique(np.linspace(0, len(values) - 1, _DRAWN).astype(int))


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper center", ncols=min(len(labels), 6), frameon=False,
        fontsize=9,
    )  # fmt: skip


def plot_roc(contest: Contest) -> Figure:
    """Attempts caught against legitimate logins challenged, on a logarithmic axis."""
    figure, panels = _panels(contest)
    styles = _style(contest)
    for attacker, axes in panels:
        for name in contest.scorers:
            found = contest.marks[name][attacker].curve
            rate = np.maximum(100 * found.challenge_rate, _LEAST)
            some = _thinned(rate)
            steps = "steps-post" if len(rate) < 300 else "default"
            axes.plot(
                np.append(_LEAST, rate[some]), np.append(0.0, 100 * found.caught_share[some]),
                label=_plain(name), linewidth=1.6, drawstyle=steps, **styles[name],
            )  # fmt: skip
        axes.axvline(100 * contest.goals.budget, color="#555555", linewidth=0.8)
        axes.set_xscale("log")
        axes.set_xlim(_LEAST, 100)
        axes.set_ylim(-2, 102)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        count = next(iter(contest.marks.values()))[attacker].attempts
        _finish(axes, f"{attacker} (n = {count:,})")
        axes.set_xlabel("legitimate logins challenged (%, log scale)", fontsize=9)
        axes.set_ylabel("attempts challenged (%)", fontsize=9)
    _legend(figure, panels[0][1])
    _source(figure, contest, f"; grey line: {100 * contest.goals.budget:g} % challenges")
    return figure


def _precision(mark: Mark, prevalence: float) -> tuple[Array, Array]:
    rate, share = mark.curve.challenge_rate, mark.curve.caught_share
    theirs, ours = prevalence * share, (1.0 - prevalence) * rate
    shown = share > 0
    return share[shown], theirs[shown] / (theirs[shown] + ours[shown])


def plot_precision(contest: Contest) -> Figure:
    """How many of those challenged are attackers, at the stated prevalence."""
    figure, panels = _panels(contest)
    styles = _style(contest)
    for attacker, axes in panels:
        for name in contest.scorers:
            recall, precision = _precision(contest.marks[name][attacker], contest.goals.prevalence)
            some = _thinned(recall)
            axes.plot(
                100 * recall[some], 100 * precision[some], label=_plain(name), linewidth=1.6,
                **styles[name],
            )  # fmt: skip
        axes.set_xlim(-2, 102)
        axes.set_yscale("log")
        axes.set_ylim(50 * contest.goals.prevalence, 130)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        _finish(axes, attacker)
        axes.set_xlabel("recall: attempts challenged (%)", fontsize=9)
        axes.set_ylabel("precision: attempts among\nthose challenged (%, log scale)", fontsize=9)
    _legend(figure, panels[0][1])
    odds = 1.0 / contest.goals.prevalence
    _source(figure, contest, f"; were one login in {odds:,.0f} with the right password an attempt")
    return figure


def plot_medians(contest: Contest) -> Figure:
    """Freeman's median re-authentications: the authors' on their logins, ours on ours."""
    shown = list(MEDIANS)
    figure = Figure(figsize=(10.2, 5.0), dpi=110, layout="constrained")
    panels = figure.subplots(1, len(shown))
    ours = contest.medians.get("freeman", {})
    for model, axes in zip(shown, panels, strict=True):
        for at, (share, theirs) in enumerate(MEDIANS[model].items()):
            colour = ("#D55E00", "#0072B2", "#009E73", "#CC79A7")[at]
            known = [(n, m) for n, m in zip(LOGINS, theirs, strict=True) if m is not None]
            axes.plot(
                *zip(*known, strict=True), color=colour, marker="o", linestyle="--", linewidth=1.2,
                fillstyle="none", label=f"{100 * share:g} %, authors'",
            )  # fmt: skip
            if model not in ours:
                continue
            value, low, high = np.array([(e.value, e.low, e.high) for e in ours[model][share]]).T
            axes.errorbar(
                LOGINS, value, yerr=np.maximum([value - low, high - value], 0), color=colour,
                marker="s", markersize=5, capsize=3, label=f"{100 * share:g} %, ours",
            )  # fmt: skip
        _finish(axes, model.replace("_", " "))
        axes.set_xticks(LOGINS)
        axes.set_ylim(bottom=-0.3)
        axes.set_xlabel("logins of the account", fontsize=9)
        axes.legend(
            fontsize=7.5, frameon=False, title="attackers stopped", title_fontsize=8, ncols=2,
            loc="upper center", bbox_to_anchor=(0.5, -0.18),
        )  # fmt: skip
    panels[0].set_ylabel("median re-authentications", fontsize=9)
    figure.suptitle(
        f"Freeman's scorer. Authors': {MEDIANS_SOURCE.split(',')[0]} et al., ACM TOPS 2022",
        fontsize=10, x=0.01, ha="left",
    )  # fmt: skip
    _source(figure, contest, " (ours; bars: 95 %)")
    return figure


def plot_calibration(contest: Contest) -> Figure:
    """Predicted probabilities against shares of attacks, in bins of equal numbers of attacks; bins
    without one are left out.
    """
    figure = Figure(figsize=(5.8, 4.6), dpi=110, layout="constrained")
    axes = figure.subplots()
    styles = _style(contest)
    least = 1.0
    for name, found in contest.calibrations.items():
        some = found.observed > 0  # the lowest bin holds no attack by its making
        least = min(least, *found.predicted[some], *found.observed[some])
        axes.plot(
            found.predicted[some], found.observed[some], marker="o", label=_plain(name),
            **styles[name],
        )  # fmt: skip
    axes.plot([least, 1], [least, 1], color="#7F7F7F", linewidth=1, label="as predicted")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("mean predicted probability of an attack")
    axes.set_ylabel("share that were attacks")
    axes.legend(frameon=False, fontsize=9)
    _finish(axes, "Calibration on the world's own attacks")
    _source(figure, contest)
    return figure
