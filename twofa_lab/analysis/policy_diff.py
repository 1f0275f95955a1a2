"""What would change if one policy took another's place: which logins, whose, and why."""

from __future__ import annotations

import html
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, NamedTuple

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
from twofa_lab.errors import InputError
from twofa_lab.replay.explain import explain
from twofa_lab.replay.loop import NO_DECISION
from twofa_lab.replay.run import needed, prepare, ready_for, replay_prepared
from twofa_lab.risk.explain import Explanation
from twofa_lab.risk.policy import Policy
from twofa_lab.risk.signals import SignalRules
from twofa_lab.sheet import Sheet, interval, number, percent
from twofa_lab.tables import ATTACKS, DECISIONS, OUTCOME_NAMES, Array
from twofa_lab.traffic.shards import run_shards
from twofa_lab.traffic.world import ShardSource, World, WorldFacts

__all__ = ["Change", "Example", "PolicyDiff", "Share", "policy_diff"]

_ENDS = (*DECISIONS, "not judged")
_DONE = [OUTCOME_NAMES.index(name) for name in ("allowed", "verified")]
_CHALLENGE = DECISIONS.index("challenge")
_SALT = 20_260_105


@dataclass(frozen=True)
class Change:
    """Logins with the right password that one policy decides so and the other otherwise."""

    before: str
    after: str
    legitimate: int
    attacks: int


@dataclass(frozen=True)
class Share:
    """Of a segment's legitimate logins: those asked only by the new policy, only by the old."""

    kind: str
    name: str
    legitimate: int
    newly: Estimate
    no_longer: Estimate


@dataclass(frozen=True)
class Example:
    """One login that the policies decide differently, as each explains it."""

    attack: str
    before: Explanation
    after: Explanation


