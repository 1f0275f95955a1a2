"""Scores a second on one core: Freeman, rules and learned, over a table, in the loop, one by one.

The yardstick is the same closed form in plain Python dicts, on the first logins of the same table.
"As it came" holds all there is to do: values to codes, the order of time, the counts over all
accounts and over each. "In the loop" is what a closed loop adds a login, its global part being a
column already: the account's counts read, the score, the counts written. "Closed loop" is the
whole replay under a policy that goes by the scorer, columns laid out already, all rows counted;
scikit-learn's own probabilities over the same vectors stand beside it.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from twofa_lab import Policy, simulate
from twofa_lab.replay.beside import with_beside
from twofa_lab.replay.fit import observe
from twofa_lab.replay.run import prepare, replay_prepared
from twofa_lab.risk.freeman import LEVELS, WEIGHTS, new_account_counts, read_global, score_accounts
from twofa_lab.risk.freeman_model import Freeman, login_of, score_as_it_came
from twofa_lab.risk.learned import Learned
from twofa_lab.risk.one_account import login_with_signals
from twofa_lab.risk.score_rules import score_by_rules
from twofa_lab.risk.signals import SignalRules
from twofa_lab.traffic.world import World

ROUNDS = 5
YARDSTICK_ROWS = 20_000


def plain_dicts(rows: list[tuple[int, ...]]) -> list[float]:
    """The closed form over (user, seven values) in the order of time; a score from the 2nd on."""
    features = ((0, 3), (3, 7))
    values: list[Counter[int]] = [Counter() for _ in LEVELS]
    together: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
    own: defaultdict[int, list[Counter[int]]] = defaultdict(lambda: [Counter() for _ in LEVELS])
    by_account: Counter[int] = Counter()
    weights, scores = WEIGHTS.tolist(), []
    for logins, (user, *row) in enumerate(rows):
        n, mine = by_account[user], own[user]
        if n:
            score = logins / len(by_account) / n
            for first, last in features:
                below = range(first + 1, last)
                local = sum(weights[k] * mine[k][row[k]] / n for k in range(first, last))
                m = 1 + sum(len(values[k]) for k in below)
                m_first = 1 + sum(len(together[k, row[first]]) for k in below)
                c = values[first][row[first]]
                share = c / (logins + m) * c / (c + m_first) if c else 1 / (logins + m)
                share *= weights[first]
                share += sum(weights[k] * values[k][row[k]] / logins for k in below)
                score *= share / local if local else 4.0
            scores.append(score)
        by_account[user] += 1
        for first, last in features:
            for k in range(first, last):
                values[k][row[k]] += 1
                mine[k][row[k]] += 1
                if k > first:
                    together[k, row[first]].add(row[k])
    return scores


def seconds(function: Callable[[], Any]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def closed_loops(world: World, model: Freeman) -> dict[str, tuple[int, Callable[[], Any]]]:
    """The replay under each scorer, and the learned one outside of it."""
    wide = with_beside(world)
    shards = list(wide.shards())
    prepared = [prepare(shard, wide.facts) for shard in shards]
    rows, seen = sum(shard.rows for shard in shards), observe(wide)
    about = {"data": {"world": wide.facts.name}, "history": seen.policy.name}
    learned = Learned.fit(seen.training(), **about)
    base = Policy.risk_based()

    def replays(kind: str, scorer: Freeman | Learned | None, at: float) -> Callable[[], Any]:
        policy = base.model_copy(update={"scorer": kind, "challenge_at": at})
        return lambda: [
            replay_prepared(one, wide.facts, policy, SignalRules(), scorer) for one in prepared
        ]

    account = learned.account()
    login = login_with_signals(shards[0].logins, wide.facts.vocabularies, 0)
    account.record(login)
    values = seen.values[:100_000]
    return {
        "rules, closed loop": (rows, replays("rules", None, 0.45)),
        "Freeman, closed loop": (rows, replays("freeman", model, 0.9)),
        "learned, closed loop": (rows, replays("learned", learned, 0.003)),
        "learned, one login": (1_000, lambda: [account.score(login) for _ in range(1_000)]),
        "scikit-learn's trees": (
            len(values), lambda: learned.estimator.predict_proba(values),
        ),
    }  # fmt: skip


def main() -> None:
    world = simulate("us-consumer", users=60_000, days=90, seed=11)
    words = world.facts.vocabularies
    shards = [shard.logins for shard in world.shards()]
    table = {name: np.concatenate([shard[name] for shard in shards]) for name in shards[0]}
    model = Freeman.fit([table], words)
    found = model.score(table, words)
    right = np.flatnonzero(found.unscored != 1)
    order = right[np.argsort(table["time"][right], kind="stable")][:YARDSTICK_ROWS]
    rows = [tuple(int(table[name][i]) for name in ("user_id", *LEVELS)) for i in order]

    part = {name: table[name][right] for name in LEVELS}
    codes = model.book.codes(part, words)
    user = table["user_id"][right]
    starts = np.append(np.flatnonzero(np.append(True, user[1:] != user[:-1])), len(user))
    shares, score = np.zeros((3, len(user))), np.zeros(len(user))
    read_global(model.counts, codes, shares)
    new = np.zeros(len(user), np.uint8)
    workspace = new_account_counts(int(np.diff(starts).max()), model.book.sizes)
    account, login = model.account(), login_of(table, words, int(right[0]))
    account.record(login)

    def in_the_loop() -> None:
        values = int(model.book.sizes.sum())
        score_accounts(workspace, starts, codes, shares, values, score, new)

    work: dict[str, tuple[int, Callable[[], Any]]] = {
        "plain dicts": (len(rows), lambda: plain_dicts(rows)),
        "Freeman, as it came": (len(user), lambda: score_as_it_came(table, words)),
        "Freeman, fitted": (len(user), lambda: model.score(table, words)),
        "Freeman, in the loop": (len(user), in_the_loop),
        "Freeman, one login": (1_000, lambda: [account.score(login) for _ in range(1_000)]),
        "rules, as it came": (len(right), lambda: score_by_rules(table, words)),
        **closed_loops(world, model),
    }
    times: dict[str, list[float]] = {name: [] for name in work}
    for round_number in range(ROUNDS + 1):
        for name, (_, function) in work.items():
            took = seconds(function)
            if round_number:  # the first compiles
                times[name].append(took)
    base = statistics.median(times["plain dicts"]) / len(rows)
    print(f"{len(right):,} logins with the right password; medians of {ROUNDS}, one core")
    for name, (count, _) in work.items():
        each = statistics.median(times[name]) / count
        low, high = min(times[name]) / count, max(times[name]) / count
        print(
            f"{name:22} {1e-6 / each:8.3f} million a second ({each * 1e6:.2f} us; "
            f"{low * 1e6:.2f} to {high * 1e6:.2f}), {base / each:6.1f} times the dicts"
        )
    print("aims: in the loop Freeman 1 million a second, learned 1.5; learned, one login, < 20 us")


if __name__ == "__main__":
    main()
