"""The figure of a realism report: generated bars and lines, published marks, six panels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from twofa_lab.analysis.picture import Figure
from twofa_lab.tables import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from twofa_lab.analysis.realism import Marginal, Realism

__all__ = ["plot_realism"]

_GENERATED, _SECOND, _PUBLISHED = "#56B4E9", "#009E73", "#D55E00"  # Okabe and Ito's palette
_SHARES = {
    "success": "right password",
    "attack addresses": "from a listed address",
    "round-trip time missing": "without round-trip time",
    "new device": "new device *",
    "new country": "new country *",
}


def plot_realism(report: Realism) -> Figure:
    """Generated marginals (blue) and published ones (orange marks), one panel a group."""
    figure = Figure(figsize=(11.5, 7.4), dpi=110, layout="constrained")
    axes = figure.subplots(2, 3)
    _logins(axes[0, 0], report)
    _bars(axes[0, 1], report["countries"], "Countries")
    _bars(axes[0, 2], report["device types"], "Device types")
    _day(axes[1, 0], report)
    _shares(axes[1, 1], report)
    _distances(axes[1, 2], report)
    for panel in axes.flat:
        panel.spines[["top", "right"]].set_visible(False)
    handles, labels = axes[0, 1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=2, frameon=False)
    title = f"Realism of {report.world}: {report.rows:,} logins, {report.days} days"
    figure.suptitle(title, x=0.01, ha="left", fontsize=13)
    text = f"Published: {report.published.source}.   * of completed logins after an account's first"
    figure.supxlabel(text, fontsize=8, color="#555555", x=0.99, ha="right")
    return figure


def _logins(axes: Axes, report: Realism) -> None:
    """Complementary distribution of logins per account, on logarithmic scales."""
    for shares, colour, style in (
        (report.logins, _GENERATED, "-"),
        (report.published_logins, _PUBLISHED, "--"),
    ):
        at_least = np.cumsum(shares[::-1])[::-1][1:]
        k = np.arange(1, len(at_least) + 1)
        shown = at_least > 1e-5
        axes.plot(
            k[shown], 100 * at_least[shown], style, color=colour, linewidth=2, drawstyle="steps-mid"
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(0.01, 130)
    axes.set_xlabel(f"logins of an account in {report.days} days")
    axes.set_ylabel("accounts with at least so many (%)")
    axes.set_title("Logins per user", loc="left", fontsize=11)
    axes.grid(alpha=0.25)


def _bars(axes: Axes, marginal: Marginal, title: str) -> None:
    rows = np.arange(len(marginal.items))
    generated = [100 * i.generated for i in marginal.items]
    published = [100 * (i.published or 0.0) for i in marginal.items]
    axes.barh(rows, generated, height=0.6, color=_GENERATED, label="generated")
    axes.plot(
        published, rows, "D", color=_PUBLISHED, markersize=7, clip_on=False, label="published"
    )
    axes.set_yticks(rows, [i.label for i in marginal.items])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.12 * max(*generated, *published))
    axes.set_xlabel("logins (%)")
    axes.set_title(title, loc="left", fontsize=11)


def _day(axes: Axes, report: Realism) -> None:
    """Logins a minute by time of day, relative to the peak, on both clocks."""
    from twofa_lab.analysis.realism import hourly

    hours = np.arange(len(report.local)) / 60.0
    for minutes, colour, name in (
        (report.local, _GENERATED, "home clock"),
        (report.utc, _SECOND, "UTC"),
    ):
        rate: Array = 100 * hourly(minutes)
        axes.plot(hours, rate, color=colour, linewidth=2, label=name)
    known = report.published.per_minute
    peak = max(known.values())
    axes.plot(
        [*known],
        [100 * v / peak for v in known.values()],
        "D",
        color=_PUBLISHED,
        markersize=7,
        clip_on=False,
    )
    axes.set_xlim(-0.3, 24.3)
    axes.set_xticks(range(0, 25, 4))
    axes.set_ylim(0, 124)
    axes.set_yticks(range(0, 101, 20))
    axes.set_xlabel("hour of the day")
    axes.set_ylabel("logins a minute (% of the peak)")
    axes.set_title("Daily shape", loc="left", fontsize=11)
    axes.legend(frameon=False, loc="upper center", ncols=2)
    axes.grid(alpha=0.25)


def _shares(axes: Axes, report: Realism) -> None:
    items = [(i.label, i) for i in report["accounts by logins"].items]
    items += [(label, report[name].items[0]) for name, label in _SHARES.items()]
    rows = np.arange(len(items))
    axes.barh(rows, [100 * i.generated for _, i in items], height=0.6, color=_GENERATED)
    known = [(row, i.published) for row, (_, i) in enumerate(items) if i.published is not None]
    axes.plot(
        [100 * value for _, value in known],
        [row for row, _ in known],
        "D",
        color=_PUBLISHED,
        clip_on=False,
    )
    for row, (_, item) in enumerate(items):
        if item.published is None:
            axes.text(100 * item.generated + 2, row, "none published", va="center", fontsize=8)
    axes.set_yticks(rows, [label for label, _ in items], fontsize=8.5)
    axes.invert_yaxis()
    axes.set_xlim(0, 104)
    axes.set_xlabel("share (%)")
    axes.set_title("Shares", loc="left", fontsize=11)


def _distances(axes: Axes, report: Realism) -> None:
    found = [m for m in report.marginals if m.distance is not None]
    rows = np.arange(len(found))
    values = [m.distance or 0.0 for m in found]
    axes.barh(rows, values, height=0.6, color="#999999")
    most = max(*values, 0.1)
    for row, (marginal, value) in enumerate(zip(found, values, strict=True)):
        text = f"{value:.3f} {marginal.measure}"
        if value > 0.5 * most:
            axes.text(value - 0.01 * most, row, text, va="center", ha="right", fontsize=8)
        else:
            axes.text(value + 0.01 * most, row, text, va="center", fontsize=8)
    axes.set_yticks(rows, [m.name for m in found], fontsize=8.5)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.05 * most)
    axes.set_xlabel("distance (0: the same as published)")
    axes.set_title("Distances", loc="left", fontsize=11)
