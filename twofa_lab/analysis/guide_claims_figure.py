"""A figure of the guide's shares: the range claimed, what was found, and how far it moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twofa_lab.analysis.picture import Figure

if TYPE_CHECKING:
    from twofa_lab.analysis.guide_claims import GuideClaims

__all__ = ["plot_claims"]

_CLAIMED, _FOUND, _MOVED = "#E69F00", "#0072B2", "#7F7F7F"


def plot_claims(claims: GuideClaims) -> Figure:
    """One row a claimed share; those of other units stand in the table."""
    shown = [a for a in claims.answers if a.claim.unit == "%" and a.claim.high > 0.001]
    figure = Figure(figsize=(9.0, 1.5 + 0.5 * len(shown)), dpi=110, layout="constrained")
    axes = figure.subplots()
    for row, answer in enumerate(shown):
        claim, first = answer.claim, row == 0
        low, high = (100 * end for end in (claim.low, min(claim.high, 1.0)))
        axes.barh(
            row, high - low, left=low, height=0.6, color=_CLAIMED, alpha=0.4,
            label="claimed" if first else None,
        )  # fmt: skip
        axes.scatter(
            [100 * value for value in answer.moved.values()], [row] * len(answer.moved),
            marker="|", s=90, color=_MOVED, label="an assumption moved" if first else None,
        )  # fmt: skip
        found = claim.found
        ends = [max(found.value - found.low, 0.0), max(found.high - found.value, 0.0)]
        axes.errorbar(
            100 * found.value, row, xerr=[[100 * ends[0]], [100 * ends[1]]], fmt="o",
            color=_FOUND, capsize=3, label="found (line: 95 % interval)" if first else None,
        )  # fmt: skip
    axes.set_yticks(range(len(shown)), [a.claim.question for a in shown], fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(0, 103)
    axes.set_xlabel("%")
    axes.set_title("What the guide claims, and what was found", loc="left", fontsize=12)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.25)
    figure.legend(loc="outside lower left", ncols=3, frameon=False, fontsize=9)
    return figure
