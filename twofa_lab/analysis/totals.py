"""Metrics, defined once, from sums over accounts.

| metric | numerator | denominator |
|---|---|---|
| challenge rate | legitimate logins challenged | legitimate logins with the right password |
| conversion | legitimate logins completed | legitimate logins with the right password |
| takeover rate | attacker logins completed | attacker logins with the right password |
| cost per 1,000 | messages, support, losses in US$ | legitimate logins with the right password |

Sign-ups and the warm-up are not counted. Messages count whoever caused them; a takeover's loss is
counted once an account. Intervals come from a bootstrap over accounts (Poisson weights, Hanley and
MacGibbon 2006): every policy meets the same resampled accounts, so differences are paired, and a
weight depends on account and replicate alone, so the result does not depend on shards or workers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from twofa_lab.compiled import loop, mix, part
from twofa_lab.replay.run import Prepared, frozen, prepare, replay_prepared
from twofa_lab.risk.policy import Policy
from twofa_lab.risk.signals import SignalRules
from twofa_lab.tables import ATTACKS, DECISIONS, OUTCOME_NAMES, Array
from twofa_lab.traffic.world import Shard, WorldFacts

__all__ = [
    "SUMS",
    "Totals",
    "account_weights",
    "bootstrap_sums",
    "poisson_table",
    "total_of",
    "totals_and_values",
    "totals_of_shard",
]

SUMS = ("legitimate", "challenged", "completed", "microusd", "attacks", "takeovers", "taken_over")
"""What is added up for each account; the rows of `Totals.replicates`."""

_LEGITIMATE, _CHALLENGED, _COMPLETED, _MICROUSD, _ATTACKS, _TAKEOVERS, _TAKEN = range(len(SUMS))
_CHALLENGE = DECISIONS.index("challenge")
_ALLOWED, _VERIFIED = OUTCOME_NAMES.index("allowed"), OUTCOME_NAMES.index("verified")
_SECONDS = 12_001  # histogram of tenths of a second at a challenge, the last bin open
_POISSON_SIZE = 65_536


@dataclass(frozen=True)
class Totals:
    """Sums over accounts for one policy.

    `sums`: by `SUMS`. `replicates`: the same for every bootstrap replicate, shape (7, B).
    `outcomes[decision, outcome]`: counts of legitimate logins with the right password, the last
    row those without a decision. `by_kind[kind]`: attacker attempts, attempts with the right
    password, challenged, completed. `seconds`: histogram, tenths of a second at completed
    legitimate challenges. `channels[channel]`: completed legitimate challenges by channel of the
    code. `logins`: all counted rows.
    """

    logins: int
    sums: Array
    replicates: Array
    outcomes: Array
    by_kind: Array
    seconds: Array
    channels: Array


def total_of(parts: list[Totals]) -> Totals:
    """Totals of several shards as one."""
    return Totals(
        sum(part.logins for part in parts),
        *(
            np.sum([getattr(part, name) for part in parts], axis=0)
            for name in ("sums", "replicates", "outcomes", "by_kind", "seconds", "channels")
        ),
    )


def totals_of_shard(
    shard: Shard, facts: WorldFacts, policies: list[Policy], replicates: int, salt: int
) -> list[Totals]:
    """Replay one shard under every policy and add up what happened."""
    prepared, users = prepare(shard, facts), shard.people["user_id"]
    return totals_and_values(prepared, users, facts, policies, replicates, salt)[0]


def totals_and_values(
    prepared: Prepared,
    users: Array,
    facts: WorldFacts,
    policies: list[Policy],
    replicates: int,
    salt: int,
) -> tuple[list[Totals], Array]:
    """`totals_of_shard` for a shard that is laid out already, with what each account adds to them:
    shape (policies, accounts, 7), the last by `SUMS`.
    """
    found = []
    values = np.zeros((len(policies), len(users), len(SUMS)), np.int64)
    rows = prepared.rows
    for index, policy in enumerate(policies):
        written = replay_prepared(prepared, facts, policy, SignalRules())
        outcomes = np.zeros((len(DECISIONS) + 1, len(OUTCOME_NAMES)), np.int64)
        by_kind = np.zeros((len(ATTACKS), 4), np.int64)
        seconds = np.zeros(_SECONDS, np.int64)
        channels = np.zeros(4, np.int64)
        logins = _add_rows(
            prepared.accounts.starts,
            rows.time,
            rows.password_ok,
            rows.signup,
            rows.attack,
            written["decision"],
            written["outcome"],
            written["channel"],
            written["seconds_ds"],
            written["message_microusd"],
            facts.window[0],
            values[index],
            outcomes,
            by_kind,
            seconds,
            channels,
        )
        found.append([logins, outcomes, by_kind, seconds, channels])
    sums = bootstrap_sums(values, users, replicates, salt)
    totals = [
        Totals(logins, values[i].sum(axis=0), sums[i], outcomes, by_kind, seconds, channels)
        for i, (logins, outcomes, by_kind, seconds, channels) in enumerate(found)
    ]
    return totals, values


@loop
def _add_rows(
    starts: Array,
    time: Array,
    password_ok: Array,
    signup: Array,
    attack: Array,
    decision: Array,
    outcome: Array,
    channel: Array,
    seconds_ds: Array,
    microusd: Array,
    window_start: int,
    values: Array,
    outcomes: Array,
    by_kind: Array,
    seconds: Array,
    channels: Array,
) -> int:
    """Add every counted row to its account's `values` and to the tables; returns their number."""
    logins = 0
    last_row = len(outcomes) - 1
    for a in range(len(starts) - 1):
        value = values[a]
        for i in range(starts[a], starts[a + 1]):
            if time[i] < window_start or signup[i]:
                continue
            logins += 1
            value[_MICROUSD] += microusd[i]
            kind = attack[i]
            done = outcome[i] == _ALLOWED or outcome[i] == _VERIFIED
            challenged = decision[i] == _CHALLENGE
            by_kind[kind, 0] += 1
            if not password_ok[i]:
                continue
            by_kind[kind, 1] += 1
            by_kind[kind, 2] += challenged
            by_kind[kind, 3] += done
            if kind != 0:
                value[_ATTACKS] += 1
                if done:
                    value[_TAKEOVERS] += 1
                    value[_TAKEN] = 1
                continue
            value[_LEGITIMATE] += 1
            value[_CHALLENGED] += challenged
            value[_COMPLETED] += done
            outcomes[min(decision[i], last_row), outcome[i]] += 1
            if challenged and done:
                seconds[min(seconds_ds[i], _SECONDS - 1)] += 1
                channels[channel[i]] += 1
    return logins


