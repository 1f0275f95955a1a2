"""One challenge of the real flow, read from its audit: what went out, what arrived, what was typed.

The figure shows the fallback plan at work. It knows no more than the audit does: no code, and a
number only as its mask.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Engine, select

from twofa_lab.analysis.picture import Figure
from twofa_lab.errors import InputError
from twofa_lab.sheet import Sheet
from twofa_lab.store.engine import read
from twofa_lab.store.schema import audit

__all__ = ["ChallengeStory", "audit_trail", "challenge_story"]

_COLOURS = {"sent": "#0072B2", "arrived": "#009E73", "lost": "#D55E00", "typed": "#E69F00"}
_MARKS = {"sent": ">", "arrived": "o", "lost": "x", "typed": "D"}


class Moment(NamedTuple):
    """Something that happened: seconds since the challenge, on which line, what, in which words."""

    seconds: float
    line: str
    kind: str
    text: str


@dataclass(frozen=True)
class ChallengeStory:
    """A challenge from beginning to end; renders itself as a table, and as a figure."""

    factor: str
    moments: tuple[Moment, ...]

    def sheet(self) -> Sheet:
        """What happened, in order."""
        rows = tuple((f"{m.seconds:.1f}", m.line, m.text) for m in self.moments)
        return Sheet(f"A challenge by {self.factor}", ("seconds", "where", "what"), rows)

    def __str__(self) -> str:
        return str(self.sheet())

    def _repr_html_(self) -> str:
        return self.sheet()._repr_html_()

    def plot(self) -> Figure:
        """Lines of time: one a channel, and one for what was typed."""
        lines = list(dict.fromkeys(m.line for m in self.moments))[::-1]
        figure = Figure(figsize=(7.6, 1.4 + 0.6 * len(lines)), dpi=110, layout="constrained")
        axes = figure.subplots()
        axes.set_title("A challenge by code: sent, arrived, typed", loc="left", fontsize=12)
        axes.spines[["top", "right"]].set_visible(False)
        end = max((m.seconds for m in self.moments), default=1.0)
        for moment in self.moments:
            height = lines.index(moment.line)
            axes.plot(
                moment.seconds, height, _MARKS[moment.kind], color=_COLOURS[moment.kind],
                markersize=9, clip_on=False,
            )  # fmt: skip
            right = moment.seconds > 0.75 * end
            axes.annotate(
                moment.text, (moment.seconds, height), xytext=(-10 if right else 8, 9),
                textcoords="offset points", fontsize=9, ha="right" if right else "left",
            )  # fmt: skip
        axes.set_yticks(range(len(lines)), lines)
        axes.set_ylim(-0.5, len(lines) - 0.3)
        axes.set_xlim(-0.02 * end, 1.05 * end)
        axes.set_xlabel("seconds since the challenge was shown")
        axes.grid(axis="x", color="#DDDDDD")
        return figure


def challenge_story(engine: Engine, challenge_id: str) -> ChallengeStory:
    """The story of one challenge; `InputError` when the audit knows of none."""
    began, factor, moments = None, "", []
    for at, event, detail in _rows(engine):
        if detail.get("challenge") != challenge_id:
            continue
        if event == "challenge":
            began, factor = at, str(detail["factor"])
        elif began is not None and (found := _moment((at - began) / 1_000, event, detail)):
            moments.append(found)
    if began is None:
        raise InputError("the audit has no such challenge")
    return ChallengeStory(factor, tuple(moments))


def _moment(seconds: float, event: str, detail: dict[str, object]) -> Moment | None:
    channel = str(detail.get("channel", ""))
    if event == "send":
        return Moment(seconds, channel, "sent", str(detail["result"]))
    if event == "delivery":
        arrived = bool(detail["arrived"])
        return Moment(
            seconds, channel, "arrived" if arrived else "lost", "arrived" if arrived else "lost"
        )
    if event == "attempt":
        text = "right" if detail["right"] else f"wrong, {detail['left']} left"
        return Moment(seconds, "typed", "typed", text)
    return None


def audit_trail(engine: Engine) -> Sheet:
    """How often each event stands in the audit, in the order of its first."""
    counts = Counter(event for _, event, _ in _rows(engine))
    rows = tuple((event, f"{count}") for event, count in counts.items())
    note = f"{sum(counts.values())} rows in the chain."
    return Sheet("The audit", ("event", "rows"), rows, note)


def _rows(engine: Engine) -> list[tuple[int, str, dict[str, object]]]:
    wanted = select(audit.c.at, audit.c.event, audit.c.detail).order_by(audit.c.seq)
    with read(engine) as c:
        return [(at, event, json.loads(detail)) for at, event, detail in c.execute(wanted)]
