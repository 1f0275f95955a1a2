"""Who bears a policy's challenges, and whom it protects: by week, country, device, age, VPN."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from twofa_lab.analysis.arguments import quotient
from twofa_lab.analysis.estimates import Estimate
from twofa_lab.analysis.segments import (
    READ,
    group_sums,
    segments_of,
    side_words,
    told_groups,
)
from twofa_lab.replay.run import needed, prepare, ready_for, replay_prepared
from twofa_lab.risk.policy import Policy
from twofa_lab.risk.signals import SignalRules
from twofa_lab.sheet import Sheet, interval, number, percent
from twofa_lab.tables import DECISIONS, OUTCOME_NAMES, Array
from twofa_lab.traffic.shards import run_shards
from twofa_lab.traffic.world import ShardSource, World, WorldFacts

if TYPE_CHECKING:
    from twofa_lab.analysis.picture import Figure

__all__ = ["Burden", "Group", "burden"]

_FIELDS = ("legitimate", "challenged", "completed", "attacks", "taken")
_CHALLENGE = DECISIONS.index("challenge")
_DONE = [OUTCOME_NAMES.index(name) for name in ("allowed", "verified")]


@dataclass(frozen=True)
class Group:
    """One segment. `share` is its part of the legitimate logins, `bears` of the challenges."""

    kind: str
    name: str
    legitimate: int
    share: float
    bears: float
    challenge_rate: Estimate
    lost: Estimate
    attacks: int
    takeovers: int


@dataclass(frozen=True, repr=False)
class Burden:
    """A policy's challenges over segments; renders itself."""

    policy: str
    overall: Group
    groups: tuple[Group, ...]
    note: str

    def of(self, kind: str) -> tuple[Group, ...]:
        """The groups of one kind."""
        return tuple(group for group in self.groups if group.kind == kind)

    def table(self) -> Sheet:
        """One row a segment."""
        rows = tuple(
            (
                group.kind, group.name, number(group.legitimate), percent(group.share, 1),
                percent(group.bears, 1), percent(group.challenge_rate.value),
                interval(percent(group.challenge_rate.low), percent(group.challenge_rate.high)),
                percent(group.lost.value), f"{group.takeovers:,} of {group.attacks:,}",
            )
            for group in (self.overall, *self.groups)
        )  # fmt: skip
        columns = (
            "", "segment", "legitimate logins", "of logins", "of challenges", "challenged",
            "95 % interval", "lost", "takeovers",
        )  # fmt: skip
        return Sheet(f"Who bears the challenges of {self.policy}", columns, rows, self.note)

    def plot(self) -> Figure:
        """Challenge rate of each segment beside the whole, and over the weeks."""
        from twofa_lab.analysis.thresholds_figures import plot_burden

        return plot_burden(self)

    def __repr__(self) -> str:
        return str(self.table())

    def _repr_html_(self) -> str:
        return self.table().to_html()


def burden(
    world: World,
    policy: Policy,
    *,
    replicates: int = 200,
    salt: int = 20_260_105,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: bool | None = None,
) -> Burden:
    """Replay one policy and add up its challenges by segment, with intervals over accounts."""
    wide = ready_for(world, [policy])
    tasks = [
        (_play, (wide.source, i, world.facts, policy, replicates, salt))
        for i in range(len(wide.source))
    ]
    parts = run_shards(tasks, "who bears the challenges", executor, workers, progress)
    kinds, names = parts[0][0], parts[0][1]
    sums = np.sum([part[2] for part in parts], axis=0)
    whole = sums[[kind == "VPN" for kind in kinds]].sum(axis=0)  # every row is in one of them
    groups = tuple(_group(*told, whole) for told in told_groups(kinds, names, sums))
    text = f"{side_words(world.facts)} Intervals: 95 %, bootstrap over accounts."
    return Burden(policy.name, _group("all", "all", whole, whole), groups, text)


def _play(
    source: ShardSource, index: int, facts: WorldFacts, policy: Policy, replicates: int, salt: int
) -> tuple[tuple[str, ...], tuple[str, ...], Array]:
    shard = source.load(index, tuple(dict.fromkeys([*needed([policy]), *READ])))
    written = replay_prepared(prepare(shard, facts), facts, policy, SignalRules())
    groups = segments_of(shard, facts)
    flags = flags_of(shard.logins, facts, written)
    sums = group_sums(shard, groups.code, flags, len(groups.kind), replicates, salt)
    return groups.kind, groups.name, sums


def flags_of(logins: dict[str, Array], facts: WorldFacts, written: dict[str, Array]) -> Array:
    """What is counted of each row: `_FIELDS`, shape (5, rows)."""
    right = logins["password_ok"] & ~logins["signup"] & (logins["time"] >= facts.window[0])
    attack, done = logins["attack"] != 0, np.isin(written["outcome"], _DONE)
    own = right & ~attack
    return np.array([
        own, own & (written["decision"] == _CHALLENGE), own & done, right & attack,
        right & attack & done,
    ])  # fmt: skip


def _group(kind: str, name: str, sums: Array, whole: Array) -> Group:
    plain = sums[:, -1]
    total = whole[:, -1]

    def rate(top: Array, bottom: Array) -> Estimate:
        values = quotient(top, bottom, np.nan)
        return Estimate.of(float(values[-1]), values[:-1])

    return Group(
        kind,
        name,
        int(plain[0]),
        float(quotient(plain[0], total[0], np.nan)),
        float(quotient(plain[1], total[1], np.nan)),
        rate(sums[1], sums[0]),
        rate(sums[0] - sums[2], sums[0]),
        int(plain[3]),
        int(plain[4]),
    )