@dataclass(frozen=True, repr=False)
class PolicyDiff:
    """Two policies on the same logins; renders itself. `settings`: dotted key to (old, new).

    `lost` and `takeovers` are counts under the old policy and under the new one.
    """

    old: str
    new: str
    settings: dict[str, tuple[object, object]]
    legitimate: int
    attacks: int
    changes: tuple[Change, ...]
    shares: tuple[Share, ...]
    lost: tuple[int, int]
    takeovers: tuple[int, int]
    examples: tuple[Example, ...]
    note: str

    def table(self) -> Sheet:
        """Decisions that change, and the settings behind them."""
        rows = tuple(
            (
                f"{change.before} → {change.after}",
                number(change.legitimate),
                percent(change.legitimate / max(self.legitimate, 1)),
                number(change.attacks),
                percent(change.attacks / max(self.attacks, 1), 1),
            )
            for change in self.changes
        )
        columns = ("decision", "legitimate logins", "of all", "attacks", "of all")
        keys = "; ".join(f"{key}: {a} → {b}" for key, (a, b) in self.settings.items())
        note = f"{keys or 'The policies are equal.'} ({self.note})"
        return Sheet(f"{self.old} → {self.new}", columns, rows, note)

    def segments(self) -> Sheet:
        """Whose decisions change."""
        rows = tuple(
            (
                share.kind, share.name, number(share.legitimate), percent(share.newly.value),
                interval(percent(share.newly.low), percent(share.newly.high)),
                percent(share.no_longer.value),
                interval(percent(share.no_longer.low), percent(share.no_longer.high)),
            )
            for share in self.shares
        )  # fmt: skip
        columns = (
            "", "segment", "legitimate logins", "newly challenged", "95 % interval",
            "no longer challenged", "95 % interval",
        )  # fmt: skip
        note = f"{self.note} Intervals: 95 %, bootstrap over accounts."
        return Sheet(f"Whose logins change: {self.old} → {self.new}", columns, rows, note)

    def examples_table(self) -> Sheet:
        """A few logins of each change, explained by both policies."""
        rows = tuple(
            (
                number(e.before.login_id).replace(",", ""), e.attack.replace("_", " "),
                f"{e.before.summary}. {'; '.join(e.before.reasons)}",
                f"{e.after.summary}. {'; '.join(e.after.reasons)}",
            )
            for e in self.examples
        )  # fmt: skip
        columns = ("login", "attack", self.old, self.new)
        return Sheet("Examples", columns, rows, prose=True)

    def sentence(self) -> str:
        """The finding in one sentence."""
        asked = sum(c.legitimate for c in self.changes if c.after == "challenge")
        spared = sum(c.legitimate for c in self.changes if c.before == "challenge")
        return (
            f"{self.new} in place of {self.old} would ask {number(asked)} more and "
            f"{number(spared)} fewer of {number(self.legitimate)} legitimate logins; lost logins "
            f"go from {number(self.lost[0])} to {number(self.lost[1])}, takeovers from "
            f"{number(self.takeovers[0])} to {number(self.takeovers[1])} of "
            f"{number(self.attacks)} attacks with the right password."
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON; NaN becomes None."""

        def ends(estimate: Estimate) -> list[float | None]:
            values = (estimate.value, estimate.low, estimate.high)
            return [None if np.isnan(value) else value for value in values]

        return {
            "old": self.old,
            "new": self.new,
            "settings": {key: list(values) for key, values in self.settings.items()},
            "legitimate": self.legitimate,
            "attacks": self.attacks,
            "changes": [change.__dict__ for change in self.changes],
            "segments": [
                {
                    "kind": share.kind, "segment": share.name, "legitimate": share.legitimate,
                    "newly_challenged": ends(share.newly),
                    "no_longer_challenged": ends(share.no_longer),
                }
                for share in self.shares
            ],
            "lost": list(self.lost),
            "takeovers": list(self.takeovers),
            "note": self.note,
            "examples": [
                {"attack": e.attack, "old": e.before.to_dict(), "new": e.after.to_dict()}
                for e in self.examples
            ],
        }  # fmt: skip

    def __repr__(self) -> str:
        return "\n\n".join(
            [str(self.table()), str(self.segments()), str(self.examples_table()), self.sentence()]
        )

    def _repr_html_(self) -> str:
        sheets = (self.table(), self.segments(), self.examples_table())
        body = "".join(sheet.to_html() for sheet in sheets)
        return f"<p><b>{html.escape(self.sentence())}</b></p>{body}"


class _Part(NamedTuple):
    """One shard: `counts[attack, before, after]`, `ends[policy]` (lost, takeovers), sums of groups,
    and for each change the logins to show, as (order, login_id, attack).
    """

    counts: Array
    ends: Array
    kind: tuple[str, ...]
    name: tuple[str, ...]
    sums: Array
    shown: dict[tuple[int, int, bool], list[tuple[int, int, int]]]


def policy_diff(
    world: World,
    old: Policy,
    new: Policy,
    *,
    examples: int = 2,
    replicates: int = 200,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: bool | None = None,
) -> PolicyDiff:
    """Replay both policies and set their decisions side by side, login by login.

    Decisions differ by the settings, and by what each policy made of the logins before. `examples`
    logins are explained for each change, people and attackers apart.

    >>> import twofa_lab as lab
    >>> world = lab.simulate("us-consumer", users=100, days=14, seed=1)
    >>> found = policy_diff(world, lab.Policy.risk_based(), lab.Policy.universal())
    >>> [(change.before, change.after) for change in found.changes]
    [('allow', 'challenge')]
    """
    if old.name == new.name:
        old, new = (p.model_copy(update={"name": f"{p.name[:60]} ({w})"})
                    for p, w in ((old, "old"), (new, "new")))  # fmt: skip
    wide = ready_for(world, [old, new])
    tasks = [
        (_play, (wide.source, i, world.facts, (old, new), examples, replicates))
        for i in range(len(wide.source))
    ]
    parts: list[_Part] = run_shards(tasks, "comparing decisions", executor, workers, progress)
    if not parts:
        raise InputError("the world holds no accounts")
    counts = np.sum([part.counts for part in parts], axis=0)
    ends = np.sum([part.ends for part in parts], axis=0)
    changes = [
        Change(_ENDS[b], _ENDS[a], int(counts[0, b, a]), int(counts[1, b, a]))
        for b in range(len(_ENDS))
        for a in range(len(_ENDS))
        if a != b and counts[:, b, a].any()
    ]
    settings = old.differences(new)
    settings.pop("name", None)
    return PolicyDiff(
        old.name, new.name, settings, int(counts[0].sum()), int(counts[1].sum()), tuple(changes),
        _shares(parts), (int(ends[0, 0]), int(ends[1, 0])), (int(ends[0, 1]), int(ends[1, 1])),
        _examples(world, old, new, parts, examples), side_words(world.facts),
    )  # fmt: skip


def _play(
    source: ShardSource,
    index: int,
    facts: WorldFacts,
    policies: tuple[Policy, Policy],
    examples: int,
    replicates: int,
) -> _Part:
    columns = tuple(dict.fromkeys([*needed(policies), *READ, "login_id"]))
    shard = source.load(index, columns)
    prepared, logins = prepare(shard, facts), shard.logins
    written = [replay_prepared(prepared, facts, policy, SignalRules()) for policy in policies]
    right = logins["password_ok"] & ~logins["signup"] & (logins["time"] >= facts.window[0])
    attack = logins["attack"] != 0
    ends = np.zeros((2, 2), np.int64)
    for i, found in enumerate(written):
        done = np.isin(found["outcome"], _DONE)
        ends[i] = (right & ~attack & ~done).sum(), (right & attack & done).sum()
    before, after = (
        np.where(w["decision"] == NO_DECISION, len(DECISIONS), w["decision"]).astype(np.int64)
        for w in written
    )
    size = len(_ENDS)
    code = (attack * size + before) * size + after
    counts = np.bincount(code[right], minlength=2 * size * size).reshape(2, size, size)
    own = right & ~attack
    asked, asks = before == _CHALLENGE, after == _CHALLENGE
    flags = np.array([own, own & ~asked & asks, own & asked & ~asks])
    groups = segments_of(shard, facts)
    sums = group_sums(shard, groups.code, flags, len(groups.kind), replicates, _SALT)
    shown = {}
    mixed = logins["login_id"].astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for b, a in zip(*np.nonzero(counts.sum(axis=0)), strict=True):
        for hostile in (False, True):
            rows = np.flatnonzero(right & (before == b) & (after == a) & (attack == hostile))
            rows = rows[np.argsort(mixed[rows])[:examples]]
            if a != b:
                shown[int(b), int(a), hostile] = [
                    (int(mixed[i]), int(logins["login_id"][i]), int(logins["attack"][i]))
                    for i in rows
                ]
    return _Part(counts, ends, groups.kind, groups.name, sums, shown)


def _shares(parts: list[_Part]) -> tuple[Share, ...]:
    sums = np.sum([part.sums for part in parts], axis=0)
    found = []
    for kind, name, own in told_groups(parts[0].kind, parts[0].name, sums):
        rates = quotient(own[1:], own[0], np.nan)
        newly, no_longer = (Estimate.of(float(row[-1]), row[:-1]) for row in rates)
        found.append(Share(kind, name, int(own[0, -1]), newly, no_longer))
    return tuple(found)


def _examples(
    world: World, old: Policy, new: Policy, parts: list[_Part], each: int
) -> tuple[Example, ...]:
    """A few logins of each change, picked by a mixed number so that none is preferred."""
    keys = sorted({key for part in parts for key in part.shown})
    found = []
    for key in keys:
        rows = sorted(row for part in parts for row in part.shown.get(key, []))[:each]
        for _, login, attack in rows:
            told = [explain(world, login, policy) for policy in (old, new)]
            found.append(Example(ATTACKS[attack], *told))
    return tuple(found)
