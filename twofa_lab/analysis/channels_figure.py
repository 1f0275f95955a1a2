"""The frontier of channel plans as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twofa_lab.analysis.channels import challenges_of
from twofa_lab.analysis.picture import Figure

if TYPE_CHECKING:
    from twofa_lab.analysis.channels import ChannelStudy

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
    ordered = sorted({best, edge[0], max(edge, key=lambda c: c.completed)}, key=lambda c: c.cents)
    middle = 50 * (edge[0].completed + max(c.completed for c in edge))
    for index, one in enumerate(ordered):
        below = -34 - 30 * index if 100 * one.completed > middle else 16
        text = f"{one.name}" + ("\nleast with losses" if one == best else "")
        axes.annotate(
            text, (one.cents, 100 * one.completed), xytext=(14, below),
            textcoords="offset points", fontsize=8.5,
            arrowprops={"arrowstyle": "-", "color": "#7F7F7F", "linewidth": 0.7},
        )  # fmt: skip
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
