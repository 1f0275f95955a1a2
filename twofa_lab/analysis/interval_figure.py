"""A figure of shares with intervals: a row a name, a dot a series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from twofa_lab.analysis.estimates import Estimate
from twofa_lab.analysis.picture import Figure

__all__ = ["Series", "interval_figure"]

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
_MARKS = ("o", "s", "^", "D")


class Series(NamedTuple):
    """A share (0 to 1) for every row; NaN draws nothing."""

    label: str
    values: Sequence[Estimate]


def interval_figure(
    title: str,
    rows: Sequence[str],
    series: Sequence[Series],
    xlabel: str,
    source: str,
    *,
    line: float | None = None,
) -> Figure:
    """Shares in per cent; `line` draws a dashed one through all rows.

    >>> found = interval_figure("t", ["a"], [Series("", [Estimate(0.5, 0.4, 0.6)])], "x", "s")
    >>> found.axes[0].get_xlabel()
    'x'
    """
    figure = Figure(figsize=(8.6, 1.7 + 0.36 * len(rows)), dpi=110, layout="constrained")
    axes = figure.subplots()
    at = np.arange(len(rows))
    step = 0.22 if len(series) > 1 else 0.0
    for k, (label, values) in enumerate(series):
        table = 100.0 * np.array([[e.value, e.low, e.high] for e in values]).reshape(-1, 3)
        table[:, 1:] = np.where(np.isnan(table[:, 1:]), table[:, :1], table[:, 1:])
        ends = np.maximum([table[:, 0] - table[:, 1], table[:, 2] - table[:, 0]], 0.0)
        axes.errorbar(
            table[:, 0], at + (k - (len(series) - 1) / 2) * step, xerr=ends, fmt=_MARKS[k],
            color=_COLOURS[k], capsize=3, markersize=6, label=label or None,
        )  # fmt: skip
    if line is not None:
        axes.axvline(100.0 * line, color="#7F7F7F", linestyle="--", linewidth=1)
    axes.set_yticks(at, [row.replace("$", r"\$") for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
    axes.set_xlabel(xlabel)
    axes.set_title(title.replace("$", r"\$"), loc="left", fontsize=12)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.25)
    if len(series) > 1:
        figure.legend(loc="outside lower left", ncols=len(series), frameon=False, fontsize=9)
    figure.supxlabel(source.replace("$", r"\$"), fontsize=8, color="#555555", x=0.99, ha="right")
    return figure
