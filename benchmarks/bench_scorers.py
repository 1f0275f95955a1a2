"""Scores a second on one core: Freeman's closed form and the rules, over a table and one by one.

The yardstick is the same closed form in plain Python dicts, on the first logins of the same table.
"As it came" holds all there is to do: values to codes, the order of time, the counts over all
accounts and over each. "In the loop" is what a closed loop adds a login, its global part being a
column already: the account's counts read, the score, the counts written.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from twofa_lab import simulate
from twofa_lab.risk.freeman import LEVELS, WEIGHTS, new_account_counts, read_global, score_accounts
from twofa_lab.risk.freeman_model import Freeman, login_of, score_as_it_came
from twofa_lab.risk.score_rules import score_by_rules

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
    print("aim: Freeman in the loop at least 1 million a second")


if __name__ == "__main__":
    main()
