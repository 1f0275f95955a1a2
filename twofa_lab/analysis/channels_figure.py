"""The frontier of channel plans as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twofa_lab.analysis.channels import challenges_of
from twofa_lab.analysis.picture import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from twofa_lab.analysis.channels import ChannelStudy, Choice

__all__ = ["plot_frontier"]

_COLOURS = {"whatsapp": "#009E73", "sms": "#0072B2", "voice": "#D55E00"}


def plot_frontier(study: ChannelStudy, group: str) -> Figure:
    """Price of the messages against logins completed; colour: the first channel, size: seconds."""
    figure = Figure(figsize=(9.0, 5.2), dpi=100, layout="constrained")
    axes = figure.subplots()
    edge = study.frontier(group)
    best = study.cheapest(group)
    for one in study[group]:
        on = one in edge
        axes.scatter(
            one.cents, 100 * one.completed, s=14 + 4 * min(one.seconds[0], 60.0),
            color=_COLOURS[one.fallback.channels[0]], alpha=0.95 if on else 0.3,
            edgecolor="black" if on else "none", linewidth=0.9,
        )  # fmt: skip
    bottom, top = axes.get_ylim()
    axes.set_ylim(bottom, top + 0.2 * (top - bottom))  # room for the labels
    most = max(edge, key=lambda c: c.completed)
    labels = {edge[0].name: (edge[0], 0.0), most.name: (most, 0.88), best.name: (best, 0.98)}
    for one, height in labels.values():
        _label(axes, one, height, "\nleast with losses" if one == best else "")
    handles = [axes.scatter([], [], color=c, label=f"{n} first") for n, c in _COLOURS.items()]
    handles.append(axes.scatter([], [], color="white", edgecolor="black", label="on the frontier"))
    handles += [
        axes.scatter([], [], s=14 + 4 * s, color="#999999", label=f"half within {s} s")
        for s in (10, 30)
    ]
    axes.legend(handles=handles, loc="lower right", fontsize=8.5, frameon=False, ncols=2)
    axes.set_xlabel("messages (US cents a challenge)")
    axes.set_ylabel("challenges that led to a login (%)")
    axes.set_title(
        f"Channel plans {group if group == 'everywhere' else 'in ' + group}: "
        f"{challenges_of(study[group])} challenges by code", loc="left", fontsize=12,
    )  # fmt: skip
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    note = study.note.replace("$", r"\$")
    figure.supxlabel(note, fontsize=8, color="#555555", x=0.99, ha="right")
    return figure


def _label(axes: Axes, one: Choice, height: float, more: str) -> None:
    """A choice's name at a height of the axes, over its point; at height 0 beside it."""
    left, right = axes.get_xlim()
    side = "left" if one.cents < 0.5 * (left + right) else "right"
    over = {"xytext": (one.cents, height), "textcoords": ("data", "axes fraction")}
    beside = {"xytext": (28, -5), "textcoords": "offset points"}
    axes.annotate(
        one.name + more, (one.cents, 100 * one.completed), **(over if height else beside),
        ha=side, va="top" if height else "center", fontsize=8.5,
        arrowprops={"arrowstyle": "-", "color": "#7F7F7F", "linewidth": 0.7},
    )  # fmt: skip
