"""The exact curve over scored logins beside scikit-learn's, its bootstrap, and a closed-loop sweep.

`--rows` sets the scored logins (default: the public data set's 30 million), `--users` the accounts
of the world that is swept (default: about 2 million logins).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.metrics import roc_curve

from twofa_lab import Policy, simulate
from twofa_lab.analysis.curve import curve, curve_replicates
from twofa_lab.analysis.thresholds import tune

ROUNDS = 3


def seconds(function: Callable[[], Any], rounds: int = ROUNDS) -> float:
    """Median wall time of several runs."""
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        function()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def scored(rows: int) -> tuple[np.ndarray, ...]:
    """Scores of which each is another, 2 % attacks, and accounts of seven logins on average."""
    rng = np.random.default_rng(11)
    attack = rng.random(rows) < 0.02
    score = rng.beta(np.where(attack, 4.0, 1.0), 3.0)
    account = np.cumsum(rng.random(rows) < 1 / 7)
    return score, attack, account


def curve_speed(rows: int) -> None:
    """The exact curve, scikit-learn's on a tenth, and the bootstrap over accounts."""
    score, attack, account = scored(rows)
    grid = np.quantile(score, np.linspace(0.5, 0.999, 100))
    small = slice(0, 1_000)
    curve(score[small], attack[small])
    curve_replicates(score[small], attack[small], account[small], grid)  # compiles

    ours = seconds(lambda: curve(score, attack))
    tenth = slice(0, rows // 10)
    theirs = seconds(lambda: roc_curve(attack[tenth], score[tenth], drop_intermediate=False))
    ours_tenth = seconds(lambda: curve(score[tenth], attack[tenth]))
    print(f"exact curve, {rows:,} scored logins: {ours:.2f} s (aim: 3 s at 30 million)")
    print(f"  scikit-learn takes {theirs / ours_tenth:.1f} times as long on a tenth of them")
    took = seconds(lambda: curve_replicates(score, attack, account, grid, replicates=200), 1)
    print(f"200 replicates over {account[-1]:,} accounts at 100 thresholds: {took:.2f} s (aim: 20)")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=30_000_000)
    parser.add_argument("--users", type=int, default=140_000)
    parser.add_argument("--points", type=int, default=50)
    asked = parser.parse_args()
    curve_speed(asked.rows)
    world = simulate("us-consumer", users=asked.users, days=90, seed=11)
    tune(simulate("us-consumer", users=200, days=14, seed=1), max_challenge_rate=0.9)  # compiles
    points = np.linspace(0.0, 1.0, asked.points).tolist()
    took = seconds(lambda: tune(world, Policy.risk_based(), 0.05, thresholds=points), 1)
    print(
        f"{asked.points} closed-loop replays of {world.facts.logins:,} logins, with intervals and "
        f"the guarantee: {took:.1f} s (aim: 60 s for 2 million on two cores)"
    )


if __name__ == "__main__":
    main()