def bootstrap_sums(values: Array, users: Array, replicates: int, salt: int) -> Array:
    """Values of accounts, shape (groups, accounts, fields), summed for every bootstrap replicate:
    shape (groups, fields, replicates).
    """
    groups, _, fields = values.shape
    sums = np.zeros((groups, fields, replicates), np.int64)
    weights = np.empty(replicates + 4, np.int64)
    _add_replicates(values, frozen(users), np.uint64(salt), poisson_table(), weights, sums)
    return sums


@part
def account_weights(
    user: int, salt: np.uint64, replicates: int, table: Array, weights: Array
) -> None:
    """Write an account's weight in every replicate to `weights`, which has four entries to spare:
    four weights a 64-bit hash.
    """
    seed = mix(np.uint64(user) ^ salt)
    for b in range(0, replicates, 4):
        bits = mix(seed + np.uint64(b))
        for k in range(4):
            weights[b + k] = table[(bits >> np.uint64(16 * k)) & np.uint64(0xFFFF)]


@loop
def _add_replicates(
    values: Array, users: Array, salt: np.uint64, table: Array, weights: Array, sums: Array
) -> None:
    """Add each account's values, weighted, to every replicate."""
    groups, accounts, fields = values.shape
    replicates = sums.shape[2]
    for a in range(accounts):
        account_weights(users[a], salt, replicates, table, weights)
        for p in range(groups):
            for f in range(fields):
                value = values[p, a, f]
                if value != 0:
                    target = sums[p, f]
                    for b in range(replicates):
                        target[b] += value * weights[b]


@cache
def poisson_table() -> Array:
    """Poisson(1) by 65,536 equally likely steps; its mean is one to 1e-5."""
    from scipy.stats import poisson

    steps = (np.arange(_POISSON_SIZE) + 0.5) / _POISSON_SIZE
    return poisson.ppf(steps, 1.0).astype(np.uint8)
