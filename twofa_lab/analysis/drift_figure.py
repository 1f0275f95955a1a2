"""The figure of a drift: PSI of each signal beside its marks, and the scores of both periods."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from twofa_lab.analysis.drift_measures import MARKS
from twofa_lab.analysis.picture import Figure
from twofa_lab.analysis.thresholds_sweep import threshold_word

if TYPE_CHECKING:
    from twofa_lab.analysis.drift import Drift

__all__ = ["plot_drift"]

_GREY, _BLUE, _ORANGE, _GREEN = "#7F7F7F", "#0072B2", "#D55E00", "#009E73"
_LEAST = 1e-5  # where the logarithmic axis of the index begins


def plot_drift(found: Drift) -> Figure:
    """Left: PSI by signal, the largest on top. Right: share of logins at or above each score."""
    shifts = found.last()
    figure = Figure(figsize=(10.4, 5.0), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    at = np.arange(len(shifts))
    left.scatter(
        np.maximum([s.psi_chance for s in shifts], _LEAST), at, marker="|", s=130, color=_GREY,
        label="by chance, 1 in 20",
    )  # fmt: skip
    for label, colour, chosen in (
        ("within chance", _GREY, True), ("beyond chance", _ORANGE, False),
    ):  # fmt: skip
        rows = [i for i, s in enumerate(shifts) if (s.reading == "within chance") == chosen]
        values = [max(shifts[i].psi, _LEAST) for i in rows]
        left.scatter(values, rows, color=colour, s=38, label=label, zorder=3,
                     facecolors="white" if chosen else colour)  # fmt: skip
    for mark in MARKS.values():
        left.axvline(mark, color="black", linestyle=":", linewidth=1)
    left.set_xscale("log")
    left.set_xlim(_LEAST / 2, max(1.0, 2 * max(s.psi for s in shifts)))
    left.set_yticks(at, [s.name for s in shifts], fontsize=9)
    left.invert_yaxis()
    left.set_xlabel("PSI (log scale; dotted: 0.1 and 0.25)")
    left.legend(loc="lower right", fontsize=8.5)
    names = (found.periods[0].name, found.periods[-1].name)
    for name, share, colour, style in zip(
        names, found.scores, (_GREY, _BLUE), ("--", "-"), strict=True
    ):
        right.step(found.levels, 100 * share, where="pre", color=colour, linestyle=style,
                   label=name)  # fmt: skip
    if found.retune is not None:
        r = found.retune
        right.axvline(r.threshold, color="black", linewidth=1, linestyle=":",
                      label=f"challenge at {threshold_word(r.threshold)}")  # fmt: skip
        if r.suggested != r.threshold:
            right.axvline(r.suggested, color=_GREEN, linewidth=1.4,
                          label=f"to keep the rate: {r.suggested:.3g}")  # fmt: skip
    right.set_yscale("log")
    right.set_ylim(top=130)
    right.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    right.set_xlabel("score")
    right.set_ylabel("judged logins at or above it (%, log scale)")
    right.legend(fontsize=8.5)
    for axes, title in ((left, "What moved"), (right, "The scores")):
        axes.set_title(title, loc="left", fontsize=12)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    text = f"{found.policy.name}: {names[0]} to {names[1]}".replace("$", r"\$")
    figure.supxlabel(text, fontsize=8, color="#555555", x=0.99, ha="right")
    return figure
