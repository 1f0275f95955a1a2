"""Who a login belongs to, and sums over each such group with bootstrap replicates over accounts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from twofa_lab.analysis.totals import account_weights, poisson_table
from twofa_lab.compiled import loop
from twofa_lab.replay.run import frozen
from twofa_lab.risk.signals import MS_PER_DAY
from twofa_lab.tables import Array
from twofa_lab.traffic.world import Shard, WorldFacts

__all__ = ["READ", "Segments", "group_sums", "kinds_of", "segments_of", "side_words", "told_groups"]

READ = ("device_type",)
"""Columns of the logins table that segments read beside those of a replay."""

_MOST_GROUPS = 8  # of one kind that are told apart; smaller ones go together as "others"
NEW_DAYS = 30  # an account is new for as long as a device unseen counts as new: an assumption


class Segments(NamedTuple):
    """Groups of one shard's rows. `kind` and `name`: one a group. `code[k]`: of kind number k, the
    group of each row as an index into all groups, -1 outside of any.
    """

    kind: tuple[str, ...]
    name: tuple[str, ...]
    code: Array


def kinds_of(facts: WorldFacts) -> dict[str, tuple[str, ...]]:
    """Every group, by kind, in the order of `Segments`; the same for all shards of a world."""
    weeks = max(1, -(-(facts.window[1] - facts.window[0]) // (7 * MS_PER_DAY)))
    return {
        "week": tuple(str(week + 1) for week in range(weeks)),
        "home country": (*facts.vocabularies["country"], "unknown"),
        "device type": (*facts.vocabularies["device_type"], "missing"),
        "account": (f"under {NEW_DAYS} days old", "older", "unknown"),
        "VPN": ("uses one often", "does not", "unknown"),
    }


def segments_of(shard: Shard, facts: WorldFacts) -> Segments:
    """The groups of each row of a shard. A real log does not know when its accounts were made, nor
    who has a VPN.
    """
    logins, people = shard.logins, shard.people
    account = np.repeat(np.arange(len(shard.starts) - 1), np.diff(shard.starts))
    kinds = kinds_of(facts)
    week = (logins["time"] - facts.window[0]) // (7 * MS_PER_DAY)
    country, device = people["country"][account], logins["device_type"]
    codes = {
        "week": np.where((week >= 0) & (week < len(kinds["week"])), week, -1),
        "home country": np.where(country < 0, len(kinds["home country"]) - 1, country),
        "device type": np.where(device < 0, len(kinds["device type"]) - 1, device),
        "account": np.full(shard.rows, 2),
        "VPN": np.full(shard.rows, 2),
    }
    if "created" in people:
        age = logins["time"] - people["created"][account]
        codes["account"] = age >= NEW_DAYS * MS_PER_DAY
    if "uses_vpn" in people:
        codes["VPN"] = ~people["uses_vpn"][account]
    code = np.empty((len(kinds), shard.rows), np.int32)
    before = 0
    for k, (kind, names) in enumerate(kinds.items()):
        found = codes[kind].astype(np.int32)
        code[k] = np.where(found < 0, -1, found + before)
        before += len(names)
    every = [(kind, name) for kind, names in kinds.items() for name in names]
    return Segments(tuple(k for k, _ in every), tuple(n for _, n in every), code)


def told_groups(
    kinds: tuple[str, ...], names: tuple[str, ...], sums: Array
) -> list[tuple[str, str, Array]]:
    """What a table tells of all groups, as (kind, name, sums): those with logins, the largest
    first (weeks in their order), small ones together. `sums` as `group_sums` gives them, whose
    first field counts the logins.
    """
    found = []
    for kind in dict.fromkeys(kinds):
        own = [i for i, k in enumerate(kinds) if k == kind and sums[i, :, -1].any()]
        if kind != "week":
            own.sort(key=lambda i: -sums[i, 0, -1])
        apart = own if kind == "week" else own[:_MOST_GROUPS]
        found += [(kind, names[i], sums[i]) for i in apart]
        if rest := own[len(apart) :]:
            found.append((kind, f"{len(rest)} others", sums[rest].sum(axis=0)))
    return found


def side_words(facts: WorldFacts) -> str:
    """Where the logins, and what people do at a challenge, come from.

    >>> import twofa_lab as lab
    >>> side_words(lab.simulate("us-consumer", users=50, days=7, seed=1).facts)
    'Simulated traffic (scenario us-consumer, seed 1): not measured.'
    """
    return {
        "simulated": f"Simulated traffic (scenario {facts.name}, seed {facts.seed}): not measured.",
        "lent": "Logins are real; all that people do at a challenge is simulated.",
        "none": "Logins are real; each challenge is taken to be passed at once.",
    }[facts.human_side]


def group_sums(
    shard: Shard, code: Array, flags: Array, groups: int, replicates: int, salt: int
) -> Array:
    """How many rows of each group have each flag, plainly and in every replicate.

    `code`: shape (kinds, rows), a group or -1. `flags`: (fields, rows), bool. Returns shape
    (groups, fields, replicates + 1), the plain count last; weights are those of `totals`.
    """
    sums = np.zeros((groups, len(flags), replicates + 1), np.int64)
    _add(
        shard.starts, frozen(shard.people["user_id"]), frozen(code), frozen(flags),
        np.uint64(salt), poisson_table(), np.empty(replicates + 4, np.int64), sums,
    )  # fmt: skip
    return sums


@loop
def _add(
    starts: Array,
    users: Array,
    code: Array,
    flags: Array,
    salt: np.uint64,
    table: Array,
    weights: Array,
    sums: Array,
) -> None:
    replicates = sums.shape[2] - 1
    for a in range(len(users)):
        account_weights(users[a], salt, replicates, table, weights)
        weights[replicates] = 1
        for i in range(starts[a], starts[a + 1]):
            for f in range(len(flags)):
                if not flags[f, i]:
                    continue
                for k in range(len(code)):
                    group = code[k, i]
                    if group >= 0:
                        target = sums[group, f]
                        for b in range(replicates + 1):
                            target[b] += weights[b]
