"""What a policy would have decided about the logins of a real log."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from twofa_lab.replay.run import replay_shard
from twofa_lab.risk.policy import Policy
from twofa_lab.sheet import Sheet, number, percent
from twofa_lab.tables import DECISIONS, SIGNALS
from twofa_lab.traffic.world import World

if TYPE_CHECKING:
    from twofa_lab.analysis.picture import Figure
    from twofa_lab.traffic.readers.reading import Reading

__all__ = ["LogReplay", "replay_log"]


@dataclass(frozen=True, repr=False)
class LogReplay:
    """Decisions of a policy over a log; renders itself.

    `judged` logins had the right password, and `decisions` counts them; `throttled` ones had it
    too, but met an account that was locked or had to wait, so that nothing was decided.
    `challenge_rate` is the share challenged of both that are not labelled as attacks, `signals` the
    share of the same on which each signal fired, `weekly` the challenge rate by week from the log's
    first login (NaN for a week without).
    """

    policy: str
    reading: Reading | None
    users: int
    logins: int
    judged: int
    throttled: int
    decisions: dict[str, int]
    challenge_rate: float
    signals: dict[str, float]
    weekly: tuple[float, ...]
    note: str

    def table(self) -> Sheet:
        """Decisions and signals."""
        right = self.judged + self.throttled
        counts = {f"decision: {name}": count for name, count in self.decisions.items()}
        if self.throttled:
            counts["none: throttled or locked"] = self.throttled
        rows = [(name, number(n), percent(n / max(right, 1))) for name, n in counts.items()]
        rows += [
            (f"signal: {name.replace('_', ' ')}", "", percent(share))
            for name, share in self.signals.items()
        ]
        title = f"{self.policy} on {number(right)} logins with the right password"
        return Sheet(title, ("", "logins", "share"), tuple(rows), self.note)

    def plot(self) -> Figure:
        """Challenge rate by week: a new log starts high, since nobody is known yet."""
        from twofa_lab.analysis.figures import plot_weekly

        return plot_weekly(self)

    def sentence(self) -> str:
        """The finding in one sentence."""
        return (
            f"{self.policy} would have challenged {percent(self.challenge_rate, 1)} of the "
            f"legitimate logins with the right password in this log."
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        reading = self.reading.to_dict() if self.reading else {}
        kept = ("format", "rows_read", "rows_rejected", "rejected", "rows_other", "untrusted_ids")
        return {name: reading[name] for name in kept if name in reading} | {
            "policy": self.policy,
            "users": self.users,
            "logins": self.logins,
            "challenge_rate": None if np.isnan(self.challenge_rate) else self.challenge_rate,
            "decisions": self.decisions,
            "throttled": self.throttled,
            "signals": self.signals,
            "note": self.note,
            "notes": list(reading.get("notes", [])),
        }

    def __str__(self) -> str:
        parts = [str(self.reading)] if self.reading else []
        return "\n\n".join([*parts, str(self.table()), self.sentence()])

    def _repr_html_(self) -> str:
        return f"<p><b>{html.escape(self.sentence())}</b></p>{self.table().to_html()}"


_NOTES = {
    "none": "Real logins; everybody is taken to pass a challenge (no people lent).",
    "lent": "Real logins; who passes a challenge is simulated.",
    "simulated": "Simulated logins.",
}
_MS_PER_WEEK = 7 * 86_400_000


def replay_log(world: World, policy: Policy) -> LogReplay:
    """Replay a log under a policy, in a closed loop, and count what it decides."""
    decisions = np.zeros(len(DECISIONS), np.int64)
    start = world.facts.window[0]
    weeks = int((world.facts.window[1] - start - 1) // _MS_PER_WEEK) + 1
    asked, seen = np.zeros(weeks), np.zeros(weeks)
    fired = np.zeros(len(SIGNALS))
    throttled = 0
    for shard in world.shards():
        written = replay_shard(shard, world.facts, policy)
        time = shard.logins["time"]
        right = shard.logins["password_ok"] & ~shard.logins["signup"] & (time >= start)
        judged = right & (written["decision"] < len(DECISIONS))
        throttled += int(right.sum() - judged.sum())
        decisions += np.bincount(written["decision"][judged], minlength=len(DECISIONS))
        own = right & (shard.logins["attack"] == 0)
        week = (time[own] - start) // _MS_PER_WEEK
        seen += np.bincount(week, minlength=weeks)
        asked += np.bincount(week[written["decision"][own] == 1], minlength=weeks)
        for bit in range(len(SIGNALS)):
            fired[bit] += np.count_nonzero(written["signals"][own] & (1 << bit))
    total = seen.sum()
    with np.errstate(invalid="ignore"):
        weekly = asked / seen
    return LogReplay(
        policy=policy.name,
        reading=world.reading,
        users=world.facts.users,
        logins=world.facts.logins,
        judged=int(decisions.sum()),
        throttled=throttled,
        decisions=dict(zip(DECISIONS, decisions.tolist(), strict=True)),
        challenge_rate=float(asked.sum() / total) if total else float("nan"),
        signals=dict(zip(SIGNALS, (fired / max(total, 1)).tolist(), strict=True)),
        weekly=tuple(weekly.tolist()),
        note=_NOTES[world.facts.human_side],
    )
